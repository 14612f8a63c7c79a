"""Checks of questions and other texts, with the same error messages everywhere."""

import json
from collections.abc import Sequence

from vqa_rnn.errors import UserError
from vqa_rnn.records import bad_character
from vqa_rnn.text import split_words

LONGEST = 2000  # characters
MOST_LISTED = 8  # number of texts in one line
_EXAMPLE = "such as What colour is it?"
EMPTY = f"the question is empty: ask it in words, {_EXAMPLE}"


def check_question(question: object) -> str:
    """Check that a question is not empty.

    Args:
        question: The question, of any type.

    Returns:
        The question.

    Raises:
        UserError: It is refused by ``check_text``, has no words, or is a JSON object.
    """
    text = check_text(question, "the question")
    if not split_words(text):
        raise UserError(EMPTY)
    if _is_json_object(text):
        raise UserError(f"the question is a JSON object: give its text alone, {_EXAMPLE}")
    return text


def check_text(text: object, what: str) -> str:
    """Check that a text is valid and not too long.

    Args:
        text: The text, of any type.
        what: What it is, for the error message ("the caption").

    Returns:
        The text.

    Raises:
        UserError: It is refused by ``check_characters``, or has more than ``LONGEST`` characters.
    """
    checked = check_characters(text, what)
    if len(checked) > LONGEST:
        raise UserError(f"{what} has {len(checked):,} characters: {LONGEST:,} are the most; give a shorter one")
    return checked


def check_characters(text: object, what: str) -> str:
    """Check that a text is a string without invalid characters.

    Args:
        text: The text, of any type.
        what: What it is, for the error message.

    Returns:
        The text.

    Raises:
        UserError: It is not a string, or has a character that ``bad_character`` finds.
    """
    if not isinstance(text, str):
        raise UserError(f"{what} must be a text, not {type(text).__name__}")
    said = bad_character(text)
    if said:
        raise UserError(f"{what} has {said}")
    return text


def listed(texts: Sequence[str]) -> str:
    """Join texts in one line.

    Args:
        texts: Any number of texts.

    Returns:
        The first ``MOST_LISTED`` texts, and the number of the others.
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
