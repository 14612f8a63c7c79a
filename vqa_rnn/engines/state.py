"""The full state of a training run, so that a resumed run has the same result as an uninterrupted one."""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import ignite.distributed as idist
import numpy as np
import torch

from vqa_rnn.config import Optimisation
from vqa_rnn.engines.distributed import gather, is_first, on_first
from vqa_rnn.run_folder import RunFolder, save_checkpoint


class Stateful(Protocol):
    """An object whose state is saved in checkpoints."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return the state.

        Returns:
            Tensors and plain values by name.
        """
        ...

    def load_state_dict(self, state: Any) -> Any:
        """Restore the state.

        Args:
            state: From ``state_dict``.

        Returns:
            Ignored.
        """
        ...


class TrainingState:
    """All objects that a resume needs, saved and restored together.

    The position within an epoch follows from the trainer's iteration, as seed and epoch determine the order of the batches.
    """

    def __init__(self, run: RunFolder, objects: Mapping[str, Stateful], device: torch.device, config: Optimisation) -> None:
        """Register the objects.

        Args:
            run: The run that the checkpoints belong to.
            objects: Model, optimizer, schedule, trainer and so on by name, the same names in all processes. ``model`` and
                ``trainer`` are required.
            device: Device of the training; on a GPU its random state is saved, too.
            config: When checkpoints are written, and how many are kept.
        """
        self._run = run
        self._objects = objects
        self._device = device
        self._config = config
        self._saved = time.monotonic()

    def save(self, step: int) -> None:
        """Write a checkpoint. All processes call this; the first one writes.

        Args:
            step: The last finished step.

        Raises:
            UserError: The checkpoint cannot be written.
        """
        state: dict[str, Any] = {name: stateful.state_dict() for name, stateful in self._objects.items()} if is_first() else {}
        state["random"] = gather(_random_state(self._device))
        on_first(lambda: save_checkpoint(self._run, state, step, self._config.keep_checkpoints))
        self._saved = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is older than ``training.checkpoint_minutes``."""
        minutes = self._config.checkpoint_minutes
        return minutes is not None and time.monotonic() - self._saved > 60 * minutes

    def restore(self, checkpoint: Mapping[str, Any]) -> bool:
        """Restore all objects and the random state.

        Args:
            checkpoint: From ``load_checkpoint``.

        Returns:
            Whether the random state was restored. It is not if the number of processes or the kind of device has changed.
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
    """Restore the global random states of the CPU at the end of the block."""
    state = _random_state(torch.device("cpu"))
    try:
        yield
    finally:
        _set_random_state(state, torch.device("cpu"))


def _random_state(device: torch.device) -> dict[str, Any]:
    """Return the random states of Python, numpy and torch, as tensors and plain values."""
    algorithm, keys, *rest = np.random.get_state()  # numpy's global generator, which third-party code may use
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
