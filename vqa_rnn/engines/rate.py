"""The speed of a trainer."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from ignite.engine import Engine, Events

WARM_UP = 5  # steps that are not measured: the first ones create the optimizer's state and select kernels


def training_rate(trainer: Engine, batches: Iterable[Any], seconds: float, device: torch.device) -> float:
    """Measure the speed of a trainer by training for some time.

    Args:
        trainer: From ``build_trainer``.
        batches: A loader, which is repeated as often as needed.
        seconds: How long to measure, after ``WARM_UP`` steps.
        device: Device of the training.

    Returns:
        Questions per second of this process.
    """

    def endless() -> Iterator[Any]:
        while True:
            yield from batches

    done, started = 0, 0.0

    def count(engine: Engine) -> None:
        nonlocal done, started
        if engine.state.iteration <= WARM_UP:
            _finish_work(device)
            done, started = 0, time.perf_counter()
            return
        done += engine.state.output.num_examples  # type: ignore[union-attr]
        if time.perf_counter() - started > seconds:
            engine.terminate()

    trainer.add_event_handler(Events.ITERATION_COMPLETED, count)
    trainer.run(endless(), max_epochs=1, epoch_length=sys.maxsize)
    _finish_work(device)
    return done / (time.perf_counter() - started)


def _finish_work(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
