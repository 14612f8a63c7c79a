"""A feature store in one LMDB file: one value per image, without padding for images with fewer regions.

    ``meta``     JSON: shape, dtype, columns of regions, attributes
    ``ids``      JSON: the image ids in row order
    ``NUM``      a row, with its number in 8 bytes as the key: state, number of regions, source hash, row hash; then the
                 features and each column of its regions
    ``columns``  the columns of images, one after the other, written when the store is finished; ``columns_hash`` is their hash

A transaction is written completely or not at all, so the file stays valid after a kill or a power cut at any time.
"""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import lmdb
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
    padded_row,
    refuse_duplicates,
)

MAGIC, MAGIC_AT = struct.pack("=I", 0xBEEFC0DE), 16  # in LMDB's first page
_HEADER = struct.Struct("<IIQQ")  # state, number of regions, source hash, row hash
_WRITTEN, _FAILED = 1, 2
_READ: WeakValueDictionary[tuple[int, int], Any] = WeakValueDictionary()  # open environments by device and inode
_SPARE = 64 * 2**20  # bytes of the map for ids, columns and tree pages


class LmdbStore(FeatureStore):
    """An LMDB store open for reading."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Args:
            path: The file.

        Raises:
            UserError: It is not a feature store, of a newer format or damaged, or has an image id twice.
        """
        with _reading(path):
            self._environment = _open_shared(path)
            with self._environment.begin(buffers=True) as transaction:
                meta, image_ids = _read_meta(transaction, path)
                columns = _read_columns(transaction, len(image_ids))
                columns_hash = int.from_bytes(transaction.get(COLUMNS_HASH.encode(), b""), "big")
        super().__init__(
            path,
            image_ids,
            meta["attributes"],
            columns,
            meta["shape"],
            meta["dtype"],
            meta["region_columns"],
            columns_hash,
        )
        self._layout = _layout(meta)

    def read(self, rows: Rows, out: NDArray[Any] | None = None) -> NDArray[Any]:
        return self._copy("features", rows, out)

    def read_column(self, name: str, rows: Rows) -> NDArray[Any]:
        return self._copy(name, rows, None)

    def _copy(self, name: str, rows: Rows, out: NDArray[Any] | None) -> NDArray[Any]:
        behind, dtype, before = self._layout[name]
        region_bytes = int(np.prod(behind, dtype=np.int64)) * dtype.itemsize
        row_bytes = self.num_regions_max * region_bytes
        found = np.empty((len(rows), self.num_regions_max, *behind), dtype) if out is None else out
        if not found.flags.c_contiguous:
            found[:] = self._copy(name, rows, None)
            return found
        to = found.reshape(-1).view(np.uint8).data  # an array per row would cost as much as the copy itself
        with _reading(self.path), self._environment.begin(buffers=True) as transaction:
            for i, row in enumerate(rows.tolist()):
                value = transaction.get(_key(row))
                count = 0 if value is None else _HEADER.unpack_from(value)[1]
                end = i * row_bytes + count * region_bytes
                if count:
                    start = _HEADER.size + count * before
                    to[i * row_bytes : end] = value[start : start + count * region_bytes]
                if count < self.num_regions_max:
                    found[i, count:] = 0
        return found


