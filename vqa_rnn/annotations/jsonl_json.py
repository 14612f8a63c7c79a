"""Strict JSON decoding of the user's own files, with error messages that explain what is wrong."""

import json
from typing import Any, NoReturn

from vqa_rnn.errors import UserError

_CUT_OFF = ("{", "[", ",", ":")  # ends of the first line of an object that spans several lines


class _RefusedError(ValueError):
    """Content that Python decodes although it is not valid JSON or has a duplicate key."""


def _refuse_constant(name: str) -> NoReturn:
    raise _RefusedError(f"{name} is no JSON: write a number or a text, or leave the record out")


def _every_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RefusedError(f"the key '{key}' comes twice")
        found[key] = value
    return found


DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_every_key_once)


def decode_json(text: str, where: str, example: str) -> Any:
    """Decode a single JSON value.

    Args:
        text: The value, with optional white space around it.
        where: Its place, for the error message.
        example: What is expected, for the error message.

    Returns:
        The value.

    Raises:
        UserError: The text is not JSON, contains NaN or an infinity, or has an object with a duplicate key.
    """
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        stripped = text.strip()
        if stripped.startswith("{") and stripped.endswith(_CUT_OFF):
            raise UserError(
                f"{where}: a JSON object spans several lines: write each on one, as jq -c . FILE does, or all of them "
                "as one array, [{…}, {…}]"
            ) from None
        _refuse(error, where, "column {error.colno}", example)


def decode_item(text: str, start: int, where: str, example: str) -> tuple[Any, int]:
    """Decode a JSON value that is followed by more text.

    Args:
        text: JSON text.
        start: Index of the start of the value.
        where: Its place, for the error message.
        example: What is expected, for the error message.

    Returns:
        The value, and the index of its end.

    Raises:
        UserError: As for ``decode_json``, or the text ends in the middle of the value.
    """
    try:
        return DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and (error.msg.startswith("Unterminated") or not text[error.pos :].strip()):
            raise UserError(f"{where}: the file ends in the middle of this object: copy or write the file again") from None
        _refuse(error, where, "line {error.lineno} column {error.colno}", example)


def _refuse(error: Exception, where: str, place: str, example: str) -> NoReturn:
    if isinstance(error, _RefusedError):
        raise UserError(f"{where}: {error}") from None
    said = f"{error.msg} at {place.format(error=error)}" if isinstance(error, json.JSONDecodeError) else str(error)
    raise UserError(f"{where}: not a JSON object, such as {example}: {said}") from None
