"""The progress of long work on stderr: a bar that is gone when the work is done, or in a log a line now and then."""

import logging
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

log = logging.getLogger("vqa_rnn")

FIRST_LINE, MOST_BETWEEN = 60.0, 600.0  # seconds; the time between two lines doubles


def progress_bar() -> Progress:
    """A bar with counts, a rate and the time left.

    Returns:
        A bar whose tasks have a field ``rate``, a text. Where stderr is no terminal, it logs a line after a
        minute, then in growing intervals up to ten minutes.
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
    """How many a second, so that a slow rate is not shown as 0.

    Args:
        rate: Of anything.

    Returns:
        Such as ``320`` or ``0.4``.
    """
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"


class _Lines(Progress):
    """Lines of a log in place of a bar."""

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
