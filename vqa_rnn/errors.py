"""The exceptions that the command line handles, and text that is safe to print."""

import re
import signal

# Control characters except tab and line feed, line separators, marks of text direction, lone surrogates.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Replace characters that would control a terminal, or cannot be encoded, by JSON escapes such as ``\u001b``.

    Args:
        text: Any text, such as user input. The meaning of JSON text does not change.

    Returns:
        Text that is safe to print; tabs and line feeds are kept.
    """
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class UserError(Exception):
    """An error that the user can fix.

    The message is one line that says what is wrong, where, and how to fix it. The command line prints it as ``error: …`` and
    exits with code 2. ``str`` removes line ends and escapes unprintable characters, which may come from a file or a question
    that the message quotes.
    """

    def __str__(self) -> str:
        return printable(" ".join(super().__str__().splitlines()))


class HeldError(UserError):
    """Another process holds the lock."""


class ReportedElsewhere(UserError):  # noqa: N818
    """An error that another process of the same job reports. This process exits with code 2 and prints nothing."""


class Interrupted(Exception):  # noqa: N818  # not an error
    """Work was stopped by a signal and can be resumed.

    Attributes:
        exit_code: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, message: str, number: int) -> None:
        """Set the message and the exit code.

        Args:
            message: One line that says how to continue.
            number: The signal.
        """
        super().__init__(message)
        self.exit_code = 128 + signal.Signals(number).value
