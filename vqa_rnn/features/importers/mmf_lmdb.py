"""Features in MMF's LMDB, https://github.com/facebookresearch/mmf: a pickled dict per image and a pickled list of keys."""

from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from vqa_rnn.errors import UserError
from vqa_rnn.features.importers.folders import mmf_columns
from vqa_rnn.features.importers.pickles import load_plain
from vqa_rnn.features.importers.source import Source, check_regions
from vqa_rnn.features.regions import Regions


class MmfLmdbSource(Source):
    """An LMDB folder or file of MMF."""

    def __init__(self, path: Path) -> None:
        """Open the LMDB and read every image once.

        Args:
            path: The folder with ``data.mdb``, or the file.

        Raises:
            UserError: It is not in this format, or the images differ in feature size or columns.
        """
        self._path = path
        try:
            self._environment = lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False)
        except lmdb.Error as error:
            raise UserError(f"cannot open {path} as LMDB: {error}") from error
        with self._environment.begin() as transaction:
            content = transaction.get(b"keys")
            if content is None:
                raise UserError(f"{path} has no entry 'keys': it is not MMF's")
            keys = load_plain(content, f"{path}: keys")
        self._keys: list[bytes] = [key if isinstance(key, bytes) else str(key).encode() for key in keys]
        self.names = [key.decode() for key in self._keys]
        if not self.names:
            raise UserError(f"{path} is empty")
        self._measure(f"reading {path.name}")

    def read(self, index: int) -> Regions:
        where = f"{self._path}: {self.names[index]}"
        with self._environment.begin() as transaction:
            content = transaction.get(self._keys[index])
        if content is None:
            raise UserError(f"{where} is among the keys, but missing")
        item: Any = load_plain(content, where)
        if not isinstance(item, dict) or "features" not in item:
            raise UserError(f"{where} has no features")
        count = int(item.get("num_boxes", len(item["features"])))
        features = check_regions(where, np.asarray(item["features"])[:count])
        return Regions(features, mmf_columns(item, len(features), where) if "bbox" in item else {})
