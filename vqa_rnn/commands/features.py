"""``vqa-rnn features``: show, verify, convert, merge and import feature stores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from preprocessing.import_features import Ids, import_features
from vqa_rnn.config import SUFFIXES
from vqa_rnn.errors import UserError
from vqa_rnn.features.importers import SOURCES
from vqa_rnn.features.store import FeatureStore, open_store, write_joined
from vqa_rnn.features.store.base import ROWS_AT_ONCE
from vqa_rnn.features.store.copying import copy_stores
from vqa_rnn.features.store.joined import JoinedStore
from vqa_rnn.features.store.parts import JOINED
from vqa_rnn.files import nearest, unknown_name
from vqa_rnn.progress import progress_bar


def describe_store(path: Path) -> dict[str, Any]:
    """Describe a store.

    Args:
        path: The store.

    Returns:
        Images, regions, size, and how the features were made.
    """
    store = _open(path)
    counts = store.num_regions[store.written]
    return {
        "store": str(path),
        "images": len(store.row_of),
        "failed": sorted(store.skipped),
        "unfinished": _num_unfinished(store),
        "regions": {"most": int(store.num_regions_max), "mean": float(counts.mean()) if len(counts) else 0.0},
        "feature_size": store.feature_size,
        "dtype": str(store.dtype),
        "columns": list(store.region_columns),
        "bytes": store.num_bytes,
        **{name: value for name, value in store.attributes.items() if name != "label_names"},
    }


def print_store(found: dict[str, Any]) -> None:
    """Print the description of a store.

    Args:
        found: From ``describe_store``.
    """
    regions = found["regions"]
    lines = {
        "images": f"{found['images']:,}"
        + (f", {len(found['failed'])} could not be read" if found["failed"] else "")
        + (f"; unfinished, {found['unfinished']:,} are to do" if found["unfinished"] else ""),
        "regions an image": f"{regions['most']}"
        if regions["mean"] == regions["most"]
        else f"at most {regions['most']}, {regions['mean']:.1f} in the mean",
        "features": f"{found['feature_size']} x {found['dtype']}" + "".join(f", {name}" for name in found["columns"]),
        "size": decimal(found["bytes"]),
        "backbone": found["backbone"],
        "weights": found.get("weights", ""),
        "layers": ", ".join(found["layer"]),
        "transform": ", ".join(f"{name}={value}" for name, value in found["transform"].items()),
        "computed": ", ".join(f"{name}={value}" for name, value in found["compute"].items()),
        "fingerprint": found["fingerprint"],
    }
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, text in lines.items():
        if text:
            table.add_row(name, escape(str(text)))
    Console().print(table)


def verify_store(path: Path) -> dict[str, Any]:
    """Compare the features of every image with their stored hash.

    Args:
        path: The store.

    Returns:
        ``store``, ``images``, the ids of ``damaged`` images and the ``damaged_files`` that hold them, the number of
        ``unfinished`` images, and the ``remedy`` for a damaged store.

    Raises:
        UserError: The columns with one entry per image are damaged.
    """
    store = _open(path, check_rows=False)
    rows = np.flatnonzero(store.written)
    damaged: list[int] = []
    with progress_bar() as progress:
        task = progress.add_task("verifying", total=len(rows), rate="")
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            damaged += store.damaged(some)
            progress.advance(task, len(some))
    if not damaged:  # its error names no image, so damaged images are reported first
        store.check_columns()
    return {
        "store": str(path),
        "images": len(rows),
        "damaged": [store.image_ids[row] for row in damaged],
        "damaged_files": sorted({str(store.file_of(row)) for row in damaged}),
        "unfinished": _num_unfinished(store),
        "remedy": store.remedy,
    }


def convert_store(path: Path, output: Path) -> Path:
    """Convert a store to another format, or a joined store to a single file.

    Args:
        path: The store.
        output: The new store; its suffix determines the format.

    Returns:
        ``output``.
    """
    return _copy([_open(path)], output)


def merge_stores(paths: Sequence[Path], output: Path) -> Path:
    """Merge several stores that were made with the same settings.

    Args:
        paths: The stores; no image may be in two of them.
        output: The new store. ``NAME.json`` only refers to the parts, which stay where they are; other suffixes copy them.

    Returns:
        ``output``.

    Raises:
        UserError: The output exists already or has another suffix, or the stores do not belong together.
    """
    if output.suffix not in (*SUFFIXES.values(), JOINED):
        raise UserError(f"{output} must end in .h5 or .lmdb, which copy the stores, or in .json, which only names them")
    stores = [_open(path) for path in paths]
    if output.suffix != JOINED:
        return _copy(stores, output)
    if output.exists():
        raise UserError(f"{output} already exists: delete it, or give another name")
    JoinedStore(output, stores)  # raises if the stores do not belong together
    write_joined(output, paths)
    return output


def import_store(
    kind: str, files: Sequence[Path], output: Path, ids: str, dtype: str, array_options: Mapping[str, Any]
) -> Path:
    """Import published features into a store.

    Args:
        kind: The format, one of ``SOURCES``.
        files: Files or folders in that format.
        output: The store; its suffix determines the format.
        ids: ``as-is`` or ``coco``, as in ``import_features``.
        dtype: ``float16`` or ``float32``.
        array_options: Options of ``ArraysSource``; None for those that are not given.

    Returns:
        ``output``.

    Raises:
        UserError: An option is unknown, a file is missing, or as in ``import_features``.
    """
    for what, name, known in (
        ("format", kind, SOURCES),
        ("--ids", ids, get_args(Ids)),
        ("--dtype", dtype, ("float16", "float32")),
    ):
        if name not in known:
            raise UserError(unknown_name(what, name, known))
    missing = next((file for file in files if not file.exists()), None)
    if missing is not None:
        raise UserError(f"no file or folder at {missing}")
    given = {name: value for name, value in array_options.items() if value is not None}
    if given and kind != "arrays":
        option = f"--{next(iter(given)).replace('_', '-')}"
        raise UserError(f"{option} is for the format arrays; {kind} has names of its own")
    sources = [SOURCES[kind](file, **given) for file in files]
    return import_features(sources, files, kind, output, ids=ids, dtype=dtype)  # type: ignore[arg-type]


def _num_unfinished(store: FeatureStore) -> int:
    """Return the number of images that are still to be extracted, 0 for a finished store."""
    return int(np.count_nonzero(~(store.written | store.failed)))


def _open(path: Path, *, check_rows: bool = True) -> FeatureStore:
    if path.is_dir():
        raise UserError(f"{path} is a folder: give a feature store, which is a file")
    if not path.is_file():
        others = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        near = nearest(path.name, others)
        raise UserError(f"no feature store at {path}" + (f": did you mean {near}?" if near else ""))
    return open_store(path, check_rows=check_rows)


def _copy(stores: Sequence[FeatureStore], output: Path) -> Path:
    with progress_bar() as progress:
        task = progress.add_task("copying", total=sum(len(store.image_ids) for store in stores), rate="")
        copy_stores(stores, output, lambda count: progress.advance(task, count))
    return output
