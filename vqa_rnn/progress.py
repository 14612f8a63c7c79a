"""The progress of long work on stderr: a bar that disappears at the end or, without a terminal, occasional log lines."""

import logging
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

log = logging.getLogger("vqa_rnn")

FIRST_LINE, MOST_BETWEEN = 60.0, 600.0  # seconds; the time between two lines doubles each time


def progress_bar() -> Progress:
    """Create a progress bar with counts, a rate and the remaining time.

    Returns:
        A bar whose tasks have a text field ``rate``. If stderr is not a terminal, it logs a line after one minute, then at
        growing intervals of up to ten minutes.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    kind = Progress if console.is_terminal else _Lines
    return kind(*columns, console=console, transient=True, disable=not console.is_terminal)


def show_rate(rate: float) -> str:
    """Format a rate so that a slow one is not shown as 0.

    Args:
        rate: Anything per second.

    Returns:
        A text such as ``320`` or ``0.4``.
    """
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"


def counted(count: int, things: str) -> str:
    """Format a count with what is counted.

    Args:
        count: The count.
        things: A plural that ends in ``s``.

    Returns:
        A text such as ``2,000 pairs`` or ``1 pair``.
    """
    return f"{count:,} {things.removesuffix('s') if count == 1 else things}"


class _Lines(Progress):
    """Log lines instead of a bar."""

    def __init__(self, *columns: Any, **options: Any) -> None:
        super().__init__(*columns, **options)
        self._next, self._wait = time.monotonic() + FIRST_LINE, FIRST_LINE

    def update(self, task_id: TaskID, *, advance: float | None = None, **fields: Any) -> None:
        super().update(task_id, advance=advance, **fields)
        self._log(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._log(task_id)

    def _log(self, task_id: TaskID) -> None:
        if time.monotonic() < self._next:
            return
        self._next, self._wait = time.monotonic() + self._wait, min(2 * self._wait, MOST_BETWEEN)
        task = next(task for task in self.tasks if task.id == task_id)
        rate = f", {task.fields['rate']}" if task.fields["rate"] else ""
        log.info("%s: %d of %d%s", task.description, task.completed, task.total, rate)
