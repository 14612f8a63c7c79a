"""Sources of the region features of a batch."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.data.columns import Ints

Regions = tuple[NDArray[Any], NDArray[np.int32], NDArray[np.float32] | None]
"""(B, K, D) features, (B,) numbers of regions, (B, K, 4) boxes or None."""


class FeatureSource(Protocol):
    """Interface of feature sources: rows of a store, or images in memory."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of regions K and feature size D."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the features."""
        ...

    def read(self, images: Ints, out: NDArray[Any] | None = None) -> Regions:
        """Read the features of images.

        Args:
            images: (B,) indices into ``EncodedQuestions.image_ids``.
            out: (B, K, D) array to write the features to; defaults to a new array.

        Returns:
            Features, numbers of regions and boxes of the images.
        """
        ...


class MemoryFeatures:
    """Features of images in memory."""

    def __init__(
        self,
        features: NDArray[Any],
        boxes: NDArray[np.float32] | None = None,
        num_regions: NDArray[np.int32] | None = None,
    ) -> None:
        """Store features.

        Args:
            features: (images, K, D) features.
            boxes: (images, K, 4) boxes of the regions, if known.
            num_regions: (images,) number of regions of each image; further rows are padding. Defaults to K for every image.
        """
        self._features, self._boxes = features, boxes
        self._num_regions = np.full(len(features), features.shape[1], dtype=np.int32) if num_regions is None else num_regions
        self.shape: tuple[int, int] = features.shape[1:]  # type: ignore[assignment]
        self.dtype = features.dtype

    def read(self, images: Ints, out: NDArray[Any] | None = None) -> Regions:
        """Return the features of images.

        Args:
            images: (B,) indices into ``features``.
            out: (B, K, D) array to write the features to; defaults to a new array.

        Returns:
            Features, numbers of regions and boxes of the images.
        """
        boxes = None if self._boxes is None else self._boxes[images]
        return (
            np.take(self._features, images, axis=0, out=out),
            self._num_regions[images],
            boxes,
        )
