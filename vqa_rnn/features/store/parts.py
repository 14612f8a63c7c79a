"""The parts of a store that several processes make: their names, their images, and how they are joined.

Part 2 of 8 (counted from 0) of ``NAME.h5`` is ``NAME.part-0002-of-0008.h5``. When all parts are finished, ``NAME.json`` lists
them and is the store.
"""

import re
from pathlib import Path
from typing import NamedTuple

from vqa_rnn.errors import UserError

JOINED = ".json"
_PART = re.compile(r"\.part-\d+-of-(\d+)(\.partial)?$")


class Share(NamedTuple):
    """The part of the work that a process does.

    Attributes:
        number: Number of the part, from 0.
        num_parts: Number of parts, one per process.
    """

    number: int
    num_parts: int


def joined_path(path: Path) -> Path:
    """Return the path of the file that lists the parts of a store.

    Args:
        path: The store.

    Returns:
        ``NAME.json``.
    """
    return path.with_suffix(JOINED)


def part_path(path: Path, share: Share) -> Path:
    """Return the path of a part of a store.

    Args:
        path: The store.
        share: Which part.

    Returns:
        Its path.
    """
    return path.with_name(f"{path.stem}.part-{share.number:04d}-of-{share.num_parts:04d}{path.suffix}")


def is_part(path: Path) -> bool:
    """Return whether a file is a part of a store.

    Args:
        path: The file.

    Returns:
        True if its name is that of a part.
    """
    return _PART.search(path.stem) is not None


def count_parts(path: Path) -> int:
    """Return the number of parts that an unfinished store is divided into.

    Args:
        path: The store.

    Returns:
        The number, as in the names of the parts; 0 if there are no parts.

    Raises:
        UserError: There are parts of two different divisions.
    """
    found = {int(match[1]) for file in path.parent.glob(f"{path.stem}.part-*") if (match := _PART.search(file.stem))}
    if len(found) > 1:
        counts = " and ".join(map(str, sorted(found)))
        raise UserError(f"{path} was begun in {counts} parts: delete the files {path.stem}.part-* of one of them")
    return found.pop() if found else 0


def cut(rows: range, share: Share, unit: int) -> range:
    """Return the rows of a part.

    Args:
        rows: The rows of all images.
        share: Which part.
        unit: Parts begin at multiples of this number of images.

    Returns:
        Consecutive rows.
    """
    num_units = -(-len(rows) // unit)
    first, last = (num_units * number // share.num_parts * unit for number in (share.number, share.number + 1))
    return rows[first:last]
