"""Reader of a file of the user's own records, in one of three formats. A record is located as in the last column.

JSON lines   one object per line                           ``FILE:LINE``
JSON array   ``[{…}, {…}]``                                ``FILE: item N``
table        CSV with a header, see ``jsonl_table``        ``FILE: row N``, where the header is row 1

The format is detected from the content. A file that is neither JSON nor starts with a valid header is read as a table if its
suffix is ``.csv`` or ``.tsv``, otherwise as JSON lines. Each format may be compressed by gzip; the name then ends in ``.gz``.
Lines and rows are read one at a time, an array as a whole.
"""

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar, cast

from vqa_rnn.annotations.jsonl_json import decode_item, decode_json
from vqa_rnn.annotations.jsonl_line import Kind
from vqa_rnn.annotations.jsonl_table import is_header, read_rows
from vqa_rnn.errors import UserError

T = TypeVar("T")
LONGEST_LINE = 16 * 2**20  # bytes
LARGEST_ARRAY = 256 * 2**20  # bytes, uncompressed
_START = 4096  # bytes that are read to detect the format
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_JSON_BLANKS = re.compile(r"[ \t\n\r]*")
_GZIP = b"\x1f\x8b"
_UTF_16 = "UTF-16 text: save it as UTF-8, in a spreadsheet as CSV UTF-8"
_FOREIGN = {  # first bytes of files in other formats
    b"\xff\xfe": _UTF_16,
    b"\xfe\xff": _UTF_16,
    b"PK\x03\x04": "a spreadsheet (.xlsx) or a zip archive: save the sheet as CSV UTF-8, or unpack the archive",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet (.xls): save the sheet as CSV UTF-8",
    b"PAR1": "a Parquet file: write its rows as JSON lines",
    b"BZh": "compressed by bzip2: unpack it, or compress it by gzip",
    b"\xfd7zXZ\0": "compressed by xz: unpack it, or compress it by gzip",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: unpack it, or compress it by gzip",
}


class Records(NamedTuple):
    """Records of a file.

    Attributes:
        prefix: The place of a record without its number: ``q.jsonl:`` for ``q.jsonl:7``.
        values: Number and value of each record, in order. The iterator may raise a ``UserError``.
    """

    prefix: str
    values: Iterator[tuple[int, Any]]


def read_records(path: Path, kind: Kind[Any]) -> Records:
    """Open a file of records.

    Args:
        path: Path of JSON lines, a JSON array or a table; plain or compressed by gzip.
        kind: What the records are, for error messages.

    Returns:
        The records, which are read lazily.

    Raises:
        UserError: The file is missing, cannot be read, or has another format.
    """
    if path.is_dir():
        raise UserError(f"dataset.path={path} is a folder: give the path of the file of {kind.nouns} in it")
    start = _start_of(path, kind)
    text = start.removeprefix(_BYTE_ORDER_MARK).lstrip()
    first_line = text.partition(b"\n")[0].decode(errors="replace")
    is_table = not text.startswith((b"{", b"[")) and (_is_named_as_table(path) or is_header(first_line))
    read, unit = (_rows, " row ") if is_table else (_items, " item ") if text.startswith(b"[") else (_objects, "")
    return Records(f"{path}:{unit}", _read(path, kind, read))


