"""Calibration and selective answering, by hand."""

import numpy as np
import pytest

from vqa_rnn.metrics.calibration import (
    Coverage,
    area_under_risk,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    risk_coverage,
    threshold_for,
)


def test_the_calibration_error_is_the_mean_gap_of_the_bins():
    # bins of 0.1: three answers at 0.95 of which two are right, one at 0.35 that is right
    confidences, scores = np.array([0.95, 0.95, 0.95, 0.35]), np.array([1.0, 1.0, 0.0, 1.0])
    expected = 3 / 4 * abs(0.95 - 2 / 3) + 1 / 4 * abs(0.35 - 1)
    assert expected_calibration_error(confidences, scores, num_bins=10) == pytest.approx(expected)
    assert expected_calibration_error(np.array([1.0, 0.0]), np.array([1.0, 0.0])) == 0


def test_errors_on_both_sides_of_a_bin_make_up_for_each_other():
    confidences = np.full(10, 0.7)
    assert expected_calibration_error(confidences, np.repeat([1.0, 0.0], [7, 3])) == pytest.approx(0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_answers_is_found(temperature: float):
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (20_000, 5))
    p = np.exp(logits / temperature)
    p /= p.sum(axis=1, keepdims=True)
    answers = (p.cumsum(axis=1) > random.random((len(p), 1))).argmax(axis=1)
    targets = np.eye(5)[answers]
    assert fit_temperature(logits, targets) == pytest.approx(temperature, rel=0.03)


def test_the_temperature_of_a_sigmoid_is_found():
    random = np.random.default_rng(0)
    logits = random.normal(0, 4, (20_000, 3))
    targets = (random.random(logits.shape) < 1 / (1 + np.exp(-logits / 2))).astype(float)
    assert fit_temperature(logits, targets, "sigmoid") == pytest.approx(2, rel=0.03)


def test_the_loss_is_that_of_torch_and_leaves_out_what_is_not_there():
    import torch

    logits = np.array([[1.0, 2.0, -np.inf], [0.5, -1.0, 3.0], [9.0, 9.0, 9.0]])
    targets = np.array([[0.0, 1.0, 0.0], [0.3, 0.0, 0.9], [0.0, 0.0, 0.0]])  # the last question counts for nothing
    log_p = torch.tensor(logits).log_softmax(dim=1)
    expected = -(log_p[0, 1] + 0.25 * log_p[1, 0] + 0.75 * log_p[1, 2]) / 2
    assert negative_log_likelihood(logits, targets, "softmax") == pytest.approx(float(expected))
    two = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor(logits[1:]), torch.tensor(targets[1:]), reduction="sum"
    )
    assert negative_log_likelihood(logits[1:], targets[1:], "sigmoid") == pytest.approx(float(two) / 2)


def test_a_curve_answers_equal_confidences_together():
    confidences, scores = np.array([0.9, 0.5, 0.5, 0.8]), np.array([1.0, 1.0, 0.0, 1.0])
    curve = risk_coverage(confidences, scores)
    assert curve == [Coverage(0.9, 0.25, 1.0), Coverage(0.8, 0.5, 1.0), Coverage(0.5, 1.0, 0.75)]
    assert area_under_risk(curve) == pytest.approx(0.5 * 0.25)


def test_the_threshold_answers_as_much_as_the_accuracy_allows():
    curve = [Coverage(0.9, 0.1, 0.8), Coverage(0.7, 0.5, 0.92), Coverage(0.6, 0.8, 0.9), Coverage(0.1, 1.0, 0.7)]
    assert threshold_for(curve, 0.9, 1000) == curve[2]
    assert threshold_for(curve, 0.91, 1000) == curve[1]
    assert threshold_for(curve, 0.95, 1000) is None


def test_a_threshold_does_not_rest_on_a_few_answers():
    curve = [Coverage(0.9, 0.001, 1.0), Coverage(0.7, 0.019, 1.0), Coverage(0.6, 0.021, 0.9), Coverage(0.1, 1.0, 0.7)]
    assert threshold_for(curve, 0.99, 1000) is None
    assert threshold_for(curve, 0.9, 1000) == curve[2]
    assert threshold_for(curve, 0.99, 4000) == curve[1]
    assert threshold_for([Coverage(0.9, 0.5, 1.0), Coverage(0.1, 1.0, 0.5)], 0.9, 4) is not None  # half of four
