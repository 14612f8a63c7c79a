"""Profiling of some training steps with torch's profiler."""

import logging
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from torch.profiler import ProfilerActivity, profile

log = logging.getLogger("vqa_rnn")


class ProfilerWindow:
    """Profiles some steps: writes a trace for the viewers of Chrome or Perfetto, and a table of the slowest operations."""

    def __init__(self, steps: tuple[int, int], folder: Path, device: torch.device) -> None:
        """Prepare the profiler; nothing is recorded yet.

        Args:
            steps: First and last step to record.
            folder: Folder for ``steps-FIRST-LAST.json`` and ``.txt``.
            device: Device of the training.
        """
        self._first, self._last = steps
        self._folder = folder
        self._device = device
        self._profiler: profile | None = None
        self._began = 0

    def attach(self, trainer: Engine) -> None:
        """Attach the profiler to the trainer.

        Args:
            trainer: From ``build_trainer``.
        """
        trainer.add_event_handler(Events.ITERATION_STARTED, self._start)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._stop_after_last)

    def _start(self, engine: Engine) -> None:
        if self._profiler is None and self._first <= engine.state.iteration <= self._last:
            activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (self._device.type == "cuda")
            self._profiler = profile(activities=activities, record_shapes=True)
            self._began = engine.state.iteration
            self._profiler.start()

    def _stop_after_last(self, engine: Engine) -> None:
        if engine.state.iteration == self._last:
            self.close(engine.state.iteration)

    def close(self, step: int) -> None:
        """Stop and write the results, unless nothing was recorded or the results are written already.

        Args:
            step: The last recorded step.
        """
        if self._profiler is None or not self._began:
            return
        self._profiler.stop()
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"steps-{self._began}-{step}"
        self._profiler.export_chrome_trace(str(self._folder / f"{name}.json"))
        table = self._profiler.key_averages().table(sort_by=f"self_{self._device.type}_time_total", row_limit=30)
        (self._folder / f"{name}.txt").write_text(table, encoding="utf-8")
        log.info("profile of steps %d to %d: %s", self._began, step, self._folder / f"{name}.txt")
        self._began = 0
