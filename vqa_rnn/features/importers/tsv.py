"""Bottom-up features as published (Anderson et al. 2018): one line per image, with arrays in base64.

https://github.com/peteanderson80/bottom-up-attention: ``image_id image_w image_h num_boxes boxes features``; of LXMERT,
https://github.com/airsplay/lxmert: ``img_id img_h img_w objects_id objects_conf attrs_id attrs_conf num_boxes boxes features``.
"""

import base64
import binascii
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.errors import UserError
from vqa_rnn.features.importers.source import Source, fractions
from vqa_rnn.features.regions import Regions
from vqa_rnn.progress import progress_bar

log = logging.getLogger("vqa_rnn")

_FIELDS = {
    6: ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features"),
    10: ("image_id", "image_h", "image_w", "labels", "scores", "attrs_id", "attrs_conf", "num_boxes", "boxes", "features"),
}
_DTYPES = {"boxes": "<f4", "features": "<f4", "labels": "<i8", "scores": "<f4"}


class TsvSource(Source):
    """Lines with arrays in base64. The file is read once to find the lines; then each image is read separately."""

    def __init__(self, path: Path) -> None:
        """Find the lines.

        Args:
            path: The file.

        Raises:
            UserError: The path is a folder, the file is empty, or a line is cut off or has other fields than the first.
        """
        if path.is_dir():
            raise UserError(f"{path} is a folder: give its .tsv files")
        self._path = path
        self._places: list[tuple[int, int]] = []  # offset in bytes, line number
        self.names, counts, twice, num_fields = [], [], 0, 0
        seen: set[str] = set()
        self.feature_size = 0
        with path.open("rb") as file, progress_bar() as progress:
            task = progress.add_task(f"reading {path.name}", total=path.stat().st_size >> 20, rate="MB")
            start = 0
            for number, line in enumerate(file, start=1):
                fields = self._split(line, number)
                num_fields = num_fields or len(fields)
                if len(fields) != num_fields:
                    raise UserError(
                        f"{path}:{number}: {len(fields)} fields between tabs, but line 1 has {num_fields}: put lines of "
                        "different kinds into separate files"
                    )
                name, count = fields["image_id"].decode(), int(fields["num_boxes"])
                if name in seen:
                    twice += 1
                else:
                    seen.add(name)
                    self.names.append(name)
                    self._places.append((start, number))
                    counts.append(count)
                self.feature_size = self.feature_size or len(self._decode(fields, "features", number)) // max(count, 1)
                start += len(line)
                progress.update(task, completed=start >> 20)
        self.region_columns = ("boxes", "labels", "scores") if num_fields == 10 else ("boxes",)
        if not self.names:
            raise UserError(f"{path} is empty")
        if twice:
            log.warning("%s: %d lines repeat an image: only the first line of each image is used", path, twice)
        self.num_regions_max = max(counts)

    def read(self, index: int) -> Regions:
        start, number = self._places[index]
        with self._path.open("rb") as file:
            file.seek(start)
            fields = self._split(file.readline(), number)
        count = int(fields["num_boxes"])

        def column(name: str, size: int) -> NDArray[Any]:
            values = self._decode(fields, name, number)
            if len(values) != count * size:
                raise UserError(f"{self._path}:{number}: {name} has {len(values)} numbers, not {count} regions of {size}")
            return values.reshape(count, size) if size > 1 else values

        boxes = fractions(column("boxes", 4), float(fields["image_w"]), float(fields["image_h"]))
        columns = {"boxes": boxes, **{name: column(name, 1) for name in self.region_columns if name != "boxes"}}
        return Regions(column("features", self.feature_size), columns)

    def _split(self, line: bytes, number: int) -> dict[str, bytes]:
        values = line.rstrip(b"\r\n").split(b"\t")
        names = _FIELDS.get(len(values))
        if names is None:
            known = " or ".join(f"{count} ({' '.join(names)})" for count, names in _FIELDS.items())
            raise UserError(f"{self._path}:{number}: {len(values)} fields between tabs, not {known}")
        fields = dict(zip(names, values, strict=True))
        for name in ("image_w", "image_h", "num_boxes"):
            if not fields[name].isdigit():
                raise UserError(f"{self._path}:{number}: {name} is {fields[name][:20]!r}, not a number")
        return fields

    def _decode(self, fields: dict[str, bytes], name: str, number: int) -> NDArray[Any]:
        try:
            return np.frombuffer(base64.b64decode(fields[name], validate=True), dtype=_DTYPES[name])
        except (binascii.Error, ValueError) as error:
            raise UserError(f"{self._path}:{number}: {name} is cut off or not base64: {error}") from error
