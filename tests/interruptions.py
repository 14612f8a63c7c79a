"""Interrupts a training command, and checks that the resumed run equals the uninterrupted one."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from vqa_rnn.cli import main
from vqa_rnn.engines import handlers

Stops = Callable[[handlers.Training], Sequence[int]]
"""The steps after which a training is interrupted."""


def at_steps(*steps: int) -> Stops:
    return lambda training: steps


def early_and_half_way(training: handlers.Training) -> Sequence[int]:
    """Step 2, and the middle of the second epoch."""
    return 2, 3 * len(training._batches) // 2


def check_resume(
    command: Sequence[str],
    stops: Stops,
    files: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
    before_resume: Callable[[], object] = lambda: None,
) -> None:
    """Train runs/whole, and runs/stopped with two interruptions; the files must be equal byte for byte."""
    assert main([*command, "run.name=whole"]) == 0
    finish_step = handlers.Training._finish_step

    def stop(self: handlers.Training, engine: object) -> None:
        if self.trainer.state.iteration in stops(self):
            os.kill(os.getpid(), signal.SIGTERM)
        finish_step(self, engine)  # type: ignore[arg-type]

    monkeypatch.setattr(handlers.Training, "_finish_step", stop)
    assert main([*command, "run.name=stopped"]) == 143
    before_resume()
    assert main([*command, "run.name=stopped", "--resume"]) == 143
    assert main([*command, "run.name=stopped", "--resume"]) == 0
    for name in files:
        assert Path("runs/stopped", name).read_bytes() == Path("runs/whole", name).read_bytes(), name
