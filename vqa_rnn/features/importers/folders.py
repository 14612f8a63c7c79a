"""Features with one file per image."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from vqa_rnn.errors import UserError
from vqa_rnn.features.importers.pickles import load_npy
from vqa_rnn.features.importers.source import UNREADABLE, Source, check_regions, fractions, why_not_arrays
from vqa_rnn.features.regions import Regions


class FolderSource(Source):
    """A folder with one file per image. The name of an image is the path of its file in the folder, without the suffix."""

    suffix: ClassVar[str]

    def __init__(self, path: Path) -> None:
        """Find the files and read each of them once.

        Args:
            path: The folder.

        Raises:
            UserError: There are no such files, one cannot be read, or they differ in feature size or columns.
        """
        self._path = path
        self._files = sorted(file for file in path.rglob(f"*{self.suffix}") if self._is_features(file))
        if not self._files:
            raise UserError(f"there are no {self.suffix} files of features in {path}")
        self.names = [file.relative_to(path).as_posix().removesuffix(self.suffix) for file in self._files]
        self._measure(f"reading {path.name}")

    def read(self, index: int) -> Regions:
        return self._read_file(self._files[index])

    def _is_features(self, file: Path) -> bool:
        return True

    @abstractmethod
    def _read_file(self, file: Path) -> Regions:
        """Read the regions of an image."""


class OpenVqaSource(FolderSource):
    """Features of https://github.com/MILVLG/openvqa: ``.npz`` with ``x`` (D, n), ``bbox`` (n, 4), ``image_w``, ``image_h``."""

    suffix = ".npz"

    def _read_file(self, file: Path) -> Regions:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                features = check_regions(str(file), arrays["x"].T)
                if "image_w" not in arrays:
                    return Regions(features, {})
                boxes = fractions(arrays["bbox"], float(arrays["image_w"]), float(arrays["image_h"]))
        except (KeyError, *UNREADABLE) as error:
            raise UserError(f"cannot read {file}: {why_not_arrays(error)}") from error
        if len(boxes) != len(features):
            raise UserError(f"{file}: {len(features)} regions and {len(boxes)} boxes")
        return Regions(features, {"boxes": boxes})


class MmfNpySource(FolderSource):
    """Features of https://github.com/facebookresearch/mmf: ``NAME.npy`` (n, D) and ``NAME_info.npy``, a dict with boxes."""

    suffix = ".npy"

    def _is_features(self, file: Path) -> bool:
        return not file.stem.endswith("_info")

    def _read_file(self, file: Path) -> Regions:
        features = check_regions(str(file), np.asarray(load_npy(file)))
        info = file.with_name(f"{file.stem}_info.npy")
        if not info.is_file():
            return Regions(features, {})
        return Regions(features, mmf_columns(load_npy(info), len(features), str(info)))


class GridFeaturesSource(FolderSource):
    """Features of https://github.com/facebookresearch/grid-feats-vqa: ``ID.pth`` (1, D, H, W). Its cells become the boxes."""

    suffix = ".pth"

    def _read_file(self, file: Path) -> Regions:
        try:
            grid = torch.load(file, "cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds of errors for other files
            raise UserError(f"cannot read {file} as a tensor: it is not a file of tensors alone, or is damaged") from error
        if not isinstance(grid, torch.Tensor) or grid.dim() != 4 or grid.shape[0] != 1:
            raise UserError(f"{file}: a tensor (1, size, height, width) is needed")
        features = grid[0].flatten(1).T.float().numpy()
        return Regions(features, {"boxes": cell_boxes(*grid.shape[2:])})


def cell_boxes(height: int, width: int) -> NDArray[np.float32]:
    """Return the cells of a grid as boxes.

    Args:
        height: Number of cells from top to bottom.
        width: Number of cells from left to right.

    Returns:
        (height * width, 4) x1 y1 x2 y2 as fractions of the image, row by row from the top left.
    """
    y, x = np.divmod(np.arange(height * width), width)
    return np.stack([x / width, y / height, (x + 1) / width, (y + 1) / height], axis=1).astype(np.float32)


def mmf_columns(info: Any, count: int, where: str) -> dict[str, NDArray[Any]]:
    """Read the boxes, labels and scores that MMF stores with features.

    Args:
        info: The dict that MMF wrote.
        count: Number of regions.
        where: Where the dict is from, for the error message.

    Returns:
        The columns of regions that the dict has.

    Raises:
        UserError: The dict is not in MMF's format.
    """
    try:
        columns = {"boxes": fractions(info["bbox"], float(info["image_width"]), float(info["image_height"]))}
        if info.get("objects") is not None and len(info["objects"]):
            columns["labels"] = np.asarray(info["objects"]).ravel()
            probabilities = np.asarray(info["cls_prob"])
            columns["scores"] = probabilities.max(axis=1) if probabilities.ndim == 2 else probabilities.ravel()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{where} is not what MMF writes beside features: {error!r}") from error
    wrong = [name for name, values in columns.items() if len(values) < count]
    if wrong:
        raise UserError(f"{where}: {count} regions, and {len(columns[wrong[0]])} {wrong[0]}")
    return {name: values[:count] for name, values in columns.items()}
