"""Bootstrap intervals over images."""

import numpy as np
import pytest

from vqa_rnn.metrics.intervals import bootstrap_interval


def test_one_question_an_image_comes_close_to_the_normal_interval():
    scores = (np.random.default_rng(0).random(2000) < 0.7).astype(np.float64)
    low, high = bootstrap_interval(scores, [f"{i}" for i in range(2000)], samples=2000)
    half = 1.96 * scores.std() / np.sqrt(2000)
    assert low == pytest.approx(scores.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(scores.mean() + half, abs=0.1 * half)


def test_questions_that_agree_within_an_image_widen_the_interval():
    images = np.repeat(np.arange(200), 8)
    agreeing = np.repeat((np.random.default_rng(0).random(200) < 0.6).astype(np.float64), 8)
    by_image = bootstrap_interval(agreeing, [str(i) for i in images])
    by_question = bootstrap_interval(agreeing, [str(i) for i in range(1600)])
    ratio = (by_image[1] - by_image[0]) / (by_question[1] - by_question[0])
    assert ratio == pytest.approx(np.sqrt(8), rel=0.15)


def test_the_mean_is_over_questions_and_not_over_images():
    scores = np.array(([1.0] * 9 + [0.0]) * 100)
    images = [name for i in range(100) for name in [f"big{i}"] * 9 + [f"small{i}"]]
    low, high = bootstrap_interval(scores, images)
    assert 0.85 < low < 0.9 < high < 0.95


def test_two_images_give_all_or_nothing():
    assert bootstrap_interval(np.array([1.0, 0.0]), ["A", "B"]) == (0.0, 1.0)


def test_the_seed_decides():
    scores = np.random.default_rng(1).random(50)
    images = [str(i // 2) for i in range(50)]
    assert bootstrap_interval(scores, images, seed=3) == bootstrap_interval(scores, images, seed=3)
    assert bootstrap_interval(scores, images, seed=3) != bootstrap_interval(scores, images, seed=4)


def test_the_order_of_questions_does_not_matter():
    scores = np.arange(20.0)
    images = [str(i // 3) for i in range(20)]
    turned = bootstrap_interval(scores[::-1], images[::-1])
    assert turned == pytest.approx(bootstrap_interval(scores, images), abs=1e-12)


def test_one_image_has_no_width():
    assert bootstrap_interval(np.array([1.0, 0.0, 1.0]), ["A"] * 3) == pytest.approx((2 / 3, 2 / 3))


def test_paired_differences_are_narrower_than_the_difference_of_two_intervals():
    generator = np.random.default_rng(2)
    first = (generator.random(1000) < 0.6).astype(np.float64)
    second = first.copy()
    better = generator.choice(np.flatnonzero(first == 0), 30, replace=False)
    second[better] = 1
    images = [str(i // 4) for i in range(1000)]
    low, high = bootstrap_interval(second - first, images)
    assert 0 < low < 0.03 < high
    alone = bootstrap_interval(first, images)
    assert (high - low) < 0.5 * (alone[1] - alone[0])


def test_no_difference_has_no_width():
    assert bootstrap_interval(np.zeros(10), [str(i) for i in range(10)]) == (0.0, 0.0)
