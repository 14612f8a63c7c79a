"""Logs of a run: deterministic metrics, timings, TensorBoard and other loggers, and a progress bar."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from rich.progress import Progress
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from vqa_rnn.engines.distributed import is_first, total
from vqa_rnn.engines.loggers import Loggers
from vqa_rnn.files import append_line
from vqa_rnn.memory import peak_memory
from vqa_rnn.progress import progress_bar
from vqa_rnn.run_folder import RunFolder

METRICS, TIMINGS = "metrics.jsonl", "timings.jsonl"


class RunLog:
    """The log of a run: ``metrics.jsonl`` (deterministic), ``timings.jsonl`` (not deterministic) and ``training.loggers``.

    It counts its lines, so that a resume can delete those that were written after the checkpoint. Entries of MLflow and W&B
    cannot be deleted, so they are not logged there a second time. All processes have a log; only that of the first is used.
    """

    def __init__(self, run: RunFolder, names: Sequence[str], loggers: Loggers) -> None:
        """Prepare the log; nothing is written yet.

        Args:
            run: The run to log.
            names: ``training.loggers``.
            loggers: The loggers other than TensorBoard, open in the first process.
        """
        self._run = run
        self._has_tensorboard = "tensorboard" in names
        self._writer: SummaryWriter | None = None
        self._num_lines = {METRICS: 0, TIMINGS: 0}
        self._num_told = {METRICS: 0, TIMINGS: 0}  # number of lines when the training was stopped
        self._loggers = loggers

    def write(self, name: str, line: Mapping[str, Any]) -> None:
        """Append a line.

        Args:
            name: ``METRICS`` or ``TIMINGS``.
            line: Numbers by name, with ``step``. All but ``step`` and ``epoch`` are also sent to the loggers.

        Raises:
            UserError: The file cannot be written.
        """
        append_line(self._run.path / name, json.dumps(line))
        self._num_lines[name] += 1
        values = {key: value for key, value in line.items() if key not in ("step", "epoch")}
        if self._has_tensorboard:
            if self._writer is None:
                self._writer = SummaryWriter(str(self._run.path / "tensorboard"), purge_step=line["step"])
            for key, value in values.items():
                self._writer.add_scalar(key, value, line["step"])
        self._loggers.write(values, line["step"], again=self._num_lines[name] <= self._num_told[name])

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def state_dict(self) -> dict[str, int]:
        """Return the state for a resume.

        Returns:
            Number of lines of each file.
        """
        return dict(self._num_lines)

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Restore the state, and delete the lines that were written after it.

        Args:
            state: From ``state_dict``.
        """
        self._num_lines = dict(state)
        if is_first():
            self.cut_back()

    def cut_back(self) -> None:
        """Delete the lines that are not counted."""
        for name, count in self._num_lines.items():
            path = self._run.path / name
            if path.is_file():
                lines = path.read_bytes().splitlines(keepends=True)
                self._num_told[name] = len(lines)
                os.truncate(path, sum(map(len, lines[:count])))


