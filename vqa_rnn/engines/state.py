"""The full state of a training, so that a resumed run is the same run."""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import ignite.distributed as idist
import numpy as np
import torch

from vqa_rnn.checkpoint import Run, save_checkpoint
from vqa_rnn.engines.distributed import gather, is_first, on_first


class Stateful(Protocol):
    """What goes into a checkpoint."""

    def state_dict(self) -> Mapping[str, Any]:
        """Tensors and plain values.

        Returns:
            By name.
        """
        ...

    def load_state_dict(self, state: Any) -> Any:
        """Go on from ``state_dict``.

        Args:
            state: What it gave.

        Returns:
            Nothing that counts.
        """
        ...


class TrainingState:
    """Everything that training goes on from, saved and restored together.

    The place inside the epoch is the trainer's iteration: the order of batches follows from seed and epoch.
    """

    def __init__(self, run: Run, objects: Mapping[str, Stateful], device: torch.device) -> None:
        """Name what belongs to it.

        Args:
            run: Where checkpoints lie.
            objects: Model, optimizer, schedule, trainer, … by name; the same in all processes. ``trainer`` is one of them.
            device: Whose random numbers count.
        """
        self._run = run
        self._objects = objects
        self._device = device
        self._saved = time.monotonic()

    def save(self, step: int) -> None:
        """Write a checkpoint. All processes call this, the first one writes.

        Args:
            step: The step just finished.

        Raises:
            UserError: It cannot be written.
        """
        state: dict[str, Any] = {name: stateful.state_dict() for name, stateful in self._objects.items()} if is_first() else {}
        state["random"] = gather(_random_state(self._device))
        on_first(lambda: save_checkpoint(self._run, state, step, self._run.config.training.keep_checkpoints))
        self._saved = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint was written longer ago than ``training.checkpoint_minutes``."""
        minutes = self._run.config.training.checkpoint_minutes
        return minutes is not None and time.monotonic() - self._saved > 60 * minutes

    def restore(self, checkpoint: Mapping[str, Any]) -> bool:
        """Put everything back.

        Args:
            checkpoint: From ``load_checkpoint``.

        Returns:
            Whether the random numbers go on too: they do not where another number of processes, or another kind of device,
            goes on.
        """
        for name, stateful in self._objects.items():
            stateful.load_state_dict(checkpoint[name])
        states, rank = checkpoint["random"], idist.get_rank()
        same = len(states) == idist.get_world_size() and ("cuda" in states[rank]) == (self._device.type == "cuda")
        if same:
            _set_random_state(states[rank], self._device)
        return same


@contextmanager
def keep_random_state() -> Iterator[None]:
    """Leave the global random numbers of the CPU as they are, whatever the block draws."""
    state = _random_state(torch.device("cpu"))
    try:
        yield
    finally:
        _set_random_state(state, torch.device("cpu"))


def _random_state(device: torch.device) -> dict[str, Any]:
    """The generators of Python, numpy and torch, as tensors and plain values."""
    algorithm, keys, *rest = np.random.get_state()  # the global ones, which others' code may use
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": [algorithm, np.asarray(keys).tolist(), *rest],
        "cpu": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    algorithm, numpy_keys, *rest = state["numpy"]
    np.random.set_state((algorithm, np.array(numpy_keys, dtype=np.uint32), *rest))
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
