"""The precision of computation: float32 or bfloat16."""

from functools import cache
from typing import Any, Literal

import torch

Precision = Literal["float32", "bfloat16"]


# Measured in docs/performance.md: below this, casting to bfloat16 costs about as much as its products save.
PRODUCTS_FOR_BFLOAT16 = 1_000_000_000
LARGE_CACHE = 2 * 2**20  # bytes of L2 cache per core: Intel from Sapphire Rapids on, with or without AMX


def auto_precision(device: torch.device, products: int) -> Precision:
    """Choose the precision for ``training.precision=auto``, by a fixed rule: it is the same in every run on a machine.

    Args:
        device: The device of training.
        products: Number of products of weights and questions in one part of a step, from ``models.count_products``.

    Returns:
        bfloat16 on a GPU with native support, and for a large model on a CPU with matrix units (AMX); else float32.
    """
    if device.type == "cpu":
        return "bfloat16" if has_matrix_units() and products >= PRODUCTS_FOR_BFLOAT16 else "float32"
    return native_precision(device)


@cache
def has_matrix_units() -> bool:
    """Check whether the CPU has units for matrix products (AMX).

    Returns:
        Whether torch reports them.
    """
    return bool(_capabilities().get("amx_bf16"))


@cache
def has_large_caches() -> bool:
    """Check whether the CPU has at least ``LARGE_CACHE`` bytes of L2 cache per core.

    Returns:
        Whether torch reports this.
    """
    return int(_capabilities().get("l2_cache_size", 0)) >= LARGE_CACHE


@cache
def native_precision(device: torch.device) -> Precision:
    """Return bfloat16 if the processor supports it natively, else float32.

    Without native support, bfloat16 is many times slower than float32. Nothing is timed, so the result is always the same on a
    machine.

    Args:
        device: The device to compute on.

    Returns:
        The precision.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = bool(_capabilities().get("avx512_bf16") or _capabilities().get("amx_bf16"))
    return "bfloat16" if native else "float32"


def set_float32_products(precision: str) -> None:
    """Set how a GPU multiplies float32 matrices in this process.

    Args:
        precision: The precision of a run. ``float32`` and ``float64`` multiply exactly; others round the inputs to TF32.
    """
    rounds = precision not in ("float32", "float64")
    torch.set_float32_matmul_precision("high" if rounds else "highest")
    torch.backends.cudnn.allow_tf32 = rounds


def _capabilities() -> dict[str, Any]:
    found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in torch before 2.9
    return found
