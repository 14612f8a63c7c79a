"""The feature store: one HDF5 file, contiguous and uncompressed, read and written through a memory mapping.

    /image_id     (I,)      utf-8, no duplicates
    /features     (I, K, D) float16 or float32
    /num_regions  (I,)      int32, how many of the K regions exist
    /boxes        (I, K, 4) float32, x1 y1 x2 y2 as fractions of the image; only where regions are boxes
    /written      (I,)      bool, the row is complete
    /failed       (I,)      bool, the image could not be read and was skipped
    /source_hash  (I,)      uint64, xxh64 of the image file's bytes
    /row_hash     (I,)      uint64, xxh64 of the row's features and boxes
    attributes    format_version, backbone, weights_sha256, layer, transform (JSON), compute (JSON), fingerprint;
                  weights, what the backbone's weights are called; weights_file_sha256, of their file where there is one

All space is laid out when the file is made, so that every data set has a fixed place. From then on HDF5's own
metadata is never touched: rows go in through the mapping, reach the disk, and only then ``/written`` is set, so that a kill or
a power cut at any moment leaves a good file. An unfinished store is called ``NAME.partial.h5`` and is renamed when every row is
written or failed.
"""

import functools
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash
from numpy.typing import NDArray

from vqa_rnn.config import PRESET_OPTIONS, FeaturesConfig
from vqa_rnn.errors import UserError
from vqa_rnn.features.weights import weights_file_hash
from vqa_rnn.files import sync_folder

FORMAT_VERSION = 1
_ATTRIBUTES = ("format_version", "backbone", "weights_sha256", "layer", "transform", "compute", "fingerprint")
_SETTINGS = ("image_size", "resize", "output", "grid_size", "intensity")  # of the transform, as in the config
ROWS_CHECKED = 16  # when a store is opened
COMMIT_SECONDS, COMMIT_BYTES = 2.0, 2**28  # no more than this is lost by a kill or a power cut
_COLUMNS = {"num_regions": "int32", "written": "bool", "failed": "bool", "source_hash": "uint64", "row_hash": "uint64"}


