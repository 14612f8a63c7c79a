"""Regions of an image, as returned by extractors and importers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.errors import UserError

WHOLE = np.array([[0, 0, 1, 1]], dtype=np.float32)  # the box of the whole image, as fractions of it
NO_BOXES = np.zeros((0, 4), dtype=np.float32)


class Regions(NamedTuple):
    """The regions of an image.

    Attributes:
        features: (n, D).
        columns: (n, …) values of each column of regions: boxes (x1 y1 x2 y2 as fractions of the image), labels, scores.
    """

    features: NDArray[Any]
    columns: Mapping[str, NDArray[Any]]


def all_finite(features: NDArray[Any]) -> bool:
    """Return whether all features are finite.

    Args:
        features: float16 or float32.

    Returns:
        True if none is infinite or NaN.
    """
    if features.dtype != np.float16:
        return bool(np.isfinite(features).all())
    exponent = np.uint16(0x7C00)  # all its bits are set in infinity and NaN; numpy's isfinite is 25 times slower for float16
    return not ((features.view(np.uint16) & exponent) == exponent).any()


def check_features(features: NDArray[Any], image: str | Path, source: str) -> None:
    """Check that the features of an image can be stored.

    Args:
        features: (…, D) in the stored dtype.
        image: The image, for the error message.
        source: The network or layer that computed them, for the error message.

    Raises:
        UserError: A feature is NaN or infinite, or was too large for the dtype.
    """
    if all_finite(features):
        return
    if np.isnan(features).any() or features.dtype == np.float32:
        why = "contain NaN or infinity: check the image and features.weights"
    else:
        why = f"contain a value larger than {np.finfo(np.float16).max:,.0f}, the maximum of float16: set features.dtype=float32"
    raise UserError(f"the features of {image} from {source} {why}")
