"""Signals that ask a process to finish its step, save its state and exit."""

import signal
import threading
from types import FrameType, TracebackType


class Interruption:
    """Records Ctrl-C and SIGTERM (which a cluster sends before it takes a machine away) while its block runs.

    The process is not stopped at once, except by a second Ctrl-C. Data loading processes may receive the SIGTERM too and exit.
    After a SIGTERM this is not an error, as no further batch is needed.

    Attributes:
        number: The received signal, or 0.
    """

    def __init__(self) -> None:
        self.number = 0

    def __enter__(self) -> "Interruption":
        # Python handles signals in the main thread only
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
        if number == signal.SIGTERM and signal.SIGCHLD not in self._before:  # torch's handler raises when a worker ends
            self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL) or signal.SIG_DFL
