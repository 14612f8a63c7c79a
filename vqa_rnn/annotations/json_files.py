"""Decoding of official JSON files. Only the keys that are needed are read, and they are validated.

Each reader describes its files by ``msgspec`` structures. The error message for invalid content names the file, the record and
the key.
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
    """Read a JSON file of a known structure.

    Args:
        path: Path of the file.
        kind: The ``msgspec`` type of the whole content. Keys that it does not have are ignored.
        what: Kind of file, for the error message ("VQA question file").

    Returns:
        The content.

    Raises:
        UserError: The file is missing, cannot be read, is not JSON, is truncated, or does not match ``kind``.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"no {what} at {path}") from None
    except OSError as error:
        raise UserError(f"cannot read the {what} {path}: {error.strerror or error}") from error
    return decode_official(content.removeprefix(b"\xef\xbb\xbf"), kind, f"{what} {path}")


def decode_official(content: bytes | msgspec.Raw, kind: type[T], where: str, inside: str = "") -> T:
    """Decode JSON of a known structure.

    Args:
        content: UTF-8 JSON. A ``msgspec.Raw`` is a part of a file that was read before.
        kind: The ``msgspec`` type of the content.
        where: Kind and path of the file, for the error message.
        inside: Place of a ``Raw`` in the file, such as ``data.dialogs[3]``.

    Returns:
        The content.

    Raises:
        UserError: The content is not JSON, is truncated, or does not match ``kind``.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {_explain(str(error), inside)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        said = "it ends in the middle" if "truncated" in str(error) else str(error)
        raise UserError(f"{where} is not valid JSON: {said}") from None


def _explain(message: str, inside: str) -> str:
    """Format an error message of msgspec as ``record: key …``."""
    found = _PLACE.match(message)
    said, place = (found["message"], found["place"].removeprefix("$").removeprefix(".")) if found else (message, "")
    place = ".".join(part for part in (inside, place) if part)
    missing = _MISSING.match(said)
    said = f"the key '{missing['key']}' is missing" if missing else said[0].lower() + said[1:]
    return f"{place}: {said}" if place else said
