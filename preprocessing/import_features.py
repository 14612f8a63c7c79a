"""Import of published features into a feature store. It can be interrupted and continued, and shows a progress bar."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.errors import UserError
from vqa_rnn.features.importers import Regions, Source
from vqa_rnn.features.regions import all_finite
from vqa_rnn.features.store import StoreWriter
from vqa_rnn.features.store.copying import fill_store
from vqa_rnn.progress import progress_bar

Ids = Literal["as-is", "coco"]
FILES_SKETCHED, PLACES_SKETCHED, BYTES_SKETCHED = 64, 256, 4096


def import_features(
    sources: Sequence[Source], files: Sequence[Path], kind: str, output: Path, *, ids: Ids = "as-is", dtype: str = "float16"
) -> Path:
    """Write published features into a store. An interrupted import is continued.

    Args:
        sources: The opened files. If an image is in several of them, the first is used.
        files: Their paths; the file names are recorded.
        kind: The format, a key of ``SOURCES``.
        output: The store; its suffix determines the format.
        ids: The image ids of the store. ``as-is``: the names in the source; ``coco``: the number at the end of the name,
            without leading zeros (``COCO_val2014_000000000042`` is 42), as in the readers of VQA and VisDial.
        dtype: ``float16`` or ``float32``.

    Returns:
        ``output``.

    Raises:
        UserError: The store already exists, or an unfinished one of other files is in the way; a source does not follow its
            format, a name has no number, sizes differ, or a value is not finite or too large for ``dtype``.
    """
    _check_alike(sources, files)
    places: dict[str, tuple[Source, int]] = {}
    for source in sources:
        for index, name in enumerate(source.names):
            places.setdefault(_image_id(name, ids), (source, index))
    if ids == "coco" and len(places) < len({name for source in sources for name in source.names}):
        raise UserError("ids=coco gives several images the same number: import with ids=as-is")
    image_ids = list(places)
    first = sources[0]
    description: dict[str, Any] = {
        "backbone": f"imported/{kind}",
        "weights_sha256": "",
        "layer": [],
        "transform": {
            "files": [file.name for file in files],
            "output": "boxes" if "boxes" in first.region_columns else "regions",
        },
    }
    known = [description, image_ids, dtype, first.feature_size, [_sketch(file) for file in files]]
    fingerprint = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]

    def write_rows(writer: StoreWriter, rows: range) -> None:
        read = [source.read(index) for source, index in (places[image_ids[row]] for row in rows)]
        _write(writer, rows, read, np.dtype(dtype))

    with progress_bar() as progress:
        task = progress.add_task("importing", total=len(image_ids), rate="")
        return fill_store(
            output,
            image_ids,
            write_rows,
            num_regions=max(source.num_regions_max for source in sources),
            feature_size=first.feature_size,
            dtype=dtype,
            attributes={**description, "weights": "", "compute": {}, "fingerprint": fingerprint},
            region_columns=first.region_columns,
            advance=lambda count: progress.advance(task, count),
        )


def _sketch(path: Path) -> str:
    """Hash the size and a part of the content of a file, to tell files of the same name apart. A file may have 25 GB.

    For a folder, hash the names and sizes of its files, and a part of the content of some of them.
    """
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for number, file in enumerate(files):
        size = file.stat().st_size
        digest.update(f"{file.relative_to(path).as_posix()} {size}\n".encode())
        if number % max(1, len(files) // FILES_SKETCHED) == 0:
            with file.open("rb") as content:
                for place in range(PLACES_SKETCHED):
                    content.seek(size * place // PLACES_SKETCHED)
                    digest.update(content.read(BYTES_SKETCHED))
    return digest.hexdigest()


def _check_alike(sources: Sequence[Source], files: Sequence[Path]) -> None:
    first = sources[0]
    for source, file in zip(sources, files, strict=True):
        if source.feature_size != first.feature_size or source.region_columns != first.region_columns:
            raise UserError(
                f"{file} has features of size {source.feature_size} ({', '.join(source.region_columns) or 'no boxes'}), and "
                f"{files[0]} of size {first.feature_size} ({', '.join(first.region_columns) or 'no boxes'}): import them"
                " separately"
            )


def _image_id(name: str, ids: Ids) -> str:
    if ids == "as-is":
        return name
    found = re.search(r"(\d+)(?:\.\w+)?$", name)
    if found is None:
        raise UserError(f"ids=coco: the image name {name} does not end in a number: import with ids=as-is")
    return str(int(found.group(1)))


def _unfit(image_id: str, features: NDArray[Any], dtype: np.dtype) -> str:
    """Return the error message for features that cannot be stored."""
    if np.isfinite(features).all():
        return f"image {image_id} has a value that is too large for {dtype}: import with --dtype float32"
    return f"the features of image {image_id} contain NaN or infinity: correct its file, or leave the image out of it"


def _write(writer: StoreWriter, rows: range, read: Sequence[Regions], dtype: np.dtype) -> None:
    with np.errstate(over="ignore"):
        features = [regions.features.astype(dtype) for regions in read]
    for row, stored in zip(rows, features, strict=True):
        if not all_finite(stored):
            raise UserError(_unfit(writer.image_ids[row], read[row - rows.start].features, dtype))
    columns = {name: [regions.columns[name] for regions in read] for name in read[0].columns}
    writer.write(rows, features, [0] * len(read), **columns)
