"""What the readers of medical questions share."""

from vqa_rnn.errors import UserError


def answer_type(said: str, where: str) -> str:
    """Whether an answer is one of a few that the question names.

    Args:
        said: The file's ``answer_type``; capitals and blanks around it do not count.
        where: File and record, for the error message.

    Returns:
        ``open`` or ``closed``.

    Raises:
        UserError: It is neither.
    """
    kind = said.strip().lower()
    if kind not in ("open", "closed"):
        raise UserError(f"{where}.answer_type: OPEN or CLOSED is needed, not '{said}'")
    return kind
