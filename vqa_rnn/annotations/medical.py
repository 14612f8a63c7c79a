"""What the readers of medical questions share."""

from vqa_rnn.errors import UserError
from vqa_rnn.records import Split


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


def human_answers(said: str | int | float | None, split: Split, where: str) -> tuple[str, ...]:
    """What is known of an answer.

    Args:
        said: The file's ``answer``; blanks around it do not count.
        split: Of the question; answers of ``test`` may be withheld.
        where: File and record, for the error message.

    Returns:
        The answer as a text, or nothing.

    Raises:
        UserError: It is missing or empty, and not of ``test``.
    """
    answer = "" if said is None else str(said).strip()
    if not answer and split != "test":
        how = "missing" if said is None else "empty"
        raise UserError(f"{where}: the key 'answer' is {how}; only test questions are without")
    return (answer,) if answer else ()
