"""The interface of all importers, and their shared checks."""

import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.errors import UserError
from vqa_rnn.features.regions import Regions
from vqa_rnn.progress import progress_bar

UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)  # errors of numpy for damaged files


class Source(ABC):
    """Features in a format of another program.

    Attributes:
        names: Names of the images in the file.
        num_regions_max: K, the maximum number of regions of an image.
        feature_size: D.
        region_columns: Columns of regions besides the features.
    """

    names: list[str]
    num_regions_max: int
    feature_size: int
    region_columns: tuple[str, ...]

    @abstractmethod
    def read(self, index: int) -> Regions:
        """Read the regions of an image.

        Args:
            index: Index of the image in ``names``.

        Returns:
            Its regions, with boxes as fractions of the image.

        Raises:
            UserError: The file does not follow its format.
        """

    def _measure(self, title: str) -> None:
        """Read every image once to find K, D and the columns. D and the columns must be the same for all images."""
        sizes = []
        with progress_bar() as progress:
            task = progress.add_task(title, total=len(self.names), rate="")
            for index, name in enumerate(self.names):
                regions = self.read(index)
                sizes.append(len(regions.features))
                kind = regions.features.shape[1], tuple(regions.columns)
                if index == 0:
                    self.feature_size, self.region_columns = kind
                elif kind != (self.feature_size, self.region_columns):
                    expected = _said(self.feature_size, self.region_columns)
                    raise UserError(f"{name} has features of {_said(*kind)}, and {self.names[0]} of {expected}")
                progress.advance(task)
        self.num_regions_max = max(sizes)


def _said(feature_size: int, columns: Sequence[str]) -> str:
    return f"size {feature_size} with {', '.join(columns) or 'no boxes'}"


def fractions(boxes: NDArray[Any], width: float, height: float) -> NDArray[np.float32]:
    """Convert boxes from pixels to fractions of the image.

    Args:
        boxes: (n, 4) x1 y1 x2 y2 in pixels.
        width: Width of the image, in pixels.
        height: Height of the image, in pixels.

    Returns:
        (n, 4) fractions, clipped to the range from 0 to 1.
    """
    scaled = np.asarray(boxes, dtype=np.float64) / [width, height, width, height]
    return scaled.clip(0, 1).astype(np.float32)


def why_not_arrays(error: Exception) -> str:
    """Return why numpy cannot read a file, without its advice to allow pickles, which can run any code.

    Args:
        error: The error that numpy raised.

    Returns:
        The reason.
    """
    if "pickle" not in str(error):
        return str(error)
    return "it holds pickled objects, which are not read, or is no file of arrays"


def check_regions(where: str, features: NDArray[Any], feature_size: int | None = None) -> NDArray[Any]:
    """Check that an array can be the features of an image's regions.

    Args:
        where: The file and the image, for the error message.
        features: The array.
        feature_size: D, if known.

    Returns:
        ``features``.

    Raises:
        UserError: Its shape is not (n, D), or its values are not numbers.
    """
    if (
        features.ndim != 2
        or features.dtype.kind not in "fiu"
        or (feature_size is not None and features.shape[1] != feature_size)
    ):
        size = "D" if feature_size is None else feature_size
        raise UserError(f"{where}: numbers of the shape (regions, {size}) are needed, not {features.dtype} {features.shape}")
    return features
