"""What a processor computes in."""

from functools import cache
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]


def auto_precision(device: torch.device) -> Precision:
    """What ``training.precision=auto`` stands for. A rule and not a measurement: the same in every run on a machine.

    Args:
        device: Where to compute.

    Returns:
        float32 on a CPU; on a GPU bfloat16 where it has it.
    """
    return "float32" if device.type == "cpu" else native_precision(device)


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
        capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # torch before 2.9 does not tell
        native = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return "bfloat16" if native else "float32"
