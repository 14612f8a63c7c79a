"""95% intervals by bootstrap over images: the questions of an image are drawn together, since they are not independent."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]
FEWEST_IMAGES = 5  # a bootstrap over fewer says nothing


def bootstrap_interval(scores: NDArray[np.float64], image_ids: Sequence[str], samples: int = 1000, seed: int = 0) -> Interval:
    """The 95% percentile interval of a mean over questions.

    For a paired comparison give the differences of two models' scores on the same questions.

    Args:
        scores: (N,) one score a question, or one difference; NaN where it does not apply.
        image_ids: (N,) the image of each.
        samples: Resamples of the images.
        seed: Seed of the resampling.

    Returns:
        Lower and upper end. With one image both are the mean: it tells nothing.
    """
    return _middle(bootstrap_means(scores, image_ids, samples, seed))


class Difference(NamedTuple):
    """By how much one model's scores are above another's on the same questions.

    Attributes:
        mean: The mean over the questions.
        interval: 95%, by bootstrap over images.
        p: Two-sided, from the same resamples (``bootstrap_p``); None with fewer than ``FEWEST_IMAGES`` images.
    """

    mean: float
    interval: Interval
    p: float | None


def paired_difference(
    scores: NDArray[np.float64], others: NDArray[np.float64], image_ids: Sequence[str], samples: int = 1000
) -> Difference | None:
    """Compare two models, question by question.

    Args:
        scores: (N,) one score a question; NaN where it does not apply.
        others: (N,) the other's.
        image_ids: (N,) the image of each.
        samples: Resamples of the images.

    Returns:
        The difference, or None where it applies to no question.
    """
    differences = scores - others
    applies = np.flatnonzero(~np.isnan(differences))
    if not len(applies):
        return None
    means = bootstrap_means(differences, image_ids, samples)
    few = len({image_ids[place] for place in applies.tolist()}) < FEWEST_IMAGES
    return Difference(float(differences[applies].mean()), _middle(means), None if few else bootstrap_p(means))


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
        scores: (N,) one score a question, or one difference; NaN where it does not apply.
        image_ids: (N,) the image of each.
        samples: Resamples of the images, S.
        seed: Seed of the resampling.

    Returns:
        (S,) float64.
    """
    applies = ~np.isnan(scores)
    scores = scores[applies]
    _, image = np.unique(np.asarray(image_ids, dtype=str)[applies], return_inverse=True)
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


def _middle(means: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
