"""Whether bfloat16 autocast is faster for a model on this machine."""

import time

import torch

from vqa_rnn.batch import Batch
from vqa_rnn.models import VqaModel
from vqa_rnn.precision import Precision, native_precision


def faster_precision(model: VqaModel, batch: Batch, device: torch.device) -> Precision:
    """Time a training step both ways, best of three, and take the faster one; float32 unless bfloat16 wins by a tenth.

    A processor without bfloat16 is not timed. Weights and random state are left as they were.

    Args:
        model: The model, on ``device``.
        batch: A batch like those to come.
        device: Where to compute.

    Returns:
        The precision.
    """
    if native_precision(device) == "float32":
        return "float32"
    batch = batch.to(device)
    seconds: dict[Precision, float] = {}
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        for precision in ("float32", "bfloat16"):
            for _ in range(4):  # the first warms up
                started = time.perf_counter()
                with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                    loss = model.loss(model(batch), batch)
                loss.backward()
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                taken = time.perf_counter() - started
                seconds[precision] = min(taken, seconds.get(precision, taken))  # type: ignore[index,arg-type]
    model.zero_grad(set_to_none=True)
    return "bfloat16" if seconds["bfloat16"] < 0.9 * seconds["float32"] else "float32"
