"""What a processor computes in."""

from functools import cache
from typing import Any, Literal

import torch

Precision = Literal["float32", "bfloat16"]


# docs/performance.md has the measurements: below it, casting to bfloat16 costs about what its products save.
PRODUCTS_FOR_BFLOAT16 = 1_000_000_000
LARGE_CACHE = 2 * 2**20  # bytes of each core's own: Intel's from Sapphire Rapids on, with or without AMX


def auto_precision(device: torch.device, products: int) -> Precision:
    """What ``training.precision=auto`` stands for. A rule and not a measurement: the same in every run on a machine.

    Args:
        device: Where to compute.
        products: Of weights and questions of a part of a step, by ``models.count_products``.

    Returns:
        bfloat16 on a GPU that has it, and for a large model on a CPU with matrix units for it (AMX); else float32.
    """
    if device.type == "cpu":
        return "bfloat16" if has_matrix_units() and products >= PRODUCTS_FOR_BFLOAT16 else "float32"
    return native_precision(device)


@cache
def has_matrix_units() -> bool:
    """Whether the CPU has units for products of matrices (AMX).

    Returns:
        That, as torch says.
    """
    return bool(_capabilities().get("amx_bf16"))


@cache
def has_large_caches() -> bool:
    """Whether each core of the CPU has at least ``LARGE_CACHE`` of its own (L2).

    Returns:
        That, as torch says.
    """
    return int(_capabilities().get("l2_cache_size", 0)) >= LARGE_CACHE


@cache
def native_precision(device: torch.device) -> Precision:
    """Say bfloat16 where the processor has it; where it has not, bfloat16 is many times slower than float32.

    Not timed: a machine says the same every time.

    Args:
        device: Where to compute.

    Returns:
        The precision.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = bool(_capabilities().get("avx512_bf16") or _capabilities().get("amx_bf16"))
    return "bfloat16" if native else "float32"


def set_float32_products(precision: str) -> None:
    """Say how a GPU multiplies float32, in this process from now on.

    Args:
        precision: Of a run. ``float32`` and ``float64`` multiply exactly; the others round the inputs to TF32.
    """
    rounds = precision not in ("float32", "float64")
    torch.set_float32_matmul_precision("high" if rounds else "highest")
    torch.backends.cudnn.allow_tf32 = rounds


def _capabilities() -> dict[str, Any]:
    found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch before 2.9 does not tell
    return found