def _is_named_as_table(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv"))


def _start_of(path: Path, kind: Kind[Any]) -> bytes:
    """Return the first bytes of a file, uncompressed. Files in other formats are refused."""

    def begin(_: Path, file: BinaryIO, __: Kind[Any]) -> Iterator[bytes]:
        start = file.read(_START)
        while start and not start.removeprefix(_BYTE_ORDER_MARK).strip() and (more := file.read(_START)):
            start = more
        yield start

    (start,) = _read(path, kind, begin)
    what = next((what for begins, what in _FOREIGN.items() if start.startswith(begins)), None)
    if what is None and start[:100].count(0) > len(start[:100]) / 4:
        what = _UTF_16
    if what:
        raise UserError(f"{path} is {what}")
    return start


def _read(path: Path, kind: Kind[Any], read: Callable[[Path, BinaryIO, Kind[Any]], Iterator[T]]) -> Iterator[T]:
    """Open a file, decompress it if needed, and read it. Errors are raised as ``UserError``."""
    try:
        with path.open("rb") as file:
            is_gzip = file.read(len(_GZIP)) == _GZIP
            file.seek(0)
            _check_name(path, is_gzip=is_gzip)
            yield from read(path, cast(BinaryIO, gzip.GzipFile(fileobj=file)) if is_gzip else file, kind)
    except FileNotFoundError:
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise UserError(f"no file of {kind.nouns} at {path}{where}: set dataset.path to yours") from None
    except EOFError:
        raise UserError(f"{path} is cut off: what gzip compressed ends in the middle; copy it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is damaged: gzip cannot unpack it ({error}); copy it again") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def _check_name(path: Path, *, is_gzip: bool) -> None:
    if is_gzip and path.suffix.lower() != ".gz":
        raise UserError(f"{path} is compressed by gzip: call it {path.name}.gz, or unpack it")
    if not is_gzip and path.suffix.lower() == ".gz" and path.stat().st_size:
        raise UserError(f"{path} is not compressed by gzip, though its name ends in .gz: call it {path.stem}")


def _objects(path: Path, file: BinaryIO, kind: Kind[Any]) -> Iterator[tuple[int, Any]]:
    is_first = True
    for number, line in _lines(path, file):
        if line.strip():
            value = decode_json(line, f"{path}:{number}", kind.example)
            if is_first:
                _check_first(path, value, kind)
            is_first = False
            yield number, value


def _check_first(path: Path, value: Any, kind: Kind[Any]) -> None:
    """Refuse an object that contains the list of all records, as in official files."""
    if not isinstance(value, dict) or value.keys() & kind.record.model_fields.keys():
        return
    for key, inner in value.items():
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            raise UserError(
                f"{path} is one JSON object with a list under '{key}': an array of {kind.nouns} is needed, [{{…}}, {{…}}], or "
                "an object a line"
            )


def _items(path: Path, file: BinaryIO, kind: Kind[Any]) -> Iterator[tuple[int, Any]]:
    content = file.read(LARGEST_ARRAY + 1)
    if len(content) > LARGEST_ARRAY:
        raise UserError(
            f"{path} is a JSON array of more than {LARGEST_ARRAY // 2**20} MB: write an object a line, as jq -c '.[]' FILE does"
        )
    text = _decode(path, content, 1)
    del content

    def after_blanks(place: int) -> int:
        blanks = _JSON_BLANKS.match(text, place)
        return blanks.end() if blanks else place

    place = after_blanks(text.index("[") + 1)
    if text[place:].rstrip() == "]":
        return
    for number in count(1):
        where = f"{path}: item {number}"
        value, place = decode_item(text, place, where, kind.example)
        place = after_blanks(place)
        mark = text[place : place + 1]
        if mark not in (",", "]"):
            said = f"a comma or ] is needed after it, and not {mark}" if mark else "the file ends after it: ] is missing"
            raise UserError(f"{where}: {said}")
        yield number, value
        place = after_blanks(place + 1)
        if mark == "]":
            break
    if place < len(text):
        raise UserError(
            f"{path} continues after the end of its array: put all {kind.nouns} into one array, or write an object a line"
        )


def _rows(path: Path, file: BinaryIO, _: Kind[Any]) -> Iterator[tuple[int, Any]]:
    return read_rows(path, (line for _, line in _lines(path, file)))


def _lines(path: Path, file: BinaryIO) -> Iterator[tuple[int, str]]:
    for number in count(1):
        line = file.readline(LONGEST_LINE + 1)
        if not line:
            return
        if len(line) > LONGEST_LINE:
            raise UserError(f"{path}:{number}: a line of more than {LONGEST_LINE // 2**20} MB: a record is written on one line")
        yield number, _decode(path, line, number)


def _decode(path: Path, content: bytes, number: int) -> str:
    """Decode UTF-8 text that starts at line ``number``."""
    if number == 1:
        content = content.removeprefix(_BYTE_ORDER_MARK)
    try:
        text = content.decode()
        wrong, said = text.find("\0"), "a character of code 0, which no text has"
    except UnicodeDecodeError as error:
        wrong, said = error.start, f"not UTF-8 text (a byte 0x{content[error.start]:02X})"
    if wrong >= 0:
        number += content.count(b"\n", 0, wrong)
        raise UserError(f"{path}:{number}: {said}: save the file as UTF-8")
    return text
