"""What every feature store has, whatever kind of file holds it."""

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
# Of each image, and of each of its regions where the store has them: shape behind (I,) or (I, K), and dtype.
IMAGE_COLUMNS = {"num_regions": "int32", "written": "bool", "failed": "bool", "source_hash": "uint64", "row_hash": "uint64"}
REGION_COLUMNS: dict[str, tuple[tuple[int, ...], str]] = {
    "boxes": ((4,), "float32"),
    "labels": ((), "int32"),
    "scores": ((), "float32"),
}
ROWS_CHECKED = 16  # when a store is opened
ROWS_AT_ONCE = 64  # of a copy or a check
COMMIT_SECONDS, COMMIT_BYTES = 2.0, 2**27  # no more than this is lost by a kill or a power cut

Rows = NDArray[np.int64]
Columns = Mapping[str, NDArray[Any]]


class FeatureStore(ABC):
    """A store open for reading. It may be pickled, and used after a fork.

    Attributes:
        path: The file.
        image_ids: (I,) ids in row order.
        row_of: Row by image id, for images that were written.
        skipped: Images that could not be read when it was made.
        num_regions_max: K.
        feature_size: D.
        dtype: Of the features.
        num_regions: (I,) int32.
        written: (I,) bool.
        failed: (I,) bool.
        source_hash: (I,) uint64, xxh64 of the image files.
        row_hash: (I,) uint64, xxh64 of the rows.
        region_columns: Which of ``REGION_COLUMNS`` it has.
        columns_hash: Of the ``IMAGE_COLUMNS``, as ``hash_columns``; 0 if the store is unfinished or of an earlier version.
        attributes: What was recorded when it was made; ``transform`` and ``compute`` parsed.
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
        """Take what the file says.

        Args:
            path: The file.
            image_ids: (I,) ids in row order.
            attributes: As recorded.
            columns: The ``IMAGE_COLUMNS``.
            shape: I, K and D.
            dtype: ``float16`` or ``float32``.
            region_columns: Which columns of regions there are.
            columns_hash: As recorded.

        Raises:
            UserError: The image ids or attributes are not those that were written.
        """
        self.path, self.image_ids, self.attributes = path, list(image_ids), dict(attributes)
        claimed = self.attributes.pop(HEAD_HASH, None)  # which stores of earlier versions do not have
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
        return type(self), (self.path,)  # a loader process that is spawned opens the file anew

    @abstractmethod
    def read(self, rows: Rows, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Copy features.

        Args:
            rows: (n,) rows.
            out: (n, K, D) array to copy them to, by default a new one.

        Returns:
            (n, K, D) features; zeros where an image has fewer than K regions.
        """

    @abstractmethod
    def read_column(self, name: str, rows: Rows) -> NDArray[Any]:
        """Copy what is known of regions.

        Args:
            name: One of ``region_columns``.
            rows: (n,) rows.

        Returns:
            (n, K, …), as ``REGION_COLUMNS`` says; zeros where an image has fewer than K regions.
        """

    @property
    def bytes_per_image(self) -> int:
        """Of the features of an image with K regions."""
        return self.num_regions_max * self.feature_size * self.dtype.itemsize

    @property
    def num_bytes(self) -> int:
        """Of the file, or the files."""
        return self.path.stat().st_size

    @property
    def has_boxes(self) -> bool:
        """Whether it says where regions lie."""
        return "boxes" in self.region_columns

    @property
    def fingerprint(self) -> str:
        """Identifies backbone, weights, layers and transform."""
        return str(self.attributes["fingerprint"])

    @property
    def description(self) -> dict[str, Any]:
        """What the fingerprint identifies."""
        return {key: self.attributes[key] for key in ("backbone", "weights_sha256", "layer", "transform")}

    @property
    def weights(self) -> str:
        """What the backbone's weights are called; the fingerprint holds their hash alone."""
        return str(self.attributes.get("weights", ""))

    @property
    def is_imported(self) -> bool:
        """Whether ``vqa-rnn features import`` made it."""
        return str(self.attributes["backbone"]).startswith("imported/")

    @property
    def remedy(self) -> str:
        """What to do when it is damaged."""
        return "delete it and " + ("import it again" if self.is_imported else "run vqa-rnn preprocess again")

    def rows(self, image_ids: Sequence[str]) -> Rows:
        """Look up images.

        Args:
            image_ids: The images wanted.

        Returns:
            (len(image_ids),) their rows.

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
                "replace them and run vqa-rnn preprocess again, or set features.skip_damaged=true to leave their questions out"
            )
        if missing:
            few = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
            raise UserError(
                f"{self.path} has no features of {len(missing)} of the images asked about ({few}): "
                + ("import those too" if self.is_imported else "run vqa-rnn preprocess with the same config")
            )
        return np.array([self.row_of[image_id] for image_id in image_ids], dtype=np.int64)

    def damaged(self, rows: Rows) -> list[int]:
        """Compare rows with the hashes that they were written with.

        Args:
            rows: (n,) rows that were written.

        Returns:
            Those that are not as they were written.
        """
        features = self.read(rows)
        columns = {name: self.read_column(name, rows) for name in self.region_columns}
        found = (hash_row(features[i], {name: values[i] for name, values in columns.items()}) for i in range(len(rows)))
        return [int(row) for row, value in zip(rows, found, strict=True) if value != self.row_hash[row]]

    def file_of(self, row: int) -> Path:
        """Which file holds a row.

        Args:
            row: The row.

        Returns:
            The store's only file, or one of its parts.
        """
        return self.path

    def check_some_rows(self) -> None:
        """Compare a few rows, spread over the store, with their hashes, and the columns of all images with theirs.

        Raises:
            UserError: One of them is damaged.
        """
        rows = np.flatnonzero(self.written)
        self.refuse_damaged(rows[:: max(1, -(-len(rows) // ROWS_CHECKED))], self.remedy)
        self.check_columns()

    def check_columns(self) -> None:
        """Compare what the store says of its images (read or not, number of regions, hashes) with what was written.

        Raises:
            UserError: It is damaged.
        """
        columns = {name: getattr(self, name) for name in IMAGE_COLUMNS}
        if self.columns_hash and self.columns_hash != hash_columns(columns):
            raise UserError(f"{self.path} is damaged: its {', '.join(columns)} are not those that were written; {self.remedy}")

    def refuse_damaged(self, rows: Rows, advice: str) -> None:
        """Compare rows with their hashes.

        Args:
            rows: (n,) rows that were written.
            advice: What to do where one is damaged, for the message.

        Raises:
            UserError: One of them is damaged.
        """
        wrong = self.damaged(rows)
        if wrong:
            file, name = self.file_of(wrong[0]), self.image_ids[wrong[0]]
            raise UserError(f"{file} is damaged: the features of image {name} are not those that were written; {advice}")


class StoreWriter(ABC):
    """A store being made, which can be left at any moment and taken up again.

    Attributes:
        path: Where the finished store will lie.
        partial: Where it lies until then.
        image_ids: (I,) ids in row order.
        attributes: As they were recorded; ``transform`` and ``compute`` parsed.
    """

    path: Path
    partial: Path
    image_ids: list[str]
    attributes: dict[str, Any]
    _committed: float

    def __init__(self, path: Path, partial: Path) -> None:
        """Open the unfinished store of ``path``, which ``lay_out`` made.

        Args:
            path: Where the finished store will lie.
            partial: Where the unfinished one lies.
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
        """Make a file without rows.

        Args:
            path: The file.
            image_ids: Ids in row order.
            shape: K and D.
            dtype: ``float16`` or ``float32``.
            attributes: As in ``create_store``.
            region_columns: Which of ``REGION_COLUMNS`` it gets.
        """

    @property
    @abstractmethod
    def done(self) -> NDArray[np.bool_]:
        """(I,) bool, the rows that are written or failed."""

    def write(
        self,
        rows: Sequence[int],
        features: Sequence[NDArray[Any]] | NDArray[Any],
        source_hash: Sequence[int],
        **columns: Sequence[NDArray[Any]],
    ) -> None:
        """Write rows. They are on the disk after the next ``commit``, which comes by itself every few seconds.

        Args:
            rows: The rows.
            features: For each row (its regions, D); fewer regions than K leave zeros.
            source_hash: xxh64 of each image file.
            **columns: For each row (its regions, …) of each column of regions that the store has.
        """
        for i, row in enumerate(rows):
            self._write_row(row, features[i], source_hash[i], {name: values[i] for name, values in columns.items()})
        if self._waiting_bytes > COMMIT_BYTES or time.monotonic() - self._committed > COMMIT_SECONDS:
            self.commit()

    @abstractmethod
    def _write_row(self, row: int, features: NDArray[Any], source_hash: int, columns: Columns) -> None:
        """Write one row, to be committed."""

    @property
    @abstractmethod
    def _waiting_bytes(self) -> int:
        """Of the rows that are not committed."""

    def commit(self) -> None:
        """Mark rows as written once they are on the disk."""
        self._commit()
        self._committed = time.monotonic()

    @abstractmethod
    def _commit(self) -> None:
        """What ``commit`` does."""

    @abstractmethod
    def fail(self, row: int) -> None:
        """Mark an image that cannot be read.

        Args:
            row: Its row.
        """

    @abstractmethod
    def forget_failures(self) -> None:
        """Let images that could not be read be tried again."""

    def finish(self) -> Path:
        """Put the store in its place.

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
        """Bring all that is left to the disk."""

    def pending(self, batch_rows: int) -> Iterator[range]:
        """Row ranges still to do. Ranges are fixed, whatever was done before, so that a batch is always the same batch.

        Args:
            batch_rows: Rows a range.

        Yields:
            Ranges of rows in which at least one is neither written nor failed.
        """
        done = self.done
        for start in range(0, len(self.image_ids), batch_rows):
            rows = range(start, min(start + batch_rows, len(self.image_ids)))
            if not done[rows.start : rows.stop].all():
                yield rows

    def take_over(self, store: FeatureStore) -> None:
        """Write the rows that another store has of the same images.

        Args:
            store: The other one.
        """
        shared = [(row, store.row_of[image_id]) for row, image_id in enumerate(self.image_ids) if image_id in store.row_of]
        for start in range(0, len(shared), ROWS_AT_ONCE):
            rows, old_rows = zip(*shared[start : start + ROWS_AT_ONCE], strict=True)
            self.copy_rows(store, np.array(old_rows, dtype=np.int64), rows)

    def copy_rows(self, store: FeatureStore, source_rows: Rows, rows: Sequence[int]) -> None:
        """Write rows of another store.

        Args:
            store: The other one.
            source_rows: (n,) rows there.
            rows: (n,) rows here.
        """
        counts = store.num_regions[source_rows]

        def existing(values: NDArray[Any]) -> list[NDArray[Any]]:
            return [each[:count] for each, count in zip(values, counts, strict=True)]

        columns = {name: existing(store.read_column(name, source_rows)) for name in store.region_columns}
        self.write(rows, existing(store.read(source_rows)), store.source_hash[source_rows].tolist(), **columns)


def hash_row(features: NDArray[Any], columns: Columns) -> int:
    """Hash what is stored of an image.

    Args:
        features: (K, D).
        columns: (K, …) of each column of regions.

    Returns:
        xxh64 of all bytes.
    """
    digest = xxhash.xxh64(np.ascontiguousarray(features).data)
    for name in REGION_COLUMNS:
        if name in columns:
            digest.update(np.ascontiguousarray(columns[name]).data)
    return digest.intdigest()


def hash_columns(columns: Columns) -> int:
    """Hash what is stored of all images besides their rows.

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
    """Hash what a store says besides its rows.

    Args:
        image_ids: (I,) ids in row order.
        attributes: As recorded, without the hash itself; ``format_version`` does not count.

    Returns:
        xxh64 of it as JSON, in hexadecimal digits.
    """
    counted = {name: value for name, value in attributes.items() if name != "format_version"}
    return xxhash.xxh64_hexdigest(json.dumps([list(image_ids), counted], sort_keys=True).encode())


def padded_row(regions: NDArray[Any], num_regions_max: int) -> NDArray[Any]:
    """What is known of an image's regions, filled up with zeros.

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
    """Refuse a file that is no feature store, or one of a later format.

    Args:
        attributes: As read, parsed.
        path: The file, for the message.

    Raises:
        UserError: An attribute is missing, or the format is unknown.
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
    """Refuse now what would end hours later: a write through a mapping to a full disk kills the process without a word.

    Args:
        path: A file to be.
        needed: Its bytes.

    Raises:
        UserError: The disk has not the space.
    """
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise UserError(f"{path} needs {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free there")


def refuse_duplicates(image_ids: Sequence[str], where: str) -> None:
    """See that ids are unique.

    Args:
        image_ids: The ids.
        where: They are from, for the message.

    Raises:
        UserError: One comes twice.
    """
    if len(set(image_ids)) < len(image_ids):
        seen: set[str] = set()
        twice = next(image_id for image_id in image_ids if image_id in seen or seen.add(image_id))  # type: ignore[func-returns-value]
        raise UserError(f"{where}: the image id '{twice}' comes twice; ids must be unique")