class LmdbWriter(StoreWriter):
    """A writer of an LMDB store."""

    def __init__(self, path: Path, partial: Path) -> None:
        super().__init__(path, partial)
        with _reading(partial):
            self._environment = _open(partial, map_size=0)  # 0: the size that ``lay_out`` set, not LMDB's 10 MB
            with self._environment.begin() as transaction:
                self._meta, self.image_ids = _read_meta(transaction, partial)
                self._columns = _read_columns(transaction, len(self.image_ids))
        self.attributes = self._meta["attributes"]
        self._waiting: dict[int, bytes] = {}

    @staticmethod
    def lay_out(
        path: Path,
        image_ids: Sequence[str],
        shape: tuple[int, int],
        dtype: str,
        attributes: Mapping[str, Any],
        region_columns: Sequence[str],
    ) -> None:
        meta = {
            "shape": [len(image_ids), *shape],
            "dtype": dtype,
            "region_columns": list(region_columns),
            "attributes": {"format_version": FORMAT_VERSION, **attributes},
        }
        needed = len(image_ids) * _row_bytes(meta)
        check_space(path, needed)
        with _writing(path):
            environment = _open(path, map_size=needed + needed // 8 + _SPARE + 1024 * len(image_ids))
            with environment.begin(write=True) as transaction:
                transaction.put(b"meta", json.dumps(meta).encode())
                transaction.put(b"ids", json.dumps(list(image_ids)).encode())
            environment.close()

    @property
    def done(self) -> NDArray[np.bool_]:
        done: NDArray[np.bool_] = self._columns["written"] | self._columns["failed"]
        done[list(self._waiting)] = True
        return done

    def _write_row(self, row: int, features: NDArray[Any], source_hash: int, columns: Columns) -> None:
        num_regions_max = self._meta["shape"][1]
        stored = np.asarray(features, self._meta["dtype"])
        regions = {name: np.asarray(columns[name], REGION_COLUMNS[name][1]) for name in self._meta["region_columns"]}
        padded = {name: padded_row(values, num_regions_max) for name, values in regions.items()}
        row_hash = hash_row(padded_row(stored, num_regions_max), padded)
        parts = [_HEADER.pack(_WRITTEN, len(stored), source_hash, row_hash), stored.tobytes()]
        self._waiting[row] = b"".join([*parts, *(values.tobytes() for values in regions.values())])

    def fail(self, row: int) -> None:
        self._waiting[row] = _HEADER.pack(_FAILED, 0, 0, 0)

    @property
    def _waiting_bytes(self) -> int:
        return len(self._waiting) * _row_bytes(self._meta)

    def _commit(self) -> None:
        with _writing(self.partial), self._environment.begin(write=True) as transaction:
            for row, value in self._waiting.items():
                transaction.put(_key(row), value)
        for row, value in self._waiting.items():
            _set_columns(self._columns, row, value)
        self._waiting.clear()

    def forget_failures(self) -> None:
        failed = np.flatnonzero(self._columns["failed"])
        with _writing(self.partial), self._environment.begin(write=True) as transaction:
            for row in failed.tolist():
                transaction.delete(_key(row))
        self._columns["failed"][:] = False

    def _close(self) -> None:
        with _writing(self.partial), self._environment.begin(write=True) as transaction:
            transaction.put(b"columns", b"".join(self._columns[name].tobytes() for name in IMAGE_COLUMNS))
            transaction.put(COLUMNS_HASH.encode(), hash_columns(self._columns).to_bytes(8, "big"))
        self._environment.sync(True)
        self._environment.close()


def _open(path: Path, **options: Any) -> Any:
    # No LMDB lock file: only one process writes a store, and it holds a lock of its own.
    environment = lmdb.open(str(path), subdir=False, lock=False, readahead=False, meminit=False, **options)
    size, needed = path.stat().st_size, (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if size < needed:  # reading beyond the end of a mapped file kills the process
        environment.close()
        raise UserError(f"{path} is cut off: it has {size:,} of {needed:,} bytes; delete it and run vqa-rnn preprocess again")
    return environment


def _open_shared(path: Path) -> Any:
    """Open for reading. A process must not open a file twice, so an open file is reused. Forked processes may read it too."""
    status = path.stat()
    if status.st_size == 0:
        raise UserError(f"{path} is empty: delete it and make it again as before")
    environment = _READ.get((status.st_dev, status.st_ino))
    if environment is None:
        environment = _READ[status.st_dev, status.st_ino] = _open(path, readonly=True)
    return environment


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Raise errors of writing, such as a full disk, as ``UserError``."""
    try:
        yield
    except lmdb.Error as error:
        raise UserError(f"cannot write {path}: {error}") from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise errors of reading a file that is not a store as ``UserError``."""
    try:
        yield
    except lmdb.Error as error:
        raise UserError(f"cannot open {path} as LMDB: {error}") from error
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise UserError(f"{path} is an LMDB file but not a feature store: {error}") from error


def _key(row: int) -> bytes:
    return row.to_bytes(8, "big")


def _read_meta(transaction: Any, path: Path) -> tuple[dict[str, Any], list[str]]:
    content, ids = transaction.get(b"meta"), transaction.get(b"ids")
    if content is None or ids is None:
        raise UserError(f"{path} is an LMDB file but not a feature store: {'ids' if content else 'meta'} is missing")
    meta = json.loads(bytes(content))
    check_attributes(meta["attributes"], path)
    image_ids = [str(name) for name in json.loads(bytes(ids))]
    refuse_duplicates(image_ids, str(path))
    return meta, image_ids


def _read_columns(transaction: Any, num_images: int) -> dict[str, NDArray[Any]]:
    """Read the columns of images: the stored ones of a finished store, else from the headers of the rows that exist."""
    columns = {name: np.zeros(num_images, dtype=kind) for name, kind in IMAGE_COLUMNS.items()}
    content = transaction.get(b"columns")
    if content is None:
        for key, value in transaction.cursor():
            if len(key) == 8:
                _set_columns(columns, int.from_bytes(key, "big"), value)
        return columns
    start = 0
    for name, column in columns.items():
        columns[name] = np.frombuffer(content, column.dtype, num_images, start).copy()
        start += column.nbytes
    return columns


def _set_columns(columns: Mapping[str, NDArray[Any]], row: int, value: bytes) -> None:
    state, count, source_hash, row_hash = _HEADER.unpack_from(value)
    columns["written"][row], columns["failed"][row] = state == _WRITTEN, state == _FAILED
    columns["num_regions"][row], columns["source_hash"][row], columns["row_hash"][row] = count, source_hash, row_hash


Layout = dict[str, tuple[tuple[int, ...], np.dtype, int]]


def _layout(meta: Mapping[str, Any]) -> Layout:
    """Return for each column of regions its shape after (K,), its dtype, and the bytes per region of the columns before it."""
    layout: Layout = {"features": ((meta["shape"][2],), np.dtype(meta["dtype"]), 0)}
    before = meta["shape"][2] * np.dtype(meta["dtype"]).itemsize
    for name in meta["region_columns"]:
        behind, kind = REGION_COLUMNS[name]
        layout[name] = behind, np.dtype(kind), before
        before += int(np.prod(behind, dtype=np.int64)) * np.dtype(kind).itemsize
    return layout


def _row_bytes(meta: Mapping[str, Any]) -> int:
    layout = _layout(meta)
    a_region = sum(int(np.prod(behind, dtype=np.int64)) * dtype.itemsize for behind, dtype, _ in layout.values())
    page = 4096
    return -(-(_HEADER.size + meta["shape"][1] * a_region + 16) // page) * page
