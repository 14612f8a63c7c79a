"""How a training computes: its precision, and the settings of torch."""

import logging
import os

import torch

from vqa_rnn.config import Optimisation, RunConfig
from vqa_rnn.engines import manual_seed
from vqa_rnn.errors import UserError
from vqa_rnn.memory import keep_freed_memory
from vqa_rnn.precision import auto_precision, native_precision, set_float32_products

log = logging.getLogger("vqa_rnn")


def check_precision(config: Optimisation, device: torch.device) -> None:
    """Check that a device can compute in the precision of a config.

    Args:
        config: The config.
        device: The device of training.

    Raises:
        UserError: The precision needs a GPU.
    """
    if config.precision == "float16" and device.type != "cuda":
        raise UserError(
            "training.precision=float16 needs a GPU: torch has no float16 recurrent networks on a CPU; use bfloat16"
        )
    if config.precision == "tf32" and device.type != "cuda":
        raise UserError("training.precision=tf32 needs a GPU: take float32, or bfloat16")


def choose_precision(config: Optimisation, device: torch.device, products: int) -> str:
    """Return the precision of a new run.

    Args:
        config: The config.
        device: The device of training.
        products: Number of products of weights and examples in one part of a step.

    Returns:
        ``training.precision``, with ``auto`` replaced.
    """
    if config.precision == "bfloat16" and native_precision(device) == "float32":
        log.warning("training.precision=bfloat16 is not native on this processor: float32 would be many times faster")
    return auto_precision(device, products) if config.precision == "auto" else config.precision


def prepare_torch(config: RunConfig, precision: str, device: torch.device) -> None:
    """Set what holds for the whole process, before the model is built.

    Args:
        config: The seed, and whether algorithms must be deterministic.
        precision: The precision of the run.
        device: The device of training.
    """
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it once, before its first matrix product
    torch.use_deterministic_algorithms(config.deterministic)
    set_float32_products(precision)
    if device.type == "cpu":
        keep_freed_memory()
    manual_seed(config.seed)