class FeatureStore:
    """A store open for reading. Rows come straight from the mapped file; workers may each open it.

    Attributes:
        path: The file.
        image_ids: (I,) ids in row order.
        row_of: Row by image id, for images that were written.
        skipped: Images that could not be read when it was made.
        features: (I, K, D) mapped.
        num_regions: (I,) int32 mapped.
        boxes: (I, K, 4) float32 mapped, or None.
        written: (I,) bool mapped.
        failed: (I,) bool mapped.
        attributes: The file's attributes; ``transform`` and ``compute`` parsed.
    """

    def __init__(self, path: Path, *, check_rows: bool = True) -> None:
        """Open a finished store.

        Args:
            path: The file.
            check_rows: Compare a few rows with their hashes.

        Raises:
            UserError: It is missing, unfinished, not a feature store, of a newer format, damaged, or names an image twice.
        """
        self.path = path
        if not path.is_file():
            partial = partial_path(path)
            unfinished = f"; {partial} is unfinished" if partial.is_file() else ""
            raise UserError(f"no feature store at {path}{unfinished}: run vqa-rnn preprocess with the same config first")
        self.image_ids, self.attributes, columns = _map(path, "r")
        self.features, self.num_regions = columns["features"], columns["num_regions"]
        self.boxes: NDArray[np.float32] | None = columns.get("boxes")
        self.written, self.failed = columns["written"], columns["failed"]
        self.row_hash, self.source_hash = columns["row_hash"], columns["source_hash"]
        self.row_of = {image_id: row for row, image_id in enumerate(self.image_ids) if self.written[row]}
        self.skipped = {self.image_ids[row] for row in np.flatnonzero(self.failed)}
        if check_rows:
            self._check_rows()

    def _check_rows(self) -> None:
        """Compare a few rows, spread over the store, with the hashes that they were written with."""
        rows = np.flatnonzero(self.written)
        for row in rows[:: max(1, -(-len(rows) // ROWS_CHECKED))]:
            if _hash_row(self.features, self.boxes, int(row)) != self.row_hash[row]:
                raise UserError(
                    f"{self.path} is damaged: the features of image {self.image_ids[row]} are not those that were written; "
                    "delete it and run vqa-rnn preprocess again"
                )

    def __reduce__(self) -> tuple[Callable[..., "FeatureStore"], tuple[Path]]:
        return functools.partial(FeatureStore, check_rows=False), (
            self.path,
        )  # a loader process that is spawned maps the file anew

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
    def num_regions_max(self) -> int:
        """K."""
        return self.features.shape[1]

    @property
    def feature_size(self) -> int:
        """D."""
        return self.features.shape[2]

    def rows(self, image_ids: Sequence[str]) -> NDArray[np.int64]:
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
                "mend them and run vqa-rnn preprocess again, or leave their questions out"
            )
        if missing:
            few = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
            raise UserError(
                f"{self.path} has no features of {len(missing)} of the images asked about ({few}): "
                "run vqa-rnn preprocess with the same config"
            )
        return np.array([self.row_of[image_id] for image_id in image_ids], dtype=np.int64)


def check_store(store: FeatureStore, config: FeaturesConfig) -> None:
    """Refuse a store that was not made with a config's backbone and settings.

    Args:
        store: The store.
        config: The config.

    Raises:
        UserError: They differ; the message names the first difference.
    """
    transform = store.attributes["transform"]
    made = {"backbone": store.attributes["backbone"], "layers": tuple(store.attributes["layer"])}
    made |= {name: transform[name] for name in _SETTINGS if name in transform}
    made |= {"dtype": str(store.features.dtype)}
    wanted = {"backbone": f"{config.library}/{config.backbone}", "layers": config.layers}
    wanted |= {name: getattr(config, name) for name in (*_SETTINGS, "dtype")}
    if config.output == "boxes":
        made["box_method"], wanted["box_method"] = transform.get("box_method"), config.box_method
    for name in PRESET_OPTIONS:
        if getattr(config, name) is not None:
            value = transform.get(name)
            made[name], wanted[name] = tuple(value) if isinstance(value, list) else value, getattr(config, name)
    for name, value in wanted.items():
        if name not in made:
            raise UserError(
                f"{store.path} was made by an older version, which had no features.{name}: delete it and run vqa-rnn "
                "preprocess again"
            )
        if made[name] != value:
            raise UserError(
                f"{store.path} was made with features.{name}={made[name]}, not {value}: "
                "use the config that made it, or another features.store"
            )
    _check_weights(store, config)


def _check_weights(store: FeatureStore, config: FeaturesConfig) -> None:
    """Refuse a store of other weights than the config's, as far as a file or a name tells."""
    made, now = str(store.attributes.get("weights_file_sha256", "")), weights_file_hash(config)
    name = config.weights.partition(":")[2] if config.weights.startswith("hub:") else ""
    if (made and now and made != now) or (name and store.weights and not store.weights.endswith(f".{name}")):
        raise UserError(
            f"{store.path} was made with other weights ({store.weights}) than features.weights={config.weights} has now: "
            "use those that made it, or delete the store, or set features.store to another path"
        )


class StoreWriter:
    """A store being made, which can be left at any moment and taken up again.

    Attributes:
        path: Where the finished store will lie.
        image_ids: (I,) ids in row order.
        attributes: The file's attributes; ``transform`` and ``compute`` parsed.
    """

    def __init__(self, path: Path, partial: Path | None = None) -> None:
        """Open the unfinished store of ``path``, which ``create`` made.

        Args:
            path: Where the finished store will lie.
            partial: Where the unfinished one lies, if it has another name than ``partial_path`` says.
        """
        self.path = path
        self._partial = partial or partial_path(path)
        self.image_ids, self.attributes, self._columns = _map(self._partial, "r+")
        self._unmarked: list[int] = []
        self._committed = time.monotonic()

    @classmethod
    def create(
        cls,
        path: Path,
        image_ids: Sequence[str],
        *,
        num_regions: int,
        feature_size: int,
        dtype: str,
        attributes: Mapping[str, Any],
        boxes: bool = False,
        earlier: Sequence[FeatureStore] = (),
    ) -> "StoreWriter":
        """Make an unfinished store; one that is stopped while it is being made leaves nothing, and what was there before.

        Args:
            path: Where the finished store will lie.
            image_ids: Ids in row order.
            num_regions: K, the most regions an image has.
            feature_size: D.
            dtype: ``float16`` or ``float32``.
            attributes: ``backbone``, ``weights_sha256``, ``layer``, ``transform``, ``compute``, ``fingerprint`` and
                ``weights``; mappings are stored as JSON.
            boxes: Make room for boxes.
            earlier: Stores made the same way, whose rows are taken over.

        Returns:
            The writer.

        Raises:
            UserError: An image id comes twice, the disk has not the space, or the file cannot be written.
        """
        _refuse_duplicates(image_ids, "the image list")
        partial = partial_path(path)
        unnamed = partial.with_name(f".{partial.name}.{os.getpid()}.tmp")
        shapes: dict[str, tuple[tuple[int, ...], str]] = {"features": ((len(image_ids), num_regions, feature_size), dtype)}
        if boxes:
            shapes["boxes"] = ((len(image_ids), num_regions, 4), "float32")
        shapes |= {name: ((len(image_ids),), kind) for name, kind in _COLUMNS.items()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _check_space(partial, sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind in shapes.values()))
            with h5py.File(unnamed, "w") as file:
                file.create_dataset("image_id", data=list(image_ids), dtype=h5py.string_dtype("utf-8"))
                for name, (shape, kind) in shapes.items():
                    _allocate(file, name, shape, kind)
                file.attrs["format_version"] = FORMAT_VERSION
                for key, value in attributes.items():
                    file.attrs[key] = json.dumps(value) if isinstance(value, Mapping | list | tuple) else value
            writer = cls(path, unnamed)
            for store in earlier:
                writer._take_over(store)
            writer.commit()
            os.replace(unnamed, partial)
            writer._partial = partial
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else error  # HDF5 says much more
            raise UserError(f"cannot write {partial}: {why}") from error
        finally:
            with suppress(OSError):
                unnamed.unlink(missing_ok=True)
        return writer

    @property
    def written(self) -> NDArray[np.bool_]:
        """(I,) bool mapped, the rows that are complete."""
        return self._columns["written"]

    def pending(self, batch_rows: int) -> Iterator[range]:
        """Row ranges still to do. Ranges are fixed, whatever was done before, so that a batch is always the same batch.

        Args:
            batch_rows: Rows a range.

        Yields:
            Ranges of rows in which at least one is neither written nor failed.
        """
        done = self._columns["written"] | self._columns["failed"]
        done[self._unmarked] = True
        for start in range(0, len(self.image_ids), batch_rows):
            rows = range(start, min(start + batch_rows, len(self.image_ids)))
            if not done[rows.start : rows.stop].all():
                yield rows

    def write(
        self,
        rows: Sequence[int],
        features: Sequence[NDArray[Any]] | NDArray[Any],
        source_hash: Sequence[int],
        boxes: Sequence[NDArray[np.float32]] | None = None,
    ) -> None:
        """Write rows. They are marked as written by the next ``commit``, which comes by itself every few seconds.

        Args:
            rows: The rows.
            features: For each row (its regions, D); fewer regions than K leave zeros.
            source_hash: xxh64 of each image file.
            boxes: For each row (its regions, 4), where the store has boxes.
        """
        columns = self._columns
        for i, row in enumerate(rows):
            count = len(features[i])
            columns["features"][row, :count] = features[i]
            columns["features"][row, count:] = 0
            if boxes is not None:
                columns["boxes"][row, :count] = boxes[i]
                columns["boxes"][row, count:] = 0
            columns["num_regions"][row] = count
            columns["source_hash"][row] = source_hash[i]
            columns["row_hash"][row] = _hash_row(columns["features"], columns.get("boxes"), row)
        self._unmarked += rows
        waiting = len(self._unmarked) * columns["features"][:1].nbytes
        if waiting > COMMIT_BYTES or time.monotonic() - self._committed > COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Mark rows as written once they are on the disk."""
        if self._unmarked:
            self._flush(name for name in self._columns if name != "written")
            self._columns["written"][self._unmarked] = True
            self._unmarked = []
        self._flush(["written"])
        self._committed = time.monotonic()

    def _flush(self, names: Iterable[str]) -> None:
        for name in names:
            column = self._columns[name]
            if isinstance(column, np.memmap):
                column.flush()

    def _take_over(self, store: FeatureStore) -> None:
        """Write the rows that another store has of the same images."""
        for row, image_id in enumerate(self.image_ids):
            old = store.row_of.get(image_id)
            if old is not None:
                count = int(store.num_regions[old])
                boxes = None if store.boxes is None else [store.boxes[old, :count]]
                self.write([row], [store.features[old, :count]], [int(store.source_hash[old])], boxes)

    def forget_failures(self) -> None:
        """Let images that could not be read be tried again."""
        self._columns["failed"][:] = False

    def fail(self, row: int) -> None:
        """Mark an image that cannot be read.

        Args:
            row: Its row.
        """
        self._columns["failed"][row] = True

    def finish(self) -> Path:
        """Put the store in its place.

        Returns:
            The path of the finished store.
        """
        self.commit()
        self._flush(self._columns)
        os.replace(self._partial, self.path)
        sync_folder(self.path.parent)
        return self.path


def _hash_row(features: NDArray[Any], boxes: NDArray[np.float32] | None, row: int) -> int:
    content = features[row].tobytes() + (b"" if boxes is None else boxes[row].tobytes())
    return xxhash.xxh64_intdigest(content)


def partial_path(path: Path) -> Path:
    """The name of a store while it is unfinished.

    Args:
        path: The name of the finished store.

    Returns:
        ``NAME.partial.h5``.

    Raises:
        UserError: It is the name of a folder.
    """
    if not path.name or path.is_dir():
        raise UserError(f"features.store={path} is a folder: give the path of a file")
    return path.with_name(f"{path.stem}.partial.h5")


def _check_space(path: Path, needed: int) -> None:
    """Refuse now what would end hours later: a write through a mapping to a full disk kills the process without a word."""
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise UserError(f"{path} needs {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free there")


def _allocate(file: h5py.File, name: str, shape: tuple[int, ...], dtype: str) -> None:
    """Make a contiguous data set with its space allocated now."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    kind = h5py.h5t.py_create(np.dtype(dtype), logical=True)
    h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape), dcpl=creation)


