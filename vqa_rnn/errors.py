"""The exceptions that the command line knows, and text that is safe to print."""

import re
import signal

# Control characters but tab and line feed, ends of lines, marks that turn the direction of text, halves of characters.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Replace what would steer a terminal, or cannot be written, by its escape in JSON, such as ``\u001b``.

    Args:
        text: Any text, such as one that a user or a file gave. Of JSON it leaves the meaning.

    Returns:
        Text that a terminal shows as it is; tabs and line feeds stay.
    """
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class UserError(Exception):
    """Something the user can put right.

    The message is one line that says what is wrong, where, and what would be right. The command line prints it as
    ``error: …`` and leaves with exit code 2. Whatever a file or a question holds that the message names, it is one line that a
    terminal shows as it is.
    """

    def __str__(self) -> str:
        return printable(" ".join(super().__str__().splitlines()))


class HeldError(UserError):
    """Another process works on it."""


class ReportedElsewhere(UserError):  # noqa: N818
    """Another process of the same job reports it: this one leaves with exit code 2 and without a word."""


class Interrupted(Exception):  # noqa: N818  # not an error
    """Work was stopped by a signal and can be taken up again.

    Attributes:
        exit_code: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, message: str, number: int) -> None:
        """Say how to go on.

        Args:
            message: One line.
            number: The signal.
        """
        super().__init__(message)
        self.exit_code = 128 + signal.Signals(number).value
