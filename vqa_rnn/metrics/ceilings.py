"""Ceilings: the best scores that any answers could reach, to compare with those of a model.

If few people answered, or if they disagree, there may be no answer that scores 1. A classifier also cannot give an answer that
is not in its answer vocabulary.
"""

from collections.abc import Sequence

import numpy as np

from vqa_rnn.answers import AnswerVocabulary, answer_scores, score_answer
from vqa_rnn.metrics.accuracy import Scores
from vqa_rnn.records import Question


def ceilings(questions: Sequence[Question], vocabulary: AnswerVocabulary | None) -> dict[str, Scores]:
    """Compute the best possible score of each question.

    Args:
        questions: Questions with known answers that are scored by ``score_answer``.
        vocabulary: The answer vocabulary of a classifier; None for other heads.

    Returns:
        ``best_answer``: (N,) the best score of any answer, or of any choice if the question has choices. For a classifier also
        ``best_known_answer``: (N,) the best score of an answer in the vocabulary.
    """
    found = {"best_answer": np.array([_best(question, None) for question in questions])}
    if vocabulary is not None:
        found["best_known_answer"] = np.array([_best(question, vocabulary) for question in questions])
    return found


def _best(question: Question, vocabulary: AnswerVocabulary | None) -> float:
    if question.choices:
        known = [choice for choice in question.choices if vocabulary is None or vocabulary.class_of(choice) is not None]
        return max((score_answer(choice, question.human_answers) for choice in known), default=0.0)
    scores = answer_scores(question.human_answers) if vocabulary is None else vocabulary.targets(question.human_answers)
    return max(scores.values(), default=0.0)