def _map(path: Path, mode: str) -> tuple[list[str], dict[str, Any], dict[str, NDArray[Any]]]:
    """Read ids and attributes, and map every column."""
    try:
        with h5py.File(path, "r") as file:
            lacking = [name for name in _ATTRIBUTES if name not in file.attrs]
            lacking += [name for name in ("image_id", "features", *_COLUMNS) if name not in file]
            if lacking:
                raise UserError(f"{path} is an HDF5 file but not a feature store: {lacking[0]} is missing")
            attributes = {key: _plain(value) for key, value in file.attrs.items()}
            if not isinstance(attributes["format_version"], int):
                raise TypeError("format_version is not a number")
            if attributes["format_version"] > FORMAT_VERSION:
                raise UserError(
                    f"{path} has format version {attributes['format_version']}; this program knows versions up to "
                    f"{FORMAT_VERSION}: install a newer vqa-rnn"
                )
            image_ids = [str(name) for name in file["image_id"].asstr()[:]]
            places = {}
            for name in ("features", "boxes", *_COLUMNS):
                if name in file:
                    dataset = file[name]
                    places[name] = (dataset.id.get_offset(), dataset.shape, dataset.dtype)
    except OSError as error:
        raise UserError(f"cannot open {path} as HDF5: {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is an HDF5 file but not a feature store: {error}") from error
    missing = [name for name in ("features", *_COLUMNS) if name not in places or places[name][0] is None]
    if missing and len(image_ids):
        raise UserError(f"{path} is not a feature store: {missing[0]} is missing or not contiguous")
    _refuse_duplicates(image_ids, str(path))
    columns: dict[str, NDArray[Any]] = {}
    for name, (offset, shape, dtype) in places.items():
        columns[name] = np.memmap(path, dtype=dtype, mode=mode, offset=offset, shape=shape)  # type: ignore[call-overload]
    return image_ids, attributes, columns


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str) and value.startswith(("{", "[")):
        return json.loads(value)
    return value


def _refuse_duplicates(image_ids: Sequence[str], where: str) -> None:
    if len(set(image_ids)) < len(image_ids):
        seen: set[str] = set()
        twice = next(image_id for image_id in image_ids if image_id in seen or seen.add(image_id))  # type: ignore[func-returns-value]
        raise UserError(f"{where}: the image id '{twice}' comes twice; ids must be unique")
