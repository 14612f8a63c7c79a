"""What a file of published features gives."""

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

UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)  # what numpy raises for a file that is damaged


class Source(ABC):
    """Features in a format of other programs.

    Attributes:
        names: What the images are called there.
        num_regions_max: K, the most regions an image has.
        feature_size: D.
        region_columns: Which columns of regions there are besides features.
    """

    names: list[str]
    num_regions_max: int
    feature_size: int
    region_columns: tuple[str, ...]

    @abstractmethod
    def read(self, index: int) -> Regions:
        """Read an image.

        Args:
            index: Its place in ``names``.

        Returns:
            Its regions; boxes as fractions of the image.

        Raises:
            UserError: The file is not as its format says.
        """

    def _measure(self, title: str) -> None:
        """Read every image of ``names`` once, to find out K, D and the columns; they must agree."""
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
    """Boxes in pixels as fractions of the image.

    Args:
        boxes: (n, 4) x1 y1 x2 y2.
        width: Of the image.
        height: Of the image.

    Returns:
        (n, 4) from 0 to 1.
    """
    scaled = np.asarray(boxes, dtype=np.float64) / [width, height, width, height]
    return scaled.clip(0, 1).astype(np.float32)


def why_not_arrays(error: Exception) -> str:
    """What numpy said of a file that it cannot read, without its advice to allow pickles, which can run any program.

    Args:
        error: What was raised.

    Returns:
        The reason.
    """
    if "pickle" not in str(error):
        return str(error)
    return "it holds pickled objects, which are not read, or is no file of arrays"


def check_regions(where: str, features: NDArray[Any], feature_size: int | None = None) -> NDArray[Any]:
    """See that something is the regions of an image.

    Args:
        where: The file and the image, for the message.
        features: What was read.
        feature_size: D, where it is known.

    Returns:
        ``features``.

    Raises:
        UserError: It has another shape, or is not numbers.
    """
    if (
        features.ndim != 2
        or features.dtype.kind not in "fiu"
        or (feature_size is not None and features.shape[1] != feature_size)
    ):
        size = "D" if feature_size is None else feature_size
        raise UserError(f"{where}: numbers of the shape (regions, {size}) are needed, not {features.dtype} {features.shape}")
    return features
