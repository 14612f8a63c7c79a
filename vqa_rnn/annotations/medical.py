"""Functions shared by the readers of medical questions."""

from vqa_rnn.errors import UserError
from vqa_rnn.records import Split


def answer_type(said: str, where: str) -> str:
    """Return the answer type: ``closed`` if the question limits the answer to a few options, otherwise ``open``.

    Args:
        said: The ``answer_type`` in the file. Case and surrounding white space are ignored.
        where: File and record, for the error message.

    Returns:
        ``open`` or ``closed``.

    Raises:
        UserError: The type is neither of them.
    """
    kind = said.strip().lower()
    if kind not in ("open", "closed"):
        raise UserError(f"{where}.answer_type: OPEN or CLOSED is needed, not '{said}'")
    return kind


def human_answers(said: str | int | float | None, split: Split, where: str) -> tuple[str, ...]:
    """Return the human answers of a question.

    Args:
        said: The ``answer`` in the file. Surrounding white space is removed.
        split: Split of the question. Answers of ``test`` may be withheld.
        where: File and record, for the error message.

    Returns:
        The answer as a text; empty if it is withheld.

    Raises:
        UserError: The answer is missing or empty, and the split is not ``test``.
    """
    answer = "" if said is None else str(said).strip()
    if not answer and split != "test":
        how = "missing" if said is None else "empty"
        raise UserError(f"{where}: the key 'answer' is {how}; only test questions are without")
    return (answer,) if answer else ()
