"""Statistics of feature channels."""

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.features.store import FeatureStore

MOST_IMAGES = 10_000
_AT_ONCE = 64  # images read at a time


def channel_statistics(store: FeatureStore, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute the mean and standard deviation of each channel over the regions of some images.

    If there are more than ``MOST_IMAGES`` images, an evenly spaced subset is used.

    Args:
        store: The store.
        rows: (n,) rows of the images.

    Returns:
        (D,) means and (D,) standard deviations, float32; zeros if there are no regions.
    """
    total = np.zeros(store.feature_size)
    squares = np.zeros(store.feature_size)
    count = 0
    rows = rows[:: max(1, -(-len(rows) // MOST_IMAGES))]
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        exists = np.arange(store.num_regions_max) < store.num_regions[some, None]
        regions = store.read(some)[exists].astype(np.float64)
        total += regions.sum(axis=0)
        squares += np.square(regions).sum(axis=0)
        count += len(regions)
    mean = total / max(count, 1)
    deviation = np.sqrt(np.maximum(squares / max(count, 1) - np.square(mean), 0))
    return mean.astype(np.float32), deviation.astype(np.float32)
