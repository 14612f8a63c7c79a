"""Several stores read as one without copying them, such as the parts that several processes extracted.

The file is JSON: ``{"format_version": 1, "parts": ["a.h5", "b.h5"]}``, with paths relative to its folder.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.errors import UserError
from vqa_rnn.features.store.base import IMAGE_COLUMNS, FeatureStore, Rows, refuse_duplicates
from vqa_rnn.files import read_json, write_json


class JoinedStore(FeatureStore):
    """A store that has the rows of several stores, one store after the other.

    Attributes:
        parts: The stores.
    """

    def __init__(self, path: Path, parts: Sequence[FeatureStore]) -> None:
        """Join stores.

        Args:
            path: The file that lists them.
            parts: The stores.

        Raises:
            UserError: They were made in different ways, or have an image id twice.
        """
        check_parts(parts)
        self.parts = tuple(parts)
        self._first_rows = np.cumsum([0, *(len(part.image_ids) for part in parts)])
        first = parts[0]
        image_ids = [image_id for part in parts for image_id in part.image_ids]
        refuse_duplicates(image_ids, str(path))
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in IMAGE_COLUMNS}
        num_regions_max = max(part.num_regions_max for part in parts)
        shape = (len(image_ids), num_regions_max, first.feature_size)
        super().__init__(
            path, image_ids, first.attributes, columns, shape, str(first.dtype), first.region_columns, columns_hash=0
        )

    def __reduce__(self) -> tuple[Callable[..., FeatureStore], tuple[Any, ...]]:
        return JoinedStore, (self.path, self.parts)

    def read(self, rows: Rows, out: NDArray[Any] | None = None) -> NDArray[Any]:
        if out is None:
            out = np.empty((len(rows), self.num_regions_max, self.feature_size), self.dtype)
        for part, places, part_rows in self._of_each_part(rows):
            out[places, : part.num_regions_max] = part.read(part_rows)
            out[places, part.num_regions_max :] = 0
        return out

    def read_column(self, name: str, rows: Rows) -> NDArray[Any]:
        like = self.parts[0].read_column(name, np.zeros(0, dtype=np.int64))
        out = np.zeros((len(rows), self.num_regions_max, *like.shape[2:]), like.dtype)
        for part, places, part_rows in self._of_each_part(rows):
            out[places, : part.num_regions_max] = part.read_column(name, part_rows)
        return out

    @property
    def num_bytes(self) -> int:
        return self.path.stat().st_size + sum(part.num_bytes for part in self.parts)

    @property
    def remedy(self) -> str:
        return f"delete it and {self.path.name}, and make them again as before"

    def file_of(self, row: int) -> Path:
        return self.parts[int(np.searchsorted(self._first_rows, row, side="right")) - 1].path

    def check_columns(self) -> None:
        for part in self.parts:
            part.check_columns()

    def damaged(self, rows: Rows) -> list[int]:
        found = []
        for part, places, part_rows in self._of_each_part(rows):
            wrong = set(part.damaged(part_rows))
            found += [int(rows[place]) for place, row in zip(places, part_rows, strict=True) if row in wrong]
        return found

    def _of_each_part(self, rows: Rows) -> list[tuple[FeatureStore, Rows, Rows]]:
        which = np.searchsorted(self._first_rows, rows, side="right") - 1
        found = []
        for number in np.unique(which).tolist():
            places = np.flatnonzero(which == number)
            found.append((self.parts[number], places, rows[places] - self._first_rows[number]))
        return found


def check_parts(parts: Sequence[FeatureStore]) -> None:
    """Check that stores can be read as one.

    Args:
        parts: At least one store.

    Raises:
        UserError: They were made with different backbones or settings, or differ in feature size, dtype or columns.
    """
    first = parts[0]
    for part in parts[1:]:
        if first.is_imported and part.is_imported and first.fingerprint != part.fingerprint:
            raise UserError(
                f"{first.path} and {part.path} were imported separately: import all files with one vqa-rnn features import"
            )
        kinds = {
            "fingerprint": (first.fingerprint, part.fingerprint),
            "feature size": (first.feature_size, part.feature_size),
            "dtype": (first.dtype, part.dtype),
            "columns of regions": (first.region_columns, part.region_columns),
        }
        for what, (one, other) in kinds.items():
            if one != other:
                raise UserError(f"{first.path} and {part.path} do not belong together: {what} {one} and {other}")


def write_joined(path: Path, parts: Sequence[Path]) -> None:
    """Write the file that lists the parts of a store.

    Args:
        path: The file, ``NAME.json``.
        parts: Paths of finished stores.
    """
    write_json(path, {"format_version": 1, "parts": [os.path.relpath(part, path.parent) for part in parts]})


def read_joined(path: Path) -> list[Path]:
    """Read the file that lists the parts of a store.

    Args:
        path: The file.

    Returns:
        The paths of the parts.

    Raises:
        UserError: The file is missing or does not list parts.
    """
    content = read_json(path, "list of the parts of a feature store")
    names = content.get("parts") if isinstance(content, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path} does not name the parts of a feature store")
    if any((path.parent / name).resolve() == path.resolve() for name in names):
        raise UserError(f"{path} names itself among the parts of a feature store")
    return [path.parent / name for name in names]
