"""The one exception a user is meant to see."""


class UserError(Exception):
    """Something the user can put right.

    The message is one line that says what is wrong, where, and what would be right. The command line prints it as
    ``error: …`` and leaves with exit code 2.
    """
