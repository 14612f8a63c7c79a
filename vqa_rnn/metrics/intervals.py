"""95% intervals by bootstrap over images: the questions of an image are drawn together, since they are not independent."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]


def bootstrap_interval(scores: NDArray[np.float64], image_ids: Sequence[str], samples: int = 1000, seed: int = 0) -> Interval:
    """The 95% percentile interval of a mean over questions.

    For a paired comparison give the differences of two models' scores on the same questions.

    Args:
        scores: (N,) one score a question, or one difference.
        image_ids: (N,) the image of each.
        samples: Resamples of the images.
        seed: Seed of the resampling.

    Returns:
        Lower and upper end. With one image both are the mean: it tells nothing.
    """
    low, high = np.quantile(bootstrap_means(scores, image_ids, samples, seed), [0.025, 0.975])
    return float(low), float(high)


def bootstrap_p(means: NDArray[np.float64]) -> float:
    """How surprising a mean difference would be if there were none.

    Args:
        means: (S,) means of differences, from ``bootstrap_means``.

    Returns:
        Twice the share of resamples on the side of 0 that has fewer, one more counted on either, so at least 2 / (S + 1).
    """
    fewer = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return min(1.0, 2 * (fewer + 1) / (len(means) + 1))


def bootstrap_means(
    scores: NDArray[np.float64], image_ids: Sequence[str], samples: int = 1000, seed: int = 0
) -> NDArray[np.float64]:
    """The means over questions of images drawn with replacement.

    Args:
        scores: (N,) one score a question, or one difference.
        image_ids: (N,) the image of each.
        samples: Resamples of the images, S.
        seed: Seed of the resampling.

    Returns:
        (S,) float64.
    """
    _, image = np.unique(np.asarray(image_ids, dtype=str), return_inverse=True)
    num_images = int(image.max(initial=-1)) + 1
    sums = np.bincount(image, weights=scores, minlength=num_images)
    counts = np.bincount(image, minlength=num_images)
    generator = np.random.default_rng(seed)
    means = np.empty(samples)
    for i in range(samples):
        times = np.bincount(generator.integers(num_images, size=num_images), minlength=num_images)
        # not times @ sums: a product of so many short vectors spends its time waiting for the threads of BLAS
        means[i] = (times * sums).sum() / (times * counts).sum()
    return means
