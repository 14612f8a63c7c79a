"""95% intervals by bootstrap over images. Questions about the same image are drawn together: they are not independent."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]
FEWEST_IMAGES = 5  # a bootstrap over fewer is not informative
PAIRED_SAMPLES = 10_000  # resamples for a paired difference; the smallest p-value is 2 / (PAIRED_SAMPLES + 1)


def bootstrap_interval(scores: NDArray[np.float64], image_ids: Sequence[str], samples: int = 1000, seed: int = 0) -> Interval:
    """Compute the 95% percentile interval of a mean over questions.

    For a paired comparison, pass the differences between the scores of two models on the same questions.

    Args:
        scores: (N,) score or difference of each question; NaN where it does not apply.
        image_ids: (N,) image of each question.
        samples: Number of resamples of the images.
        seed: Seed of the resampling.

    Returns:
        Lower and upper end. With a single image both equal the mean and are not informative.
    """
    return _middle(bootstrap_means(scores, image_ids, samples, seed))


def corpus_intervals(
    statistics: NDArray[Any],
    combine: Callable[[NDArray[Any]], Mapping[str, float]],
    image_ids: Sequence[str],
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, list[float]]:
    """Compute the 95% percentile intervals of metrics that are a function of sums over the questions, such as BLEU.

    Args:
        statistics: (N, S) statistics of each question.
        combine: Computes the metrics by name from the (S,) sums.
        image_ids: (N,) image of each question.
        samples: Number of resamples of the images.
        seed: Seed of the resampling.

    Returns:
        Lower and upper end of each metric.
    """
    _, image = np.unique(np.asarray(image_ids, dtype=str), return_inverse=True)
    num_images = int(image.max(initial=-1)) + 1
    sums = np.zeros((num_images, statistics.shape[1]))
    np.add.at(sums, image, statistics)
    generator = np.random.default_rng(seed)
    found: dict[str, list[float]] = {}
    for _ in range(samples):
        times = np.bincount(generator.integers(num_images, size=num_images), minlength=num_images)
        for name, value in combine((times[:, None] * sums).sum(axis=0)).items():
            found.setdefault(name, []).append(value)
    return {name: list(_middle(np.array(values))) for name, values in found.items()}


class Difference(NamedTuple):
    """The difference between the mean scores of two models on the same questions.

    Attributes:
        mean: Mean difference over the questions.
        interval: 95% interval of the mean difference, by bootstrap over images.
        p: Two-sided p-value from the same resamples (``bootstrap_p``); None with fewer than ``FEWEST_IMAGES`` images.
    """

    mean: float
    interval: Interval
    p: float | None


def paired_difference(
    scores: NDArray[np.float64], others: NDArray[np.float64], image_ids: Sequence[str], samples: int = PAIRED_SAMPLES
) -> Difference | None:
    """Compare the scores of two models on the same questions.

    Args:
        scores: (N,) score of each question; NaN where it does not apply.
        others: (N,) scores of the other model.
        image_ids: (N,) image of each question.
        samples: Number of resamples of the images.

    Returns:
        The difference ``scores - others``; None if no question has both scores.
    """
    differences = scores - others
    applies = np.flatnonzero(~np.isnan(differences))
    if not len(applies):
        return None
    means = bootstrap_means(differences, image_ids, samples)
    few = len({image_ids[place] for place in applies.tolist()}) < FEWEST_IMAGES
    return Difference(float(differences[applies].mean()), _middle(means), None if few else bootstrap_p(means))


def bootstrap_p(means: NDArray[np.float64]) -> float:
    """Compute the two-sided p-value of a mean difference, under the hypothesis that there is none.

    Args:
        means: (S,) mean differences, from ``bootstrap_means``.

    Returns:
        ``2 * (k + 1) / (S + 1)``, at most 1, where k is the number of resamples on the side of 0 that has fewer.
    """
    fewer = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return min(1.0, 2 * (fewer + 1) / (len(means) + 1))


def bootstrap_means(
    scores: NDArray[np.float64], image_ids: Sequence[str], samples: int = 1000, seed: int = 0
) -> NDArray[np.float64]:
    """Compute the means over the questions of images drawn with replacement.

    Args:
        scores: (N,) score or difference of each question; NaN where it does not apply.
        image_ids: (N,) image of each question.
        samples: S, the number of resamples of the images.
        seed: Seed of the resampling.

    Returns:
        (S,) float64 means.
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
        # not times @ sums: for many products of short vectors, BLAS spends most of the time waiting for its threads
        means[i] = (times * sums).sum() / (times * counts).sum()
    return means


def _middle(means: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
