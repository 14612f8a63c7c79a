"""Features of the images of a set of questions, read from a store."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.data.columns import Ints
from vqa_rnn.data.sources import Regions
from vqa_rnn.features.store import FeatureStore


class StoreFeatures:
    """Features of the images of a set of questions, read from a store.

    Attributes:
        rows: (images,) row in the store of each image of ``EncodedQuestions.image_ids``.
    """

    def __init__(self, store: FeatureStore, image_ids: Sequence[str]) -> None:
        """Look up the rows of the images.

        Args:
            store: The feature store.
            image_ids: ``EncodedQuestions.image_ids``.
        """
        self._store = store
        self.rows = store.rows(image_ids)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of regions K and feature size D."""
        return self._store.num_regions_max, self._store.feature_size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the features."""
        return self._store.dtype

    def read(self, images: Ints, out: NDArray[Any] | None = None) -> Regions:
        """Read the features of images from the store.

        Args:
            images: (B,) indices into ``image_ids``.
            out: (B, K, D) array to write the features to; defaults to a new array.

        Returns:
            Features, numbers of regions and boxes of the images.
        """
        rows = self.rows[images]
        boxes = self._store.read_column("boxes", rows) if self._store.has_boxes else None
        return self._store.read(rows, out), self._store.num_regions[rows], boxes

    def shuffled(self, seed: int) -> "StoreFeatures":
        """Return a source that gives each image the features of another image, to measure a floor for evaluation.

        Args:
            seed: Seed of the random permutation.

        Returns:
            The permuted source. With a single image the features are unchanged.
        """
        other = copy.copy(self)
        order = np.random.default_rng(seed).permutation(len(self.rows))
        other.rows = np.empty_like(self.rows)
        other.rows[order] = self.rows[np.roll(order, 1)]
        return other
