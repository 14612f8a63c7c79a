"""Questions implied by an answer: "What colour is the ball?" - "red" implies "Is the ball red?" - "yes".

After Ribeiro et al. 2019, "Are Red Roses Red?" (https://aclanthology.org/P19-1621). Their implications are made by a parser.
These are made from the few patterns below: they are grammatical, but fewer questions have implications.
"""

import re
from typing import Literal, NamedTuple

Kind = Literal["equivalent", "necessary", "exclusive"]

_QUALITY = re.compile(r"(?:what|which) \w+ (is|are|was|were) ((?:the|this|that|these|those) .+|it)", re.IGNORECASE)
_QUALITY_OF = re.compile(r"(?:what|which) (is|are|was|were) (the \w+ of .+)", re.IGNORECASE)
_COUNT = re.compile(r"how many (.+?) (?:are|is) (there|in|on|at|visible|shown)\b(.*)", re.IGNORECASE)
_YES_NO = ("yes", "no")


class Implied(NamedTuple):
    """A question that is implied by an answer.

    Attributes:
        question: The text of the question.
        answer: The implied answer, ``yes`` or ``no``.
        kind: ``equivalent``: it restates the answer; ``necessary``: it must hold if the answer is right; ``exclusive``: it
            states another answer to the same question, which cannot be right as well.
    """

    question: str
    answer: str
    kind: Kind


def implied_questions(question: str, answer: str, other: str | None = None) -> list[Implied]:
    """Return the questions that are implied by an answer.

    Args:
        question: The question.
        answer: The answer that was given.
        other: Another answer of the same kind, which cannot be right as well; None if none is known.

    Returns:
        The implied questions; empty if no pattern matches, or the answer is empty, yes or no.
    """
    text, said = " ".join(question.strip().rstrip("?").split()), answer.strip().lower()
    if not said or said in _YES_NO:
        return []
    found = _COUNT.fullmatch(text)
    if found:
        return _of_count(found[1], (found[2] if found[2] != "there" else "") + found[3], said)
    found = _QUALITY.fullmatch(text) or _QUALITY_OF.fullmatch(text)
    if not found:
        return []
    verb, what = found[1].capitalize(), found[2]
    implied = [Implied(f"{verb} {what} {said}?", "yes", "equivalent")]
    if other is not None and other.lower() not in (said, *_YES_NO):
        implied.append(Implied(f"{verb} {what} {other.lower()}?", "no", "exclusive"))
    return implied


def _of_count(things: str, place: str, said: str) -> list[Implied]:
    if not said.isdigit():
        return []
    where = f" {place.strip()}" if place.strip() else ""
    number = int(said)
    implied = [
        Implied(f"Are there {number} {things}{where}?", "yes", "equivalent"),
        Implied(f"Are there {number + 1} {things}{where}?", "no", "exclusive"),
    ]
    if number:
        implied.append(Implied(f"Are there any {things}{where}?", "yes", "necessary"))
    return implied
