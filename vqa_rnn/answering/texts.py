"""Which questions, and other texts, a model is asked: what is no text is refused in the same sentence everywhere."""

import json
from collections.abc import Sequence

from vqa_rnn.errors import UserError
from vqa_rnn.records import bad_character
from vqa_rnn.text import split_words

LONGEST = 2000  # characters
MOST_LISTED = 8  # texts in one line
_EXAMPLE = "such as What colour is it?"
EMPTY = f"the question is empty: ask it in words, {_EXAMPLE}"


def check_question(question: object) -> str:
    """See that a question asks something.

    Args:
        question: As it was given.

    Returns:
        The question.

    Raises:
        UserError: It is no text, as of ``check_text``; it has no words, or is an object of JSON.
    """
    text = check_text(question, "the question")
    if not split_words(text):
        raise UserError(EMPTY)
    if _is_json_object(text):
        raise UserError(f"the question is a JSON object: give its text alone, {_EXAMPLE}")
    return text


def check_text(text: object, what: str) -> str:
    """See that a text can be read.

    Args:
        text: As it was given.
        what: What it is, for the error message ("the caption").

    Returns:
        The text.

    Raises:
        UserError: As of ``check_characters``; or it is longer than a model can make use of.
    """
    checked = check_characters(text, what)
    if len(checked) > LONGEST:
        raise UserError(f"{what} has {len(checked):,} characters: {LONGEST:,} are the most; give a shorter one")
    return checked


def check_characters(text: object, what: str) -> str:
    """See that a text is one.

    Args:
        text: As it was given.
        what: What it is, for the error message.

    Returns:
        The text.

    Raises:
        UserError: It is no text, or has a character that no text should hold.
    """
    if not isinstance(text, str):
        raise UserError(f"{what} is given as {type(text).__name__}: give a text")
    said = bad_character(text)
    if said:
        raise UserError(f"{what} has {said}")
    return text


def listed(texts: Sequence[str]) -> str:
    """Put texts in one line.

    Args:
        texts: Any number of them.

    Returns:
        The first of them, and how many more there are.
    """
    more = len(texts) - MOST_LISTED
    return ", ".join(texts[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def _is_json_object(text: str) -> bool:
    if not text.strip().startswith("{"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
