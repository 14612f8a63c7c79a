"""Calibration of a model's probabilities, and selective answering by a threshold.

Temperature scaling and the expected calibration error (ECE) are those of Guo et al. 2017 (https://arxiv.org/abs/1706.04599).
Risk and coverage are those of Geifman and El-Yaniv 2017 (https://arxiv.org/abs/1705.08500).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NUM_BINS = 15
LOWEST, HIGHEST = 0.05, 20.0  # range of temperatures
FEWEST_ANSWERS = 20  # minimum number above a threshold: a few answers may all be right by chance
FOLDS = 5


class Coverage(NamedTuple):
    """Coverage and accuracy at a threshold.

    Attributes:
        threshold: Answers with at least this probability are given.
        coverage: Share of questions that are answered.
        accuracy: Accuracy of the answers that are given.
    """

    threshold: float
    coverage: float
    accuracy: float


def expected_calibration_error(confidences: Floats, scores: Floats, num_bins: int = NUM_BINS) -> float:
    """Compute the expected calibration error with bins of equal width (Guo et al. 2017, equation 3).

    Args:
        confidences: (N,) probability of each answer, 0 to 1.
        scores: (N,) score of each answer, 0 to 1.
        num_bins: Number of bins.

    Returns:
        The error, 0 to 1.
    """
    bins = bin_of(confidences, num_bins)
    gaps = np.bincount(bins, weights=confidences, minlength=num_bins) - np.bincount(bins, weights=scores, minlength=num_bins)
    return float(np.abs(gaps).sum() / max(len(bins), 1))


def bin_of(confidences: Floats, num_bins: int) -> NDArray[np.int64]:
    """Assign each confidence to one of several bins of equal width.

    Args:
        confidences: (N,) probabilities, 0 to 1.
        num_bins: Number of bins.

    Returns:
        (N,) bin indices, 0 to ``num_bins - 1``. A confidence of 1 is in the last bin.
    """
    return np.minimum((np.asarray(confidences) * num_bins).astype(np.int64), num_bins - 1)


def fit_temperature(logits: NDArray[np.float32], targets: Floats, loss: Literal["softmax", "sigmoid"] = "softmax") -> float:
    """Fit the temperature that minimises the negative log-likelihood (Guo et al. 2017, section 4.2).

    Args:
        logits: (N, A), -inf where there is no such answer.
        targets: (N, A) score of each answer, 0 to 1. With ``softmax``, rows of zeros are ignored.
        loss: The loss that the logits were trained with.

    Returns:
        The number to divide logits by, from 0.05 to 20, accurate to about 1%; 1 if all rows are ignored.
    """
    if loss == "softmax" and not targets.sum():
        return 1.0  # nothing to fit
    low, high = LOWEST, HIGHEST
    for number in (12, 8, 8, 8):
        candidates = np.geomspace(low, high, number)
        losses = [negative_log_likelihood(logits / float(candidate), targets, loss) for candidate in candidates]
        best = int(np.argmin(losses))
        low, high = candidates[max(best - 1, 0)], candidates[min(best + 1, number - 1)]
    return float(np.sqrt(low * high))


def negative_log_likelihood(logits: NDArray[np.float32], targets: Floats, loss: Literal["softmax", "sigmoid"]) -> float:
    """Compute the mean loss per question. With ``softmax``, questions whose targets are all 0 are left out.

    Args:
        logits: As in ``fit_temperature``.
        targets: As in ``fit_temperature``; with ``softmax``, at least one row is not all 0.
        loss: As in ``fit_temperature``.

    Returns:
        The loss in nats.
    """
    exists = np.isfinite(logits)
    finite = np.where(exists, logits, 0.0)
    if loss == "sigmoid":
        each = np.logaddexp(0, finite) - targets * finite
        return float((each * exists).sum(axis=1).mean())
    totals = targets.sum(axis=1)
    largest = np.where(exists, logits, -np.inf).max(axis=1, keepdims=True)
    log_sum = np.log(np.where(exists, np.exp(logits - largest), 0.0).sum(axis=1, keepdims=True)) + largest
    log_p = np.where(exists, finite - log_sum, 0.0)
    counted = totals > 0
    return float(-((targets * log_p).sum(axis=1)[counted] / totals[counted]).mean())


def risk_coverage(confidences: Floats, scores: Floats) -> list[Coverage]:
    """Compute coverage and accuracy at each threshold, from the highest (fewest answers) to the lowest (all answers).

    Args:
        confidences: (N,) probability of each answer.
        scores: (N,) score of each answer.

    Returns:
        One entry for each distinct confidence.
    """
    order = np.argsort(-confidences, kind="stable")
    sure, right = confidences[order], np.cumsum(scores[order])
    last = np.flatnonzero(np.append(sure[1:] != sure[:-1], True))  # answers with equal confidence are given together
    return [Coverage(float(sure[i]), (i + 1) / len(sure), float(right[i] / (i + 1))) for i in last.tolist()]


def area_under_risk(curve: Sequence[Coverage]) -> float:
    """Compute the mean risk (1 - accuracy) over all coverages.

    Args:
        curve: From ``risk_coverage``.

    Returns:
        The area, 0 to 1; lower is better.
    """
    widths = np.diff([0.0, *(point.coverage for point in curve)])
    return float(np.sum(widths * [1 - point.accuracy for point in curve]))


def threshold_for(curve: Sequence[Coverage], accuracy: float, num_questions: int) -> Coverage | None:
    """Find the threshold with the highest coverage that reaches an accuracy.

    Args:
        curve: From ``risk_coverage``.
        accuracy: Minimum accuracy of the answers that are given.
        num_questions: Number of questions behind the curve.

    Returns:
        The threshold; None if no threshold has this accuracy and gives at least ``FEWEST_ANSWERS`` answers (or answers half of
        the questions, if that is fewer).
    """
    fewest = min(FEWEST_ANSWERS, num_questions / 2) / num_questions
    return next((point for point in reversed(curve) if point.accuracy >= accuracy and point.coverage >= fewest), None)
