"""The parts of a store that several processes make: what they are called, which images each has, and how they are joined.

Part 2 of 8 of ``NAME.h5`` is ``NAME.part-0002-of-0008.h5``; when all are finished, ``NAME.json`` names them and is the store.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vqa_rnn.errors import UserError
from vqa_rnn.features.store.joined import write_joined

JOINED = ".json"
_PART = re.compile(r"\.part-\d+-of-(\d+)(\.partial)?$")


class Share(NamedTuple):
    """Which part of the work is a process's own.

    Attributes:
        number: Of the part, from 0.
        num_parts: How many there are: one a process.
    """

    number: int
    num_parts: int


def joined_path(path: Path) -> Path:
    """The file that names the parts of a store.

    Args:
        path: The store.

    Returns:
        ``NAME.json``.
    """
    return path.with_suffix(JOINED)


def part_path(path: Path, share: Share) -> Path:
    """A part of a store.

    Args:
        path: The store.
        share: Which part.

    Returns:
        Its path.
    """
    return path.with_name(f"{path.stem}.part-{share.number:04d}-of-{share.num_parts:04d}{path.suffix}")


def is_part(path: Path) -> bool:
    """Whether a file is a part of a store.

    Args:
        path: The file.

    Returns:
        Whether it is called so.
    """
    return _PART.search(path.stem) is not None


def count_parts(path: Path) -> int:
    """Into how many parts a store was cut that is being made.

    Args:
        path: The store.

    Returns:
        Their number; 0 where there are none.

    Raises:
        UserError: There are parts of two cuts.
    """
    found = {int(match[1]) for file in path.parent.glob(f"{path.stem}.part-*") if (match := _PART.search(file.stem))}
    if len(found) > 1:
        counts = " and ".join(map(str, sorted(found)))
        raise UserError(f"{path} was begun in {counts} parts: delete the files {path.stem}.part-* of one of them")
    return found.pop() if found else 0


def cut(image_ids: Sequence[str], share: Share, batch_rows: int) -> Sequence[str]:
    """The images of a part. Batches are not cut, so that they are those of one process.

    Args:
        image_ids: All images.
        share: Which part.
        batch_rows: Images a batch.

    Returns:
        A run of them.
    """
    num_batches = -(-len(image_ids) // batch_rows)
    first, last = (num_batches * number // share.num_parts * batch_rows for number in (share.number, share.number + 1))
    return image_ids[first:last]


def join_parts(path: Path, count: int) -> Path | None:
    """Join the parts of a store, if all that hold images are finished.

    Args:
        path: The store.
        count: How many parts there are.

    Returns:
        The file that names them; None where one is missing.
    """
    parts = [part_path(path, Share(index, count)) for index in range(count)]
    if not all(part.is_file() for part in parts):
        return None
    write_joined(joined_path(path), parts)
    return joined_path(path)
