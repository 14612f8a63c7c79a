"""Where a batch's features come from."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.data.columns import Ints

Regions = tuple[NDArray[Any], NDArray[np.int32], NDArray[np.float32] | None]
"""(B, K, D) features, (B,) numbers of regions, (B, K, 4) boxes or None."""


class FeatureSource(Protocol):
    """Features by image: rows of a store, or images held in memory."""

    @property
    def shape(self) -> tuple[int, int]:
        """K and D."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the features."""
        ...

    def read(self, images: Ints, out: NDArray[Any] | None = None) -> Regions:
        """Read images.

        Args:
            images: (B,) indices into the questions' ``image_ids``.
            out: (B, K, D) where the features go; by default a new array.

        Returns:
            Their regions.
        """
        ...


class MemoryFeatures:
    """Features of images held in memory."""

    def __init__(
        self,
        features: NDArray[Any],
        boxes: NDArray[np.float32] | None = None,
        num_regions: NDArray[np.int32] | None = None,
    ) -> None:
        """Hold features.

        Args:
            features: (images, K, D).
            boxes: (images, K, 4), where regions have some.
            num_regions: (images,) how many regions of each image exist, the others being padding; by default all of them.
        """
        self._features, self._boxes = features, boxes
        self._num_regions = np.full(len(features), features.shape[1], dtype=np.int32) if num_regions is None else num_regions
        self.shape: tuple[int, int] = features.shape[1:]  # type: ignore[assignment]
        self.dtype = features.dtype

    def read(self, images: Ints, out: NDArray[Any] | None = None) -> Regions:
        """Pick images.

        Args:
            images: (B,) indices into ``features``.
            out: (B, K, D) where the features go; by default a new array.

        Returns:
            Their regions.
        """
        boxes = None if self._boxes is None else self._boxes[images]
        return (
            np.take(self._features, images, axis=0, out=out),
            self._num_regions[images],
            boxes,
        )
