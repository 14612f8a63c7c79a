"""A feature store in one HDF5 file, contiguous and uncompressed, read and written through a memory map.

All space is allocated when the file is created, so every HDF5 dataset has a fixed offset, and HDF5's own metadata never changes
afterwards. Rows are written through the memory map and flushed to the disk, and only then ``/written`` is set. The file
therefore stays valid after a kill or a power cut at any time.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vqa_rnn.errors import UserError
from vqa_rnn.features.store.base import (
    COLUMNS_HASH,
    FORMAT_VERSION,
    IMAGE_COLUMNS,
    REGION_COLUMNS,
    Columns,
    FeatureStore,
    Rows,
    StoreWriter,
    check_attributes,
    check_space,
    hash_columns,
    hash_row,
    refuse_duplicates,
)


class Hdf5Store(FeatureStore):
    """An HDF5 store open for reading. Rows are read from the memory map."""

    def __init__(self, path: Path) -> None:
        """Map the file into memory.

        Args:
            path: The file.

        Raises:
            UserError: It is not a feature store, of a newer format or damaged, or has an image id twice.
        """
        image_ids, attributes, columns = _map(path, "r")
        self._columns = {name: np.asarray(column) for name, column in columns.items()}
        features = columns["features"]
        columns_hash = int(columns[COLUMNS_HASH][0]) if COLUMNS_HASH in columns else 0
        super().__init__(
            path, image_ids, attributes, self._columns, features.shape, str(features.dtype), [*columns], columns_hash
        )

    def read(self, rows: Rows, out: NDArray[Any] | None = None) -> NDArray[Any]:
        return np.take(self._columns["features"], rows, axis=0, out=out, mode="clip")  # mode="raise" copies twice

    def read_column(self, name: str, rows: Rows) -> NDArray[Any]:
        return self._columns[name][rows]


class Hdf5Writer(StoreWriter):
    """A writer of an HDF5 store."""

    def __init__(self, path: Path, partial: Path) -> None:
        super().__init__(path, partial)
        self.image_ids, self.attributes, self._columns = _map(partial, "r+")
        self._unmarked: list[int] = []

    @staticmethod
    def lay_out(
        path: Path,
        image_ids: Sequence[str],
        shape: tuple[int, int],
        dtype: str,
        attributes: Mapping[str, Any],
        region_columns: Sequence[str],
    ) -> None:
        shapes: dict[str, tuple[tuple[int, ...], str]] = {"features": ((len(image_ids), *shape), dtype)}
        for name in region_columns:
            behind, kind = REGION_COLUMNS[name]
            shapes[name] = (len(image_ids), shape[0], *behind), kind
        shapes |= {name: ((len(image_ids),), kind) for name, kind in IMAGE_COLUMNS.items()}
        shapes[COLUMNS_HASH] = (1,), "uint64"
        check_space(path, sum(math.prod(sizes) * np.dtype(kind).itemsize for sizes, kind in shapes.values()))
        with h5py.File(path, "w") as file:
            file.create_dataset("image_id", data=list(image_ids), dtype=h5py.string_dtype("utf-8"))
            for name, (sizes, kind) in shapes.items():
                _allocate(file, name, sizes, kind)
            file.attrs["format_version"] = FORMAT_VERSION
            for key, value in sorted(attributes.items()):
                file.attrs[key] = json.dumps(value) if isinstance(value, Mapping | list | tuple) else value

    @property
    def done(self) -> NDArray[np.bool_]:
        done: NDArray[np.bool_] = self._columns["written"] | self._columns["failed"]
        done[self._unmarked] = True
        return done

    def _write_row(self, row: int, features: NDArray[Any], source_hash: int, columns: Columns) -> None:
        count = len(features)
        for name, values in {"features": features, **columns}.items():
            self._columns[name][row, :count] = values
            self._columns[name][row, count:] = 0
        self._columns["num_regions"][row] = count
        self._columns["source_hash"][row] = source_hash
        written = {name: self._columns[name][row] for name in columns}
        self._columns["row_hash"][row] = hash_row(self._columns["features"][row], written)
        self._unmarked.append(row)

    @property
    def _waiting_bytes(self) -> int:
        return len(self._unmarked) * self._columns["features"][:1].nbytes

    def _commit(self) -> None:
        if self._unmarked:
            self._flush(name for name in self._columns if name != "written")
            self._columns["written"][self._unmarked] = True
            self._unmarked = []
        self._flush(["written"])

    def _flush(self, names: Iterable[str]) -> None:
        for name in names:
            column = self._columns[name]
            if isinstance(column, np.memmap):
                column.flush()

    def forget_failures(self) -> None:
        self._columns["failed"][:] = False

    def fail(self, row: int) -> None:
        self._columns["failed"][row] = True

    def _close(self) -> None:
        if COLUMNS_HASH in self._columns:  # missing in stores of earlier versions
            self._columns[COLUMNS_HASH][0] = hash_columns(self._columns)
        self._flush(self._columns)


def _allocate(file: h5py.File, name: str, shape: tuple[int, ...], dtype: str) -> None:
    """Create a contiguous HDF5 dataset and allocate its space now."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_obj_track_times(False)  # so that equal features give equal bytes
    kind = h5py.h5t.py_create(np.dtype(dtype), logical=True)
    h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape), dcpl=creation)


def _map(path: Path, mode: str) -> tuple[list[str], dict[str, Any], dict[str, NDArray[Any]]]:
    """Read the ids and attributes, and map every column into memory."""
    try:
        with h5py.File(path, "r") as file:
            attributes = {key: _plain(value) for key, value in file.attrs.items()}
            check_attributes(attributes, path)
            lacking = [name for name in ("image_id", "features", *IMAGE_COLUMNS) if name not in file]
            if lacking:
                raise UserError(f"{path} is not a feature store: {lacking[0]} is missing")
            image_ids = [str(name) for name in file["image_id"].asstr()[:]]
            places = {}
            for name in ("features", *REGION_COLUMNS, *IMAGE_COLUMNS, COLUMNS_HASH):
                if name in file:
                    dataset = file[name]
                    places[name] = (dataset.id.get_offset(), dataset.shape, dataset.dtype)
    except OSError as error:
        raise UserError(f"cannot open {path} as HDF5: it is of another kind, cut off or damaged ({error})") from error
    except (TypeError, ValueError, AttributeError, KeyError, RuntimeError) as error:  # the last two: damaged HDF5 structure
        raise UserError(f"{path} is an HDF5 file but not a feature store, or is damaged: {error}") from error
    scattered = next((name for name, (offset, _, _) in places.items() if offset is None), None)
    if scattered is not None:
        raise UserError(f"{path} is not a feature store: {scattered} is not contiguous")
    refuse_duplicates(image_ids, str(path))
    columns: dict[str, NDArray[Any]] = {}
    for name, (offset, shape, dtype) in places.items():
        columns[name] = np.memmap(path, dtype=dtype, mode=mode, offset=offset, shape=shape)  # type: ignore[call-overload]
    return image_ids, attributes, columns


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str) and value.startswith(("{", "[")):
        return json.loads(value)
    return value
