"""The official metrics, a score for each question."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vqa_rnn.metrics.accuracy import Scores, question_scores
from vqa_rnn.metrics.visdial import ndcg, rank_metrics
from vqa_rnn.metrics.visual7w import is_correct
from vqa_rnn.records import Prediction, Question

Predictions = Mapping[str, Prediction]


def answer_accuracy(questions: Sequence[Question], predictions: Predictions) -> dict[str, Scores]:
    """Accuracy where the benchmark has no rule of its own.

    Args:
        questions: Questions whose answers are known.
        predictions: By question id, one for each.

    Returns:
        ``accuracy`` (N,), from ``question_scores``.
    """
    return {"accuracy": question_scores(questions, predictions)}


def open_closed_accuracy(questions: Sequence[Question], predictions: Predictions) -> dict[str, Scores]:
    """Medical VQA: accuracy over all questions, and over the open and the closed ones, as its papers report it.

    Args:
        questions: Questions whose answers are known, their ``answer_type`` ``open`` or ``closed``.
        predictions: By question id, one for each.

    Returns:
        ``accuracy``, ``open`` and ``closed``, each (N,); the last two are NaN for questions of the other kind.
    """
    scores = question_scores(questions, predictions)
    kinds = np.array([question.answer_type for question in questions])
    return {"accuracy": scores} | {kind: np.where(kinds == kind, scores, np.nan) for kind in ("open", "closed")}


def visual7w_accuracy(questions: Sequence[Question], predictions: Predictions) -> dict[str, Scores]:
    """Visual7W: the text of the choice, or the box id, is that of the answer.

    Args:
        questions: Questions whose answers are known.
        predictions: By question id, one for each.

    Returns:
        ``accuracy`` (N,), 1 or 0.
    """
    right = [is_correct(predictions[q.question_id].answer, q.human_answers[0]) for q in questions]
    return {"accuracy": np.array(right, dtype=np.float64)}


def visdial_metrics(questions: Sequence[Question], predictions: Predictions) -> dict[str, Scores]:
    """VisDial: what the rank of the truth earns, and NDCG where relevance was judged.

    Args:
        questions: Rounds whose answers are known.
        predictions: By question id, one for each, with ranks.

    Returns:
        ``r@1``, ``r@5``, ``r@10``, ``mean_rank``, ``mrr`` and ``ndcg``, each (N,). NDCG is NaN for rounds that were not
        judged.
    """
    truth = np.empty(len(questions), dtype=np.int64)
    gains = np.full(len(questions), np.nan)
    for place, question in enumerate(questions):
        ranks = predictions[question.question_id].ranks
        assert ranks is not None, "every round has options"
        truth[place] = ranks[question.correct_choice or 0]
        if question.relevance:
            gains[place] = ndcg(ranks[None], [question.relevance])[0]
    return {**rank_metrics(truth), "ndcg": gains}


Metrics = Callable[[Sequence[Question], Predictions], dict[str, Scores]]
