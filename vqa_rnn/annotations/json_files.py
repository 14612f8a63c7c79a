"""Reading official JSON files: only the keys that are needed, checked while they are read.

A benchmark's reader states its file as ``msgspec`` structures. What does not fit is refused with the file, the record and the
key.
"""

import re
from pathlib import Path
from typing import TypeVar

import msgspec

from vqa_rnn.errors import UserError

T = TypeVar("T")
_PLACE = re.compile(r"^(?P<message>.*) - at `(?P<place>[^`]*)`$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<key>[^`]*)`$")


def read_official(path: Path, kind: type[T], what: str) -> T:
    """Read a JSON file of a known shape.

    Args:
        path: The file.
        kind: The ``msgspec`` type of its whole content; keys that it does not name are passed over.
        what: What the file is, for the error message ("VQA question file").

    Returns:
        The content.

    Raises:
        UserError: The file is missing, cannot be read, is no JSON, is cut off, or a record does not fit ``kind``.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"no {what} at {path}") from None
    except OSError as error:
        raise UserError(f"cannot read the {what} {path}: {error.strerror or error}") from error
    return decode_official(content.removeprefix(b"\xef\xbb\xbf"), kind, f"{what} {path}")


def decode_official(content: bytes | msgspec.Raw, kind: type[T], where: str, inside: str = "") -> T:
    """Decode JSON of a known shape.

    Args:
        content: UTF-8 JSON; a ``msgspec.Raw`` is a part of a file that was read before.
        kind: Its ``msgspec`` type.
        where: What is read and where it lies, for the error message.
        inside: The place of a ``Raw`` in its file, such as ``data.dialogs[3]``.

    Returns:
        The content.

    Raises:
        UserError: It is no JSON, is cut off, or a record does not fit ``kind``.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {_explain(str(error), inside)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        said = "it ends in the middle" if "truncated" in str(error) else str(error)
        raise UserError(f"{where} is not valid JSON: {said}") from None


def _explain(message: str, inside: str) -> str:
    """Say msgspec's error as ``record: key …``."""
    found = _PLACE.match(message)
    said, place = (found["message"], found["place"].removeprefix("$").removeprefix(".")) if found else (message, "")
    place = ".".join(part for part in (inside, place) if part)
    missing = _MISSING.match(said)
    said = f"the key '{missing['key']}' is missing" if missing else said[0].lower() + said[1:]
    return f"{place}: {said}" if place else said
