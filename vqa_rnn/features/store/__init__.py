"""The feature store: features by image id, in one HDF5 or LMDB file, or in several joined files.

    /image_id     (I,)      utf-8, no duplicates
    /features     (I, K, D) float16 or float32
    /boxes        (I, K, 4) float32, x1 y1 x2 y2 as fractions of the image; only where regions are boxes
    /labels       (I, K)    int32, class of each region, from a detector; names in attribute label_names
    /scores       (I, K)    float32, score of that class
    /num_regions  (I,)      int32, number of regions; the rest of the K rows is padding
    /written      (I,)      bool, the row is complete
    /failed       (I,)      bool, the image could not be read and was skipped
    /source_hash  (I,)      uint64, xxh64 of the image file's bytes
    /row_hash     (I,)      uint64, xxh64 of the row's features, boxes, labels and scores
    /columns_hash (1,)      uint64, xxh64 of num_regions, written, failed, source_hash and row_hash; 0 in an unfinished store
    attributes    format_version, backbone, weights_sha256, layer, transform (JSON), compute (JSON), fingerprint;
                  asked (JSON), options that default to the backbone's own, null if the default was used;
                  weights, name of the backbone's weights; weights_file_sha256, hash of their file, if there is one;
                  head_hash, xxh64 of the image ids and the other attributes

``hdf5.py`` stores these as HDF5 datasets, ``lmdb.py`` as one value per image. An unfinished store is called ``NAME.partial.h5``
or ``NAME.partial.lmdb``. It is renamed when every row is written or failed.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vqa_rnn.config import STORE_SUFFIXES, SUFFIXES
from vqa_rnn.errors import UserError
from vqa_rnn.features.store.base import (
    FORMAT_VERSION,
    HEAD_HASH,
    REGION_COLUMNS,
    FeatureStore,
    StoreWriter,
    hash_head,
    refuse_duplicates,
)
from vqa_rnn.features.store.hdf5 import Hdf5Store, Hdf5Writer
from vqa_rnn.features.store.joined import JoinedStore, read_joined, write_joined
from vqa_rnn.features.store.lmdb import MAGIC, MAGIC_AT, LmdbStore, LmdbWriter
from vqa_rnn.features.store.parts import JOINED

__all__ = [
    "FORMAT_VERSION",
    "REGION_COLUMNS",
    "WRITERS",
    "FeatureStore",
    "StoreWriter",
    "create_store",
    "open_store",
    "open_writer",
    "partial_path",
    "write_joined",
]


WRITERS: dict[str, type[StoreWriter]] = {"hdf5": Hdf5Writer, "lmdb": LmdbWriter}


def open_store(path: Path, *, check_rows: bool = True) -> FeatureStore:
    """Open a finished store. Its format is detected from the file.

    Args:
        path: The file.
        check_rows: Check a few rows and the columns of all images against their hashes.

    Returns:
        The store.

    Raises:
        UserError: It is missing, unfinished, not a feature store, of a newer format or damaged, or has an image id twice.
    """
    if not path.is_file():
        partial = partial_path(path)
        unfinished = f"; {partial} is unfinished" if partial.is_file() else ""
        raise UserError(
            f"no feature store at {path}{unfinished}: run vqa-rnn preprocess with the same config first, or set "
            "features.store to where it is"
        )
    with path.open("rb") as file:
        head = file.read(MAGIC_AT + len(MAGIC))
    store: FeatureStore
    if path.suffix == JOINED:
        store = JoinedStore(path, [_open_part(part, path) for part in read_joined(path)])
    elif head[MAGIC_AT:] == MAGIC or path.suffix == SUFFIXES["lmdb"]:
        store = LmdbStore(path)
    else:
        store = Hdf5Store(path)
    if check_rows:
        store.check_some_rows()
    return store


def _open_part(part: Path, path: Path) -> FeatureStore:
    """Open a part of a joined store. Error messages name the joined store."""
    if not part.is_file():
        raise UserError(
            f"{path} names {part} as one of its parts, and there is no such file: "
            f"put it back, or delete {path.name} and make both again as before"
        )
    try:
        return open_store(part, check_rows=False)
    except UserError as error:
        raise UserError(f"a part of {path}: {error}") from error


def create_store(
    path: Path,
    image_ids: Sequence[str],
    *,
    num_regions: int,
    feature_size: int,
    dtype: str,
    attributes: Mapping[str, Any],
    region_columns: Sequence[str] = (),
    earlier: Sequence[FeatureStore] = (),
) -> StoreWriter:
    """Create an unfinished store. If that fails or is interrupted, an unfinished store of the same name is kept.

    Args:
        path: Path of the finished store; its suffix determines the format.
        image_ids: Image ids in row order.
        num_regions: K, the maximum number of regions of an image.
        feature_size: D.
        dtype: ``float16`` or ``float32``.
        attributes: ``backbone``, ``weights_sha256``, ``layer``, ``transform``, ``compute``, ``fingerprint`` and ``weights``;
            mappings are stored as JSON.
        region_columns: The columns of regions, from ``REGION_COLUMNS``.
        earlier: Stores made the same way, whose rows are copied.

    Returns:
        The writer.

    Raises:
        UserError: An image id occurs twice, there is not enough disk space, or the file cannot be written.
    """
    refuse_duplicates(image_ids, "the image list")
    partial, writer_class = partial_path(path), WRITERS[_format_of(path)]
    unnamed = partial.with_name(f".{partial.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        signed = {**attributes, HEAD_HASH: hash_head(image_ids, attributes)}
        writer_class.lay_out(unnamed, image_ids, (num_regions, feature_size), dtype, signed, region_columns)
        writer = writer_class(path, unnamed)
        for store in earlier:
            writer.take_over(store)
        writer.commit()
        os.replace(unnamed, partial)
        writer.partial = partial
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error  # HDF5's own message is long
        raise UserError(f"cannot write {partial}: {why}") from error
    finally:
        with suppress(OSError):
            unnamed.unlink(missing_ok=True)
    return writer


def open_writer(path: Path) -> StoreWriter:
    """Open an unfinished store to continue it.

    Args:
        path: Path of the finished store.

    Returns:
        Its writer.
    """
    return WRITERS[_format_of(path)](path, partial_path(path))


def _format_of(path: Path) -> str:
    """Return the format of a new store, which its suffix determines."""
    return "lmdb" if path.suffix == SUFFIXES["lmdb"] else "hdf5"


def partial_path(path: Path) -> Path:
    """Return the path of a store while it is unfinished.

    Args:
        path: Path of the finished store.

    Returns:
        ``NAME.partial.h5`` or ``NAME.partial.lmdb``; ``.hdf5`` is kept.

    Raises:
        UserError: The path is a folder.
    """
    if not path.name or path.is_dir():
        raise UserError(f"features.store={path} is a folder: give the path of a file")
    suffix = path.suffix if path.suffix in STORE_SUFFIXES else SUFFIXES["hdf5"]
    return path.with_name(f"{path.stem}.partial{suffix}")
