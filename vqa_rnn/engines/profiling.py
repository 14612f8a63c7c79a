"""A window of steps under torch's profiler."""

import logging
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from torch.profiler import ProfilerActivity, profile

log = logging.getLogger("vqa_rnn")


def attach_profiler(trainer: Engine, steps: tuple[int, int], folder: Path, device: torch.device) -> None:
    """Record some steps: a trace for Chrome's or Perfetto's viewer, and a table of what took longest.

    Args:
        trainer: From ``build_trainer``.
        steps: The first and the last of them.
        folder: Where ``steps-FIRST-LAST.json`` and ``.txt`` go.
        device: Where training computes.
    """
    first, last = steps
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    profiler = profile(activities=activities, record_shapes=True)

    def stop() -> None:
        profiler.stop()
        folder.mkdir(parents=True, exist_ok=True)
        name = f"steps-{first}-{last}"
        profiler.export_chrome_trace(str(folder / f"{name}.json"))
        table = profiler.key_averages().table(sort_by=f"self_{device.type}_time_total", row_limit=30)
        (folder / f"{name}.txt").write_text(table, encoding="utf-8")
        log.info("profile of steps %d to %d: %s", first, last, folder / f"{name}.txt")

    # the first step's batch is loaded within the window, too
    trainer.add_event_handler(Events.ITERATION_STARTED(once=first), profiler.start)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=last), stop)
