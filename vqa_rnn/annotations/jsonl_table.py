"""Reader of a table of the user's own questions: CSV with a header, as written by spreadsheets and pandas."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from vqa_rnn.annotations.jsonl_json import DECODER
from vqa_rnn.annotations.jsonl_line import Line
from vqa_rnn.errors import UserError
from vqa_rnn.files import unknown_name

TAB = "\t"
DELIMITERS = (",", ";", TAB)
HEADER = "image,question,answer"
_LONGEST_HEADER = 10_000  # characters, more than all keys have
_KEYS = frozenset(Line.model_fields)
_REQUIRED = ("image", "question")
_LISTS = {  # columns whose cells are JSON, with an example
    "answers": '["red", "dark red"]',
    "choices": '["red", "blue"]',
    "history": '[{"question": "Is it big?", "answer": "no"}]',
}
_WHAT_CSV_SAYS = {
    "unexpected end of data": "a quote is opened and never closed",
    "field larger than field limit": f"a cell of more than {csv.field_size_limit():,} letters, or a quote that is never closed",
    "expected after": 'a quote inside of a cell: put the cell in quotes and write the quote twice, "a ""b"" c"',
}


def is_header(line: str) -> bool:
    """Check whether a line names the columns that every table needs.

    Args:
        line: First line of a file.

    Returns:
        True if it does.
    """
    return set(_REQUIRED) <= set(_names(line, _delimiter(line)))


def read_rows(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a table row by row.

    Args:
        path: Path of the file, for error messages.
        lines: Its text, with line ends.

    Yields:
        The number of a row, where the header is row 1, and its cells by column, as in a JSON object. Empty cells and rows are
        skipped.

    Raises:
        UserError: The header is missing or has an unknown or duplicate column, a row has another length, or a cell is invalid.
            The message names the row.
    """
    parts = (part for line in lines for part in io.StringIO(line, newline=""))  # a lone carriage return also ends a line
    first, header = next(((number, part) for number, part in enumerate(parts, start=1) if part.strip()), (0, ""))
    if not header:
        return
    names = _check_header(header, f"{path}: row {first}")
    delimiter = _delimiter(header)
    rows = csv.reader(parts, delimiter=delimiter, strict=True)
    for number in count(first + 1):
        try:
            cells = next(rows, None)
        except csv.Error as error:
            said = next((meant for words, meant in _WHAT_CSV_SAYS.items() if words in str(error)), str(error))
            raise UserError(f"{path}: row {number}: {said}") from None
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield number, _values(names, cells, delimiter, f"{path}: row {number}")


def _delimiter(header: str) -> str:
    """Return the delimiter that gives the most known column names."""
    return max(DELIMITERS, key=lambda delimiter: len(_KEYS & set(_names(header, delimiter))))


def _names(header: str, delimiter: str) -> list[str]:
    header = header[:_LONGEST_HEADER].strip("\r\n").partition("\r")[0]
    return [name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter), [])]


def _check_header(header: str, where: str) -> list[str]:
    names = _names(header, _delimiter(header))
    if not _KEYS & set(names):
        raise UserError(f"{where}: a header is needed that names the columns, such as {HEADER}, and not {header.strip()[:80]}")
    for name, times in Counter(names).items():
        if name and name not in _KEYS:
            raise UserError(f"{where}: {unknown_name('column', name, _KEYS)}")
        if name and times > 1:
            raise UserError(f"{where}: the column '{name}' comes twice")
    for name in _REQUIRED:
        if name not in names:
            raise UserError(f"{where}: the column '{name}' is missing; a header is, for example, {HEADER}")
    return names


def _values(names: list[str], cells: list[str], delimiter: str, where: str) -> dict[str, Any]:
    if len(cells) != len(names):
        raise UserError(
            f"{where}: {len(cells)} cells, where the header has {len(names)} columns: put a cell that contains "
            f"{'a tab' if delimiter == TAB else delimiter} in quotes"
        )
    values: dict[str, Any] = {}
    for number, (name, cell) in enumerate(zip(names, map(str.strip, cells), strict=True), start=1):
        if not cell:
            continue
        if not name:
            raise UserError(f"{where}: column {number} has no name in the header: name it, or leave it out")
        values[name] = _list_of(name, cell, where) if name in _LISTS else cell
    return values


def _list_of(name: str, cell: str, where: str) -> Any:
    try:
        value = DECODER.decode(cell)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list):
        raise UserError(f"{where}: {name}: a JSON list is needed, such as {_LISTS[name]}, and not {cell[:80]}")
    return value
