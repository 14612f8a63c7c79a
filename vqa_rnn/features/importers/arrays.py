"""Features of all images in arrays: HDF5 files of well-known programs, and arrays with given names."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vqa_rnn.errors import UserError
from vqa_rnn.features.importers.pickles import load_plain
from vqa_rnn.features.importers.source import UNREADABLE, Source, check_regions, why_not_arrays
from vqa_rnn.features.regions import Regions

HDF5_SUFFIXES = (".h5", ".hdf5")


class AttentionFeaturesSource(Source):
    """HDF5 files that https://github.com/hengyuan-hu/bottom-up-attention-vqa makes from the published ``.tsv`` files.

    ``train36.hdf5`` has ``image_features`` (I, 36, D) and ``spatial_features`` (I, 36, 6), whose first four values are boxes as
    fractions of the image. Files with 10 to 100 regions have the regions of all images one after the other, and ``pos_boxes``
    (I, 2), the start and end (exclusive) of each image. ``train36_imgid2idx.pkl`` in the same folder maps image ids to rows.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Args:
            path: The HDF5 file.

        Raises:
            UserError: The file or its map of ids is missing, or is not in this format.
        """
        self._path, self._file = path, open_hdf5(path)
        self._features = dataset(self._file, path, ["image_features"])
        self._boxes = dataset(self._file, path, ["spatial_features"])
        self._positions = self._file["pos_boxes"][:] if "pos_boxes" in self._file else None
        ids = path.with_name(f"{path.stem}_imgid2idx.pkl")
        try:
            with ids.open("rb") as file:
                index_of = load_plain(file, str(ids))
        except OSError as error:
            raise UserError(f"{ids} is needed beside {path.name}: {error.strerror}") from error
        if not isinstance(index_of, dict) or sorted(index_of.values()) != list(range(len(index_of))):
            raise UserError(f"{ids} is not a map from image ids to the rows of {path.name}")
        self.names = [str(name) for name in sorted(index_of, key=index_of.__getitem__)]
        self.feature_size = self._features.shape[-1]
        self.region_columns = ("boxes",)
        if self._positions is None:
            self.num_regions_max = self._features.shape[1]
        else:
            self.num_regions_max = int((self._positions[:, 1] - self._positions[:, 0]).max())
        rows = len(self._features) if self._positions is None else len(self._positions)
        if rows < len(self.names):
            raise UserError(f"{path} has {rows} images, and {ids.name} names {len(self.names)}")

    def read(self, index: int) -> Regions:
        rows: Any = index if self._positions is None else slice(*self._positions[index].tolist())
        features = check_regions(f"{self._path} image {self.names[index]}", self._features[rows], self.feature_size)
        return Regions(features, {"boxes": self._boxes[rows][:, :4].clip(0, 1)})


class VisdialSource(Source):
    """HDF5 files of the VisDial starter code, https://github.com/batra-mlp-lab/visdial-challenge-starter-pytorch.

    They have ``features`` (I, K, D), or (I, D) of whole images; ``image_id`` or ``image_ids`` (I,); and maybe ``num_boxes``
    (I,), the number of regions of each image. Boxes are ignored: they are in pixels, and the image sizes are not stored.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Args:
            path: The HDF5 file.

        Raises:
            UserError: The file is not in this format.
        """
        self._path, file = path, open_hdf5(path)
        self._features = dataset(file, path, ["features"])
        ids = dataset(file, path, ["image_id", "image_ids"])
        self.names = id_texts(ids[:])
        self._counts = file["num_boxes"][:].ravel() if "num_boxes" in file else None
        self.num_regions_max = self._features.shape[1] if self._features.ndim == 3 else 1
        self.feature_size, self.region_columns = self._features.shape[-1], ()
        check_count(path, len(self._features), self.names)

    def read(self, index: int) -> Regions:
        features = self._features[index].reshape(self.num_regions_max, self.feature_size)
        return Regions(features if self._counts is None else features[: int(self._counts[index])], {})


class ArraysSource(Source):
    """Arrays from any program: ``.npy``, ``.npz`` or HDF5."""

    def __init__(
        self,
        path: Path,
        features_key: str = "features",
        ids_key: str = "image_id",
        boxes_key: str | None = None,
        ids_file: Path | None = None,
    ) -> None:
        """Open the file.

        Args:
            path: The file, with (I, K, D) features, or (I, D) of whole images.
            features_key: Name of the features in the file; a ``.npy`` file has no names.
            ids_key: Name of the (I,) image ids.
            boxes_key: Name of the (I, K, 4) boxes, as fractions of the image; None if there are no boxes.
            ids_file: A separate file with the ids, one per line or as a JSON list.

        Raises:
            UserError: An array is missing, or its shape does not fit.
        """
        if path.suffix in HDF5_SUFFIXES:
            arrays: Any = open_hdf5(path)
        else:
            try:
                loaded = np.load(path, mmap_mode="r" if path.suffix == ".npy" else None, allow_pickle=False)
            except UNREADABLE as error:
                raise UserError(f"cannot read {path}: {why_not_arrays(error)}") from error
            arrays = {features_key: loaded} if path.suffix == ".npy" else loaded
        self._features = dataset(arrays, path, [features_key], "--features-key NAME")
        self._boxes = None if boxes_key is None else dataset(arrays, path, [boxes_key], "--boxes-key NAME")
        if ids_file is None:
            self.names = id_texts(np.asarray(dataset(arrays, path, [ids_key], "--ids-key NAME or --ids-file FILE")))
        else:
            self.names = read_ids(ids_file)
        if self._features.ndim not in (2, 3):
            raise UserError(f"{path}: {features_key} has the shape {self._features.shape}, not (images, regions, size)")
        self.num_regions_max = self._features.shape[1] if self._features.ndim == 3 else 1
        self.feature_size = self._features.shape[-1]
        self.region_columns = () if self._boxes is None else ("boxes",)
        check_count(path, len(self._features), self.names)
        if self._boxes is not None and self._boxes.shape != (len(self.names), self.num_regions_max, 4):
            raise UserError(f"{path}: {boxes_key} has the shape {self._boxes.shape}, not (images, regions, 4)")

    def read(self, index: int) -> Regions:
        features = np.asarray(self._features[index]).reshape(self.num_regions_max, self.feature_size)
        if self._boxes is None:
            return Regions(features, {})
        boxes = np.asarray(self._boxes[index])
        if boxes.min() < 0 or boxes.max() > 1:
            raise UserError(f"the boxes of image {self.names[index]} are not fractions of the image (from 0 to 1)")
        return Regions(features, {"boxes": boxes})


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading.

    Args:
        path: The file.

    Returns:
        The open file.

    Raises:
        UserError: It is not an HDF5 file.
    """
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise UserError(f"cannot open {path} as HDF5: {error}") from error


