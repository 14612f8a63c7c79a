"""Visual Dialog's metrics."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vqa_rnn.metrics.visdial import ndcg, rank_choices, rank_metrics


def test_the_best_score_ranks_first():
    assert rank_choices([[0.1, 0.9, 0.5], [3.0, 2.0, 1.0]]).tolist() == [[3, 1, 2], [1, 2, 3]]
    assert rank_choices([[0.1, 0.9]]).dtype == np.int64


def test_ties_rank_in_the_order_of_the_choices():
    assert rank_choices(np.zeros((2, 100))).tolist() == [list(range(1, 101))] * 2
    assert rank_choices([[1.0, 2.0, 1.0, 2.0, -0.0, 0.0]]).tolist() == [[3, 1, 4, 2, 5, 6]]


def test_choices_that_do_not_exist_rank_last():
    assert rank_choices([[-math.inf, -5.0, -math.inf, 7.0]]).tolist() == [[3, 2, 4, 1]]


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_not_finite_is_refused(score: float):
    with pytest.raises(ValueError, match=r"choice 2 of question 1 is (nan|inf): not finite"):
        rank_choices([[1.0, 2.0, 3.0], [1.0, 2.0, score]])


def test_what_the_rank_of_the_truth_earns():
    metrics = rank_metrics([1, 2, 5, 6, 10, 11, 100])
    assert list(metrics) == ["r@1", "r@5", "r@10", "mean_rank", "mrr"]
    assert metrics["r@1"].tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert metrics["r@5"].tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert metrics["r@10"].tolist() == [1, 1, 1, 1, 1, 0, 0]
    assert metrics["mean_rank"].tolist() == [1, 2, 5, 6, 10, 11, 100]
    assert metrics["mrr"].tolist() == [1, 1 / 2, 1 / 5, 1 / 6, 1 / 10, 1 / 11, 1 / 100]
    assert {values.dtype for values in metrics.values()} == {np.dtype(np.float64)}


def test_ndcg_worked_by_hand():
    relevance = [0.5, 0.0, 1.0, 0.2]  # k = 3, and the best order gains 1 + 0.5/log2(3) + 0.2/2
    best = 1 + 0.5 / math.log2(3) + 0.1
    ranks = [[1, 2, 3, 4], [2, 4, 1, 3], [4, 1, 2, 3], [3, 1, 4, 2]]
    gains = [0.5 + 1 / 2, best, 1 / math.log2(3) + 0.2 / 2, 0.2 / math.log2(3) + 0.5 / 2]
    assert ndcg(ranks, [relevance] * 4) == pytest.approx([gain / best for gain in gains], abs=1e-15)


def test_ndcg_stops_at_the_number_of_relevant_choices():
    assert ndcg([[1, 2, 3]], [[0, 0, 1.0]]).tolist() == [0]
    assert ndcg([[1, 2, 3]], [[0, 0.01, 1.0]])[0] > 0
    assert ndcg([[2, 1]], [[0.3, 0]]).tolist() == [0]
    assert ndcg([[1, 2]], [[0.3, 0]]).tolist() == [1]


def test_without_a_relevant_choice_there_is_no_ndcg():
    gains = ndcg([[1, 2], [1, 2]], [[0, 0], [1, 0]])
    assert np.isnan(gains).tolist() == [True, False]
    assert gains[1] == 1


def test_choices_that_pad_a_question_change_nothing():
    plain = ndcg([[3, 1, 2]], [[0.5, 0.25, 1]])
    assert ndcg([[3, 1, 2, 5, 5]], [[0.5, 0.25, 1, 0, 0]]).tolist() == plain.tolist()


def plain_ndcg(ranks: list[int], relevance: list[float]) -> float:
    """As the rule is written, one choice after the other."""
    k = sum(value != 0 for value in relevance)
    gain = sum(value / math.log2(rank + 1) for rank, value in zip(ranks, relevance, strict=True) if rank <= k)
    best = sum(value / math.log2(place + 2) for place, value in enumerate(sorted(relevance, reverse=True)[:k]))
    return gain / best if k else math.nan


SCORES = hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(2, 12)), elements=st.integers(-3, 3).map(float))


@given(SCORES, st.data())
def test_any_scores_agree_with_the_rules_as_they_are_written(scores: np.ndarray, data: st.DataObject):
    ranks = rank_choices(scores)
    for row, values in zip(ranks.tolist(), scores.tolist(), strict=True):
        order = sorted(range(len(values)), key=lambda i: (-values[i], i))
        assert [row[i] for i in order] == list(range(1, len(values) + 1))
    grades = st.sampled_from([0, 0, 0.2, 0.4, 1.0])
    relevance = data.draw(hnp.arrays(np.float64, scores.shape, elements=grades))
    expected = [plain_ndcg(*pair) for pair in zip(ranks.tolist(), relevance.tolist(), strict=True)]
    assert ndcg(ranks, relevance) == pytest.approx(expected, abs=1e-12, nan_ok=True)
