"""Filling of stores with existing features: those of other stores, or published ones."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vqa_rnn.config import STORE_SUFFIXES
from vqa_rnn.errors import UserError
from vqa_rnn.features.store import FeatureStore, StoreWriter, create_store, open_writer, partial_path
from vqa_rnn.features.store.base import ROWS_AT_ONCE
from vqa_rnn.features.store.joined import JoinedStore
from vqa_rnn.files import hold

Advance = Callable[[int], None]


def fill_store(
    path: Path,
    image_ids: Sequence[str],
    write_rows: Callable[[StoreWriter, range], None],
    *,
    num_regions: int,
    feature_size: int,
    dtype: str,
    attributes: Mapping[str, Any],
    region_columns: Sequence[str],
    advance: Advance,
) -> Path:
    """Fill a store, one range of rows at a time. An interrupted store is continued.

    Args:
        path: The store; its suffix determines the format.
        image_ids: Image ids in row order.
        write_rows: Writes a range of rows, or marks them as failed.
        num_regions: K.
        feature_size: D.
        dtype: ``float16`` or ``float32``.
        attributes: As in ``create_store``.
        region_columns: The columns of regions, from ``REGION_COLUMNS``.
        advance: Called with the number of images that were done before, then after each range with its number of images.

    Returns:
        ``path``.

    Raises:
        UserError: The store already exists or has another suffix, an unfinished store of other features is in the way, another
            process writes the store, or the disk is full.
    """
    if path.suffix not in STORE_SUFFIXES:
        raise UserError(f"{path} must end in .h5 or .lmdb, which says the format of the store")
    if path.exists():
        raise UserError(f"{path} already exists: delete it, or give another name")
    with hold(partial_path(path).with_suffix(".lock"), f"another process is writing {path}: wait for it"):
        if partial_path(path).is_file():
            writer = open_writer(path)
            if (writer.image_ids, writer.attributes["fingerprint"]) != (list(image_ids), attributes["fingerprint"]):
                raise UserError(f"{partial_path(path)} was begun with other features: delete it, or give another name")
        else:
            writer = create_store(
                path,
                image_ids,
                num_regions=num_regions,
                feature_size=feature_size,
                dtype=dtype,
                attributes=attributes,
                region_columns=region_columns,
            )
        try:
            pending = list(writer.pending(ROWS_AT_ONCE))
            advance(len(image_ids) - sum(map(len, pending)))
            for rows in pending:
                write_rows(writer, rows)
                advance(len(rows))
        except UserError as error:
            partial = partial_path(path)
            raise UserError(f"{error}; what was done until then is in {partial}: delete it if the input changes") from error
        finally:
            writer.commit()
        return writer.finish()


def copy_stores(sources: Sequence[FeatureStore], path: Path, advance: Advance = lambda count: None) -> None:
    """Copy the rows of several stores, one store after the other, into a new store. An interrupted copy is continued.

    Args:
        sources: Finished stores that were made the same way.
        path: The new store; its suffix determines the format.
        advance: As in ``fill_store``.

    Raises:
        UserError: As in ``fill_store``; or the stores were made in different ways, have an image id twice, or are damaged.
    """
    source = sources[0] if len(sources) == 1 else JoinedStore(path, sources)

    def copy_rows(writer: StoreWriter, rows: range) -> None:
        written = np.array([row for row in rows if source.written[row]], dtype=np.int64)
        for row in rows:
            if not source.written[row]:
                writer.fail(row)
        source.refuse_damaged(written, "vqa-rnn features verify names all such images")
        writer.copy_rows(source, written, written.tolist())

    fill_store(
        path,
        source.image_ids,
        copy_rows,
        num_regions=source.num_regions_max,
        feature_size=source.feature_size,
        dtype=str(source.dtype),
        attributes={name: value for name, value in source.attributes.items() if name != "format_version"},
        region_columns=source.region_columns,
        advance=advance,
    )
