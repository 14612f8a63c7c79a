"""Scores of answers, and their means by kind of question."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.answers import score_answer
from vqa_rnn.records import Prediction, Question

Scores = NDArray[np.float64]


def question_scores(questions: Sequence[Question], predictions: Mapping[str, Prediction]) -> Scores:
    """Score the prediction of each question.

    Args:
        questions: Questions with known answers.
        predictions: Predictions by question id, one for each question.

    Returns:
        (N,) fractions. If several people answered, the consensus score, also for choices. Otherwise 1 or 0; choices are then
        compared by position, not by text.

    Raises:
        ValueError: The answer of a question is withheld.
    """
    return np.array([_score(question, predictions[question.question_id]) for question in questions], dtype=np.float64)


def _score(question: Question, prediction: Prediction) -> float:
    if prediction.choice is not None and len(question.human_answers) <= 1:
        if question.correct_choice is None:
            raise ValueError(f"the correct choice of question {question.question_id} is withheld")
        return float(prediction.choice == question.correct_choice)
    return score_answer(prediction.answer, question.human_answers)


# What scores are broken down by. A kind is a string, a number or a bool; None leaves the question out. Rounds count from 1.
BREAKDOWNS: dict[str, Callable[[Question], Any]] = {
    "answer_type": lambda question: question.answer_type or None,
    "question_type": lambda question: question.question_type or None,
    "phrasing": lambda question: question.phrasing,
    "language": lambda question: question.language,
    "round": lambda question: None if question.round_index is None else question.round_index + 1,
    "needs_history": lambda question: question.needs_history,
    "coreference_distance": lambda question: question.coreference_distance,
    "relational": lambda question: question.relational,
}


def by_type(questions: Sequence[Question], metrics: Mapping[str, Scores]) -> dict[str, dict[str, dict[str, float]]]:
    """Compute mean scores by kind of question, for each of ``BREAKDOWNS`` that the benchmark has.

    Args:
        questions: The questions.
        metrics: (N,) scores by metric; NaN where a metric does not apply.

    Returns:
        Means such as ``{"answer_type": {"yes/no": {"accuracy": 0.9, "num_questions": 100, "chance": 0.5}}}``. ``chance`` is
        given if questions have choices. A metric is averaged over the questions that it applies to, and left out if there are
        none. Kinds are sorted by value, ``2`` before ``10``. Bools are named ``true`` and ``false``, and a
        ``coreference_distance`` of 0 ``none``.
    """
    report: dict[str, dict[str, dict[str, float]]] = {}
    for field, kind_of in BREAKDOWNS.items():
        places: dict[Any, list[int]] = defaultdict(list)
        for i, question in enumerate(questions):
            kind = kind_of(question)
            if kind is not None:
                places[kind].append(i)
        rows = {_name(field, kind): _row(questions, metrics, places[kind]) for kind in sorted(places)}
        if rows:
            report[field] = rows
    return report


def _name(field: str, kind: Any) -> str:
    if field == "coreference_distance" and kind == 0:
        return "none"
    return str(kind).lower() if isinstance(kind, bool) else str(kind)


def _row(questions: Sequence[Question], metrics: Mapping[str, Scores], places: Sequence[int]) -> dict[str, float]:
    row: dict[str, float] = {}
    for name, scores in metrics.items():
        applies = scores[places][~np.isnan(scores[places])]
        if len(applies):
            row[name] = float(applies.mean())
    row["num_questions"] = len(places)
    guesses = [chance(questions[i]) for i in places]
    if any(guesses):
        row["chance"] = float(np.mean(guesses))
    return row


def chance(question: Question) -> float:
    """Compute the expected score of a random guess among the choices.

    Args:
        question: A question.

    Returns:
        1 / number of choices, or, if several people answered, the mean consensus score of the choices; 0 for an open-ended
        question.
    """
    num_choices = len(question.choices) or len(question.choice_regions)
    if question.choices and len(question.human_answers) > 1:
        return sum(score_answer(choice, question.human_answers) for choice in question.choices) / num_choices
    return 1 / num_choices if num_choices else 0.0
