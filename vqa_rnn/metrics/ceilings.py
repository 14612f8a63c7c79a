"""What could be reached at best: the scores of the best answers that there are, beside those of a model.

Where few people answer, or where they disagree, no answer scores 1; and a classifier cannot give an answer that is not in its
vocabulary.
"""

from collections.abc import Sequence

import numpy as np

from vqa_rnn.answers import AnswerVocabulary, answer_scores, score_answer
from vqa_rnn.metrics.accuracy import Scores
from vqa_rnn.records import Question


def ceilings(questions: Sequence[Question], vocabulary: AnswerVocabulary | None) -> dict[str, Scores]:
    """The best score that each question allows.

    Args:
        questions: Questions whose answers are known, scored by ``score_answer``.
        vocabulary: The answers that a classifier can give; None for other heads.

    Returns:
        ``best_answer`` (N,), by any answer, or any choice where there are choices; and, for a classifier, ``best_known_answer``
        (N,), by one that is in the vocabulary.
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
