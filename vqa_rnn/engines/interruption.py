"""Signals as requests: a step is finished and the state saved before a process leaves."""

import signal
import threading
from types import FrameType, TracebackType


class Interruption:
    """Within its block, Ctrl-C and SIGTERM (what a cluster sends before it takes a machine away) are noted, not obeyed at once.

    A second Ctrl-C is obeyed at once. Loader processes hear of a SIGTERM too, and end before long: from then on that is no
    error, as no further batch is needed.

    Attributes:
        number: The signal that came, or 0.
    """

    def __init__(self) -> None:
        self.number = 0

    def __enter__(self) -> "Interruption":
        # Python hands signals to the main thread alone
        is_main = threading.current_thread() is threading.main_thread()
        self._before = {n: signal.signal(n, self._note) for n in (signal.SIGINT, signal.SIGTERM) if is_main}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number
        if number == signal.SIGTERM and signal.SIGCHLD not in self._before:  # torch's handler raises where a worker ends
            self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL) or signal.SIG_DFL
