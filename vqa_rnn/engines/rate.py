"""How fast a trainer goes."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from ignite.engine import Engine, Events

WARM_UP = 5  # steps: the first ones make the optimizer's state and find out kernels


def training_rate(trainer: Engine, batches: Iterable[Any], seconds: float, device: torch.device) -> float:
    """Train for a while.

    Args:
        trainer: From ``build_trainer``.
        batches: A loader; its passes follow each other.
        seconds: How long, after some steps to warm up.
        device: Where it computes.

    Returns:
        Questions a second of this process.
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
        done += engine.state.output.num_questions  # type: ignore[union-attr]
        if time.perf_counter() - started > seconds:
            engine.terminate()

    trainer.add_event_handler(Events.ITERATION_COMPLETED, count)
    trainer.run(endless(), max_epochs=1, epoch_length=sys.maxsize)
    _finish_work(device)
    return done / (time.perf_counter() - started)


def _finish_work(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
