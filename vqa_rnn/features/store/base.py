"""The interface of feature stores, and code shared by all file formats."""

import json
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from vqa_rnn.errors import UserError
from vqa_rnn.files import sync_folder

FORMAT_VERSION = 1
ATTRIBUTES = ("format_version", "backbone", "weights_sha256", "layer", "transform", "compute", "fingerprint")
HEAD_HASH = "head_hash"
COLUMNS_HASH = "columns_hash"
# Columns of images, with their dtype; optional columns of regions, with their shape after (I, K) and dtype.
IMAGE_COLUMNS = {"num_regions": "int32", "written": "bool", "failed": "bool", "source_hash": "uint64", "row_hash": "uint64"}
REGION_COLUMNS: dict[str, tuple[tuple[int, ...], str]] = {
    "boxes": ((4,), "float32"),
    "labels": ((), "int32"),
    "scores": ((), "float32"),
}
ROWS_CHECKED = 16  # when a store is opened
ROWS_AT_ONCE = 64  # rows per step of a copy or a check
COMMIT_SECONDS, COMMIT_BYTES = 2.0, 2**27  # a kill or a power cut loses at most this much

Rows = NDArray[np.int64]
Columns = Mapping[str, NDArray[Any]]


class FeatureStore(ABC):
    """A store open for reading. It can be pickled, and used after a fork.

    Attributes:
        path: The file.
        image_ids: (I,) ids in row order.
        row_of: Row by image id, for images that were written.
        skipped: Ids of images that could not be read when the store was made.
        num_regions_max: K.
        feature_size: D.
        dtype: Dtype of the features.
        num_regions: (I,) int32.
        written: (I,) bool.
        failed: (I,) bool.
        source_hash: (I,) uint64, xxh64 of the image files.
        row_hash: (I,) uint64, xxh64 of the rows.
        region_columns: Its columns of regions, from ``REGION_COLUMNS``.
        columns_hash: Hash of the ``IMAGE_COLUMNS``, as in ``hash_columns``; 0 if the store is unfinished or of an earlier
            version.
        attributes: What was recorded when the store was made; JSON values are parsed.
    """

    def __init__(
        self,
        path: Path,
        image_ids: Sequence[str],
        attributes: Mapping[str, Any],
        columns: Columns,
        shape: tuple[int, int, int],
        dtype: str,
        region_columns: Sequence[str],
        columns_hash: int,
    ) -> None:
        """Initialise the store with the contents of its file.

        Args:
            path: The file.
            image_ids: (I,) ids in row order.
            attributes: As recorded.
            columns: The ``IMAGE_COLUMNS``.
            shape: I, K and D.
            dtype: ``float16`` or ``float32``.
            region_columns: Its columns of regions; other names are ignored.
            columns_hash: As recorded.

        Raises:
            UserError: The image ids or attributes are damaged.
        """
        self.path, self.image_ids, self.attributes = path, list(image_ids), dict(attributes)
        claimed = self.attributes.pop(HEAD_HASH, None)  # missing in stores of earlier versions
        if claimed is not None and claimed != hash_head(self.image_ids, self.attributes):
            raise UserError(f"{path} is damaged: its image ids or attributes are not those that were written; {self.remedy}")
        _, self.num_regions_max, self.feature_size = shape
        self.dtype = np.dtype(dtype)
        self.num_regions, self.written, self.failed = columns["num_regions"], columns["written"], columns["failed"]
        self.row_hash, self.source_hash = columns["row_hash"], columns["source_hash"]
        self.columns_hash = columns_hash
        self.region_columns = tuple(name for name in REGION_COLUMNS if name in region_columns)
        self.row_of = {image_id: row for row, image_id in enumerate(self.image_ids) if self.written[row]}
        self.skipped = {self.image_ids[row] for row in np.flatnonzero(self.failed)}

    def __reduce__(self) -> tuple[Callable[..., "FeatureStore"], tuple[Path]]:
        return type(self), (self.path,)  # a spawned loader process opens the file again

    @abstractmethod
    def read(self, rows: Rows, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Read features.

        Args:
            rows: (n,) rows.
            out: (n, K, D) array to write them to; by default a new one.

        Returns:
            (n, K, D) features, padded with zeros if an image has fewer than K regions.
        """

    @abstractmethod
    def read_column(self, name: str, rows: Rows) -> NDArray[Any]:
        """Read a column of regions.

        Args:
            name: One of ``region_columns``.
            rows: (n,) rows.

        Returns:
            (n, K, …), as in ``REGION_COLUMNS``, padded with zeros if an image has fewer than K regions.
        """

    @property
    def bytes_per_image(self) -> int:
        """Size of the features of an image with K regions."""
        return self.num_regions_max * self.feature_size * self.dtype.itemsize

    @property
    def num_bytes(self) -> int:
        """Size of the file, or of all files of a joined store."""
        return self.path.stat().st_size

    @property
    def has_boxes(self) -> bool:
        """Whether the store has the boxes of regions."""
        return "boxes" in self.region_columns

    @property
    def fingerprint(self) -> str:
        """Identifies backbone, weights, layers and transform."""
        return str(self.attributes["fingerprint"])

    @property
    def description(self) -> dict[str, Any]:
        """The attributes that the fingerprint identifies."""
        return {key: self.attributes[key] for key in ("backbone", "weights_sha256", "layer", "transform")}

    @property
    def weights(self) -> str:
        """Name of the backbone's weights; only their hash is part of the fingerprint."""
        return str(self.attributes.get("weights", ""))

    @property
    def is_imported(self) -> bool:
        """Whether ``vqa-rnn features import`` made it."""
        return str(self.attributes["backbone"]).startswith("imported/")

    @property
    def remedy(self) -> str:
        """What to do if the store is damaged, for error messages."""
        return "delete it and " + ("import it again" if self.is_imported else "run vqa-rnn preprocess again")

    def rows(self, image_ids: Sequence[str]) -> Rows:
        """Return the rows of images.

        Args:
            image_ids: The images.

        Returns:
            (len(image_ids),) rows.

        Raises:
            UserError: An image is not in the store, or could not be read when it was made.
        """
        missing = [image_id for image_id in dict.fromkeys(image_ids) if image_id not in self.row_of]
        skipped = sorted(self.skipped.intersection(missing))
        if skipped:
            more = ", …" if len(skipped) > 1 else ""
            raise UserError(
                f"{self.path}: {len(skipped)} of the images asked about could not be read when it was made "
                f"({skipped[0]}{more}): "
                "replace them and run vqa-rnn preprocess again, or set features.skip_damaged=true to leave them out"
            )
        if missing:
            few = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
            raise UserError(
                f"{self.path} has no features of {len(missing)} of the images asked about ({few}): "
                + ("import those too" if self.is_imported else "run vqa-rnn preprocess with the same config")
            )
        return np.array([self.row_of[image_id] for image_id in image_ids], dtype=np.int64)

    def damaged(self, rows: Rows) -> list[int]:
        """Find rows that do not match their hashes.

        Args:
            rows: (n,) rows that were written.

        Returns:
            The damaged rows.
        """
        features = self.read(rows)
        columns = {name: self.read_column(name, rows) for name in self.region_columns}
        found = (hash_row(features[i], {name: values[i] for name, values in columns.items()}) for i in range(len(rows)))
        return [int(row) for row, value in zip(rows, found, strict=True) if value != self.row_hash[row]]

    def file_of(self, row: int) -> Path:
        """Return the file that holds a row.

        Args:
            row: The row.

        Returns:
            The store's only file, or one of its parts.
        """
        return self.path

    def check_some_rows(self) -> None:
        """Check a few rows, spread over the store, and the columns of all images against their hashes.

        Raises:
            UserError: A row or the columns are damaged.
        """
        rows = np.flatnonzero(self.written)
        self.refuse_damaged(rows[:: max(1, -(-len(rows) // ROWS_CHECKED))], self.remedy)
        self.check_columns()

    def check_columns(self) -> None:
        """Check the ``IMAGE_COLUMNS`` against their hash.

        Raises:
            UserError: They are damaged.
        """
        columns = {name: getattr(self, name) for name in IMAGE_COLUMNS}
        if self.columns_hash and self.columns_hash != hash_columns(columns):
            raise UserError(f"{self.path} is damaged: its {', '.join(columns)} are not those that were written; {self.remedy}")

    def refuse_damaged(self, rows: Rows, advice: str) -> None:
        """Check rows against their hashes.

        Args:
            rows: (n,) rows that were written.
            advice: What to do about a damaged row, for the error message.

        Raises:
            UserError: A row is damaged.
        """
        wrong = self.damaged(rows)
        if wrong:
            file, name = self.file_of(wrong[0]), self.image_ids[wrong[0]]
            raise UserError(f"{file} is damaged: the features of image {name} are not those that were written; {advice}")


class StoreWriter(ABC):
    """A writer of a store. It can be interrupted at any time and continued later.

    Attributes:
        path: Path of the finished store.
        partial: Path of the unfinished store.
        image_ids: (I,) ids in row order.
        attributes: What was recorded when the store was created; JSON values are parsed.
    """

    path: Path
    partial: Path
    image_ids: list[str]
    attributes: dict[str, Any]
    _committed: float

    def __init__(self, path: Path, partial: Path) -> None:
        """Open the unfinished store that ``lay_out`` made.

        Args:
            path: Path of the finished store.
            partial: Path of the unfinished store.
        """
        self.path, self.partial = path, partial
        self._committed = time.monotonic()

    @staticmethod
    @abstractmethod
    def lay_out(
        path: Path,
        image_ids: Sequence[str],
        shape: tuple[int, int],
        dtype: str,
        attributes: Mapping[str, Any],
        region_columns: Sequence[str],
    ) -> None:
        """Create a store without rows.

        Args:
            path: The file.
            image_ids: Image ids in row order.
            shape: K and D.
            dtype: ``float16`` or ``float32``.
            attributes: As in ``create_store``.
            region_columns: The columns of regions, from ``REGION_COLUMNS``.
        """

    @property
    @abstractmethod
    def done(self) -> NDArray[np.bool_]:
        """(I,) bool, whether each row is written or failed."""

    def write(
        self,
        rows: Sequence[int],
        features: Sequence[NDArray[Any]] | NDArray[Any],
        source_hash: Sequence[int],
        **columns: Sequence[NDArray[Any]],
    ) -> None:
        """Write rows. They are on the disk after the next ``commit``, which is called automatically every few seconds.

        Args:
            rows: The rows.
            features: For each row (its regions, D). Rows with fewer than K regions are padded with zeros.
            source_hash: xxh64 of each image file.
            **columns: For each column of regions that the store has, the values of each row (its regions, …).
        """
        for i, row in enumerate(rows):
            self._write_row(row, features[i], source_hash[i], {name: values[i] for name, values in columns.items()})
        if self._waiting_bytes > COMMIT_BYTES or time.monotonic() - self._committed > COMMIT_SECONDS:
            self.commit()

    @abstractmethod
    def _write_row(self, row: int, features: NDArray[Any], source_hash: int, columns: Columns) -> None:
        """Write one row, which is not committed yet."""

    @property
    @abstractmethod
    def _waiting_bytes(self) -> int:
        """Size of the rows that are not committed."""

    def commit(self) -> None:
        """Mark rows as written once they are on the disk."""
        self._commit()
        self._committed = time.monotonic()

    @abstractmethod
    def _commit(self) -> None:
        """Implement ``commit`` for a file format."""

    @abstractmethod
    def fail(self, row: int) -> None:
        """Mark an image as failed: it cannot be read.

        Args:
            row: The row of the image.
        """

    @abstractmethod
    def forget_failures(self) -> None:
        """Mark failed images as not done, so that they are tried again."""

    def finish(self) -> Path:
        """Commit the last rows and rename the store to its final path.

        Returns:
            The path of the finished store.
        """
        self.commit()
        self._close()
        os.replace(self.partial, self.path)
        sync_folder(self.path.parent)
        return self.path

    @abstractmethod
    def _close(self) -> None:
        """Write all remaining data to the disk."""

    def pending(self, batch_rows: int, offset: int = 0) -> Iterator[range]:
        """Yield the ranges of rows that are not done. Ranges are fixed, so a batch has the same rows whatever was done before.

        Args:
            batch_rows: Rows per range.
            offset: Number of rows before the first one, in other parts of the store. A range that begins there is cut.

        Yields:
            Ranges of rows in which at least one is neither written nor failed.
        """
        done = self.done
        for start in range(-(offset % batch_rows), len(self.image_ids), batch_rows):
            rows = range(max(start, 0), min(start + batch_rows, len(self.image_ids)))
            if not done[rows.start : rows.stop].all():
                yield rows

    def take_over(self, store: FeatureStore) -> None:
        """Copy the rows of all images that another store has too.

        Args:
            store: The other store.
        """
        shared = [(row, store.row_of[image_id]) for row, image_id in enumerate(self.image_ids) if image_id in store.row_of]
        for start in range(0, len(shared), ROWS_AT_ONCE):
            rows, old_rows = zip(*shared[start : start + ROWS_AT_ONCE], strict=True)
            self.copy_rows(store, np.array(old_rows, dtype=np.int64), rows)

    def copy_rows(self, store: FeatureStore, source_rows: Rows, rows: Sequence[int]) -> None:
        """Copy rows of another store.

        Args:
            store: The other store.
            source_rows: (n,) rows in the other store.
            rows: (n,) rows in this store.
        """
        counts = store.num_regions[source_rows]

        def existing(values: NDArray[Any]) -> list[NDArray[Any]]:
            return [each[:count] for each, count in zip(values, counts, strict=True)]

        columns = {name: existing(store.read_column(name, source_rows)) for name in store.region_columns}
        self.write(rows, existing(store.read(source_rows)), store.source_hash[source_rows].tolist(), **columns)


def hash_row(features: NDArray[Any], columns: Columns) -> int:
    """Hash the row of an image.

    Args:
        features: (K, D).
        columns: (K, …) values of each column of regions.

    Returns:
        xxh64 of all bytes.
    """
    digest = xxhash.xxh64(np.ascontiguousarray(features).data)
    for name in REGION_COLUMNS:
        if name in columns:
            digest.update(np.ascontiguousarray(columns[name]).data)
    return digest.intdigest()


def hash_columns(columns: Columns) -> int:
    """Hash the columns of images.

    Args:
        columns: The ``IMAGE_COLUMNS``.

    Returns:
        xxh64 of all bytes.
    """
    digest = xxhash.xxh64()
    for name in IMAGE_COLUMNS:
        digest.update(np.ascontiguousarray(columns[name]).data)
    return digest.intdigest()


def hash_head(image_ids: Sequence[str], attributes: Mapping[str, Any]) -> str:
    """Hash the image ids and attributes of a store.

    Args:
        image_ids: (I,) ids in row order.
        attributes: As recorded, without the hash itself; ``format_version`` is ignored.

    Returns:
        xxh64 of their JSON, in hexadecimal digits.
    """
    counted = {name: value for name, value in attributes.items() if name != "format_version"}
    return xxhash.xxh64_hexdigest(json.dumps([list(image_ids), counted], sort_keys=True).encode())


def padded_row(regions: NDArray[Any], num_regions_max: int) -> NDArray[Any]:
    """Pad the values of an image's regions with zeros.

    Args:
        regions: (n, …), n at most K.
        num_regions_max: K.

    Returns:
        (K, …).
    """
    row = np.zeros((num_regions_max, *regions.shape[1:]), dtype=regions.dtype)
    row[: len(regions)] = regions
    return row


def check_attributes(attributes: Mapping[str, Any], path: Path) -> None:
    """Check that a file is a feature store of a known format.

    Args:
        attributes: The attributes of the file, with JSON values parsed.
        path: The file, for the error message.

    Raises:
        UserError: An attribute is missing, or the format version is unknown.
    """
    lacking = [name for name in ATTRIBUTES if name not in attributes]
    if lacking:
        raise UserError(f"{path} is not a feature store: {lacking[0]} is missing")
    version = attributes["format_version"]
    if not isinstance(version, int):
        raise UserError(f"{path} is not a feature store: format_version is not a number")
    if version > FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {version}; this program knows versions up to {FORMAT_VERSION}: install a newer vqa-rnn"
        )


def check_space(path: Path, needed: int) -> None:
    """Check that the disk has enough space for a new file.

    Without this check, a write through a memory map to a full disk would kill the process hours later, without a message.

    Args:
        path: The new file.
        needed: Its size in bytes.

    Raises:
        UserError: There is not enough space.
    """
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise UserError(f"{path} needs {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free there")


def refuse_duplicates(image_ids: Sequence[str], where: str) -> None:
    """Check that image ids are unique.

    Args:
        image_ids: The ids.
        where: Where the ids are from, for the error message.

    Raises:
        UserError: An id occurs twice.
    """
    if len(set(image_ids)) < len(image_ids):
        seen: set[str] = set()
        twice = next(image_id for image_id in image_ids if image_id in seen or seen.add(image_id))  # type: ignore[func-returns-value]
        raise UserError(f"{where}: the image id '{twice}' comes twice; ids must be unique")
