"""The official metrics of the benchmarks, as one score per question."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.metrics.accuracy import Scores, question_scores
from vqa_rnn.metrics.captions import CaptionReferences, bleu
from vqa_rnn.metrics.visdial import ndcg, rank_metrics
from vqa_rnn.metrics.visual7w import is_correct
from vqa_rnn.records import Prediction, Question

Predictions = Mapping[str, Prediction]


def answer_accuracy(questions: Sequence[Question], predictions: Predictions) -> dict[str, Scores]:
    """Compute the accuracy of benchmarks that need no metric of their own.

    Args:
        questions: Questions with known answers.
        predictions: Predictions by question id, one for each question.

    Returns:
        ``accuracy`` (N,), from ``question_scores``.
    """
    return {"accuracy": question_scores(questions, predictions)}


def open_closed_accuracy(questions: Sequence[Question], predictions: Predictions) -> dict[str, Scores]:
    """Compute the accuracy on all, open and closed questions, as papers on medical VQA report it.

    Args:
        questions: Questions with known answers; their ``answer_type`` is ``open`` or ``closed``.
        predictions: Predictions by question id, one for each question.

    Returns:
        ``accuracy``, ``open`` and ``closed``, each (N,). The last two are NaN for questions of the other kind.
    """
    scores = question_scores(questions, predictions)
    kinds = np.array([question.answer_type for question in questions])
    return {"accuracy": scores} | {kind: np.where(kinds == kind, scores, np.nan) for kind in ("open", "closed")}


def visual7w_accuracy(questions: Sequence[Question], predictions: Predictions) -> dict[str, Scores]:
    """Compute the accuracy of Visual7W, which compares the text of the choice, or its box id, with the answer.

    Args:
        questions: Questions with known answers.
        predictions: Predictions by question id, one for each question.

    Returns:
        ``accuracy`` (N,), 1 or 0.
    """
    right = [is_correct(predictions[q.question_id].answer, q.human_answers[0]) for q in questions]
    return {"accuracy": np.array(right, dtype=np.float64)}


def visdial_metrics(questions: Sequence[Question], predictions: Predictions) -> dict[str, Scores]:
    """Compute the metrics of VisDial: retrieval of the correct choice, and NDCG for rounds with graded relevance.

    Args:
        questions: Rounds with known answers.
        predictions: Predictions with ranks by question id, one for each round.

    Returns:
        ``r@1``, ``r@5``, ``r@10``, ``mean_rank``, ``mrr`` and ``ndcg``, each (N,). NDCG is NaN for rounds without graded
        relevance.

    Raises:
        ValueError: The answer of a round is withheld.
    """
    truth = np.empty(len(questions), dtype=np.int64)
    gains = np.full(len(questions), np.nan)
    for place, question in enumerate(questions):
        ranks = predictions[question.question_id].ranks
        assert ranks is not None, "every round has options"
        if question.correct_choice is None:
            raise ValueError(f"the correct choice of question {question.question_id} is withheld")
        truth[place] = ranks[question.correct_choice]
        if question.relevance:
            gains[place] = ndcg(ranks[None], [question.relevance])[0]
    return {**rank_metrics(truth), "ndcg": gains}


Metrics = Callable[[Sequence[Question], Predictions], dict[str, Scores]]
"""Scores of each question by metric."""


class Corpus(NamedTuple):
    """Metrics of a whole set of answers, as a function of sums over the questions.

    Attributes:
        statistics: (N, S) statistics of each question.
        combine: Computes the metrics by name from the (S,) sums.
    """

    statistics: NDArray[Any]
    combine: Callable[[NDArray[Any]], dict[str, float]]

    @property
    def totals(self) -> dict[str, float]:
        """The metrics over all questions."""
        return self.combine(self.statistics.sum(axis=0))


CorpusMetrics = Callable[[Sequence[Question], Predictions], Corpus]


def caption_scores(questions: Sequence[Question], predictions: Predictions) -> dict[str, Scores]:
    """Compute the metrics of captions that are a mean over the images.

    Args:
        questions: Images with their captions as human answers.
        predictions: Captions by question id, one for each question.

    Returns:
        ``cider``, CIDEr-D with the document frequencies of these captions, and ``rouge_l``, each (N,).
    """
    references, captions = _captions(questions, predictions)
    return {"cider": references.cider(captions), "rouge_l": references.rouge_l(captions)}


def caption_bleu(questions: Sequence[Question], predictions: Predictions) -> Corpus:
    """Compute BLEU-1 to BLEU-4 of captions, which are precisions over the whole set.

    Args:
        questions: Images with their captions as human answers.
        predictions: Captions by question id, one for each question.

    Returns:
        ``bleu_1`` to ``bleu_4``.
    """
    references, captions = _captions(questions, predictions)
    return Corpus(references.bleu_statistics(captions), named_bleu)


def named_bleu(sums: NDArray[Any]) -> dict[str, float]:
    """Compute BLEU from the summed statistics of a corpus.

    Args:
        sums: (10,) sums of ``CaptionReferences.bleu_statistics``.

    Returns:
        ``bleu_1`` to ``bleu_4``.
    """
    return {f"bleu_{n}": float(value) for n, value in enumerate(bleu(sums), start=1)}


def _captions(questions: Sequence[Question], predictions: Predictions) -> tuple[CaptionReferences, list[str]]:
    references = _references(tuple(question.human_answers for question in questions))
    return references, [predictions[question.question_id].answer for question in questions]


@lru_cache(maxsize=1)  # an evaluation scores a model and several floors by two metrics against the same references
def _references(captions: tuple[tuple[str, ...], ...]) -> CaptionReferences:
    return CaptionReferences(captions)
