"""The exceptions that the command line knows."""

import signal


class UserError(Exception):
    """Something the user can put right.

    The message is one line that says what is wrong, where, and what would be right. The command line prints it as
    ``error: …`` and leaves with exit code 2.
    """


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
