"""An evaluation engine for metrics that are ratios of sums over the examples, such as an accuracy or bits per character."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from vqa_rnn.engines.trainer import Part


def build_sums_evaluator(
    model: nn.Module,
    sums: Callable[[Any], Tensor],
    metrics: Callable[[Sequence[float]], Mapping[str, float]],
    device: torch.device,
) -> Engine:
    """Build the engine.

    Args:
        model: The model, on ``device``; it is put into evaluation mode.
        sums: Returns the (S,) sums of a batch on the device.
        metrics: Returns the metrics by name, from the S sums over all batches.
        device: Device of the computation.

    Returns:
        An engine over tuples of one batch. ``engine.state.metrics`` are the metrics.
    """
    totals: list[Tensor] = []

    def step(engine: Engine, parts: tuple[Part]) -> Tensor:
        model.eval()
        with torch.inference_mode():
            return sums(parts[0].to(device)).double().cpu()

    engine = Engine(step)

    @engine.on(Events.STARTED)
    def reset() -> None:
        totals.clear()

    @engine.on(Events.ITERATION_COMPLETED)
    def add(engine: Engine) -> None:
        totals.append(engine.state.output)  # type: ignore[arg-type]

    @engine.on(Events.COMPLETED)
    def finish(engine: Engine) -> None:
        engine.state.metrics.update(metrics(torch.stack(totals).sum(dim=0).tolist()))

    return engine
