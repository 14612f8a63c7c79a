"""Checks shared by the benchmarks: a result file answers each question exactly once."""

from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path

from vqa_rnn.errors import UserError

MOST_NAMED = 3


def check_ids(given: Sequence[Hashable], expected: Sequence[Hashable], path: Path, what: str, *, allow_missing: bool) -> int:
    """Check that a result file answers each question exactly once and has no other ids.

    Args:
        given: Ids in the result file.
        expected: Ids of the questions, each once.
        path: The result file.
        what: What an id stands for ("question", "round").
        allow_missing: Accept questions without an answer.

    Returns:
        The number of questions with an answer.

    Raises:
        UserError: Ids are repeated, unknown or missing. The message has their numbers and the first few ids.
    """
    asked, answered = set(expected), set(given)
    faults = []
    if len(answered) < len(given):
        repeated = [name for name, times in Counter(given).items() if times > 1]
        faults.append(_count(len(repeated), what, "answered more than once", repeated))
    unknown = [name for name in dict.fromkeys(given) if name not in asked] if answered - asked else []
    if unknown:
        faults.append(_count(len(unknown), what, "unknown", unknown))
    missing = [name for name in expected if name not in answered] if asked - answered else []
    if missing and not allow_missing:
        faults.append(_count(len(missing), what, "missing", missing) + "; --allow-missing counts them as wrong")
    if faults:
        raise UserError(f"{path}: {'; '.join(faults)}")
    return len(asked) - len(missing)


def _count(number: int, what: str, how: str, names: Sequence[Hashable]) -> str:
    few = ", ".join(_name(name) for name in names[:MOST_NAMED]) + (", …" if number > MOST_NAMED else "")
    return f"{number:,} {what}{'s' if number != 1 else ''} {how} ({few})"


def _name(name: Hashable) -> str:
    return "/".join(map(str, name)) if isinstance(name, tuple) else str(name)
