"""The rows of one or several stores in a new one: another format, or one file in place of many."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vqa_rnn.config import SUFFIXES
from vqa_rnn.errors import UserError
from vqa_rnn.features.store import FeatureStore, StoreWriter, create_store, open_store, open_writer, partial_path
from vqa_rnn.features.store.joined import JoinedStore
from vqa_rnn.files import hold

ROWS_AT_ONCE = 64


def copy_stores(sources: Sequence[FeatureStore], path: Path, advance: Callable[[int], None] = lambda count: None) -> None:
    """Write the rows of stores one after the other into a new store. One that was stopped goes on where it was.

    Args:
        sources: Finished stores that were made in the same way.
        path: The new store; its suffix says the format.
        advance: Told how many images were done, again and again.

    Raises:
        UserError: There is a store already, the stores do not belong together or hold an image twice, or the disk is full.
    """
    if path.suffix not in SUFFIXES.values():
        raise UserError(f"{path} must end in {' or '.join(SUFFIXES.values())}, which says the format of the store")
    if path.exists():
        raise UserError(f"{path} is there already: delete it, or give another name")
    joined = sources[0] if len(sources) == 1 else JoinedStore(path, sources)
    with hold(partial_path(path).with_suffix(".lock"), f"another process is writing {path}: wait for it"):
        writer = _open_target(joined, path)
        try:
            for rows in writer.pending(ROWS_AT_ONCE):
                written = np.array([row for row in rows if joined.written[row]], dtype=np.int64)
                for row in rows:
                    if not joined.written[row]:
                        writer.fail(row)
                writer.copy_rows(joined, written, written.tolist())
                advance(len(rows))
        finally:
            writer.commit()
        writer.finish()


def _open_target(source: FeatureStore, path: Path) -> StoreWriter:
    """The unfinished copy, if it is one of the same images; else a new one."""
    if partial_path(path).is_file():
        begun = open_store(partial_path(path), check_rows=False)
        same = (begun.image_ids, begun.fingerprint) == (source.image_ids, source.fingerprint)
        del begun
        if same:
            return open_writer(path)
        raise UserError(f"{partial_path(path)} was begun with other features: delete it, or give another name")
    return create_store(
        path,
        source.image_ids,
        num_regions=source.num_regions_max,
        feature_size=source.feature_size,
        dtype=str(source.dtype),
        attributes={name: value for name, value in source.attributes.items() if name != "format_version"},
        region_columns=source.region_columns,
    )