class EpochLoss:
    """Loss sums of the current epoch, and of the steps since the last log line.

    They are saved in checkpoints, because an epoch may be interrupted. The sums are on the device; only ``read`` and
    ``state_dict`` wait for it.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor | None] = {"epoch": None, "window": None}

    def add(self, loss_sum: Tensor, num_counted: Tensor) -> None:
        """Add the loss of a step.

        Args:
            loss_sum: () float64, the sum of the losses.
            num_counted: () float64, the number of examples in the sum.
        """
        step = torch.stack([loss_sum, num_counted])
        for span, sums in self._sums.items():
            self._sums[span] = step if sums is None else sums.to(step) + step

    def read(self, span: str) -> float:
        """Return the mean loss, and reset the sum.

        Args:
            span: ``epoch``, or ``window`` for the steps since the last log line.

        Returns:
            Mean loss per example; 0 if there were no examples.
        """
        loss_sum, num_counted = self._read(span)
        self._sums[span] = None
        return loss_sum / max(num_counted, 1)

    def state_dict(self) -> dict[str, list[float]]:
        """Return the state for a resume.

        Returns:
            Sum of the losses and number of examples, by span.
        """
        return {span: self._read(span) for span in self._sums}

    def load_state_dict(self, state: Mapping[str, list[float]]) -> None:
        """Restore the state.

        Args:
            state: From ``state_dict``.
        """
        self._sums = {span: torch.tensor(sums, dtype=torch.float64) for span, sums in state.items()}

    def _read(self, span: str) -> list[float]:
        sums = self._sums[span]
        return [0.0, 0.0] if sums is None else sums.tolist()


class Timer:
    """Measures the time of an epoch, the time spent waiting for batches, and the speed."""

    def __init__(self, unit: str) -> None:
        """Start the timer.

        Args:
            unit: What is counted, such as ``questions``.
        """
        self._unit = unit
        self._start()

    def attach(self, trainer: Engine) -> None:
        """Attach the timer to the trainer.

        Args:
            trainer: From ``build_trainer``.
        """
        trainer.add_event_handler(Events.EPOCH_STARTED, self._start)
        trainer.add_event_handler(Events.GET_BATCH_STARTED, self._ask)
        trainer.add_event_handler(Events.GET_BATCH_COMPLETED, self._get)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._count)

    def read(self) -> dict[str, float]:
        """Return the measurements of the epoch so far. All processes call this.

        Returns:
            ``steps`` (fewer than an epoch has if it was resumed), ``seconds``, ``UNIT_per_second`` (of all processes) and
            ``waiting_share``. Also ``peak_memory``, the bytes of this process since it started, and on a GPU
            ``peak_gpu_memory``, the bytes that torch allocated there.
        """
        seconds = time.perf_counter() - self._started
        rate = total([self._num_examples])[0] / seconds
        return {
            "steps": self._num_steps,
            "seconds": seconds,
            f"{self._unit}_per_second": rate,
            "waiting_share": self._waiting / seconds,
            "peak_memory": peak_memory(),
            **({"peak_gpu_memory": torch.cuda.max_memory_allocated()} if torch.cuda.is_initialized() else {}),
        }

    def _start(self) -> None:
        self._started = self._asked = time.perf_counter()
        self._waiting = 0.0
        self._num_examples = self._num_steps = 0

    def _ask(self) -> None:
        self._asked = time.perf_counter()

    def _get(self) -> None:
        self._waiting += time.perf_counter() - self._asked

    def _count(self, engine: Engine) -> None:
        self._num_steps += 1
        self._num_examples += engine.state.output.num_examples  # type: ignore[union-attr]


def attach_progress(trainer: Engine, unit: str) -> Progress:
    """Show a progress bar of the whole training, with rate and remaining time, in the first process.

    Args:
        trainer: From ``build_trainer``.
        unit: What is counted.

    Returns:
        The progress bar. It starts with the trainer; the caller stops it.
    """
    progress = progress_bar()
    if not is_first():
        return progress
    task = progress.add_task("training", total=None, rate="")
    begun: list[float] = []

    @trainer.on(Events.STARTED)
    def start(engine: Engine) -> None:
        total = (engine.state.max_epochs or 0) * (engine.state.epoch_length or 0)
        progress.update(task, total=total, completed=engine.state.iteration)
        progress.start()

    @trainer.on(Events.ITERATION_COMPLETED)
    def advance(engine: Engine) -> None:
        now = time.perf_counter()
        begun.append(now)
        del begun[:-21]  # the last 20 steps
        # over all processes, which have about the same number of examples
        num_examples = engine.state.output.num_examples * idist.get_world_size()  # type: ignore[union-attr]
        rate = f"{num_examples * (len(begun) - 1) / (now - begun[0]):,.0f} {unit}/s" if len(begun) > 1 else ""
        progress.update(task, completed=engine.state.iteration, rate=rate)

    return progress