def dataset(arrays: Any, path: Path, names: Sequence[str], option: str = "") -> Any:
    """Return the array that has one of several names.

    Args:
        arrays: A mapping from names to arrays, such as an open HDF5 file.
        path: Its file, for the error message.
        names: The possible names.
        option: Command-line option that gives another name, for the error message.

    Returns:
        The array.

    Raises:
        UserError: No array has one of these names, or it is damaged.
    """
    for name in names:
        if name in arrays:
            try:
                return arrays[name]
            except UNREADABLE as error:  # arrays of an .npz file are read here
                raise UserError(f"cannot read {name} of {path}: {why_not_arrays(error)}") from error
    advice = f": give {option}" if option else ""
    raise UserError(f"{path} has no {' or '.join(names)}; it has {', '.join(sorted(arrays)) or 'nothing'}{advice}")


def id_texts(ids: Any) -> list[str]:
    """Convert image ids to strings.

    Args:
        ids: (I,) numbers, bytes or strings.

    Returns:
        (I,) strings.
    """
    return [each.decode() if isinstance(each, bytes) else str(each) for each in np.asarray(ids).ravel().tolist()]


def read_ids(path: Path) -> list[str]:
    """Read a file of image ids.

    Args:
        path: The file, with one id per line, or a JSON list.

    Returns:
        The ids.

    Raises:
        UserError: The file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return [str(each) for each in json.loads(text)] if path.suffix == ".json" else text.removesuffix("\n").split("\n")
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the image ids {path}: {error}") from error


def check_count(path: Path, num_rows: int, names: Sequence[str]) -> None:
    """Check that every row has an id.

    Args:
        path: The file, for the error message.
        num_rows: Number of rows.
        names: The ids.

    Raises:
        UserError: There are more or fewer ids than rows.
    """
    if num_rows != len(names):
        raise UserError(f"{path} has features of {num_rows} images, and {len(names)} image ids")
