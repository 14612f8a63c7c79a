"""How right each answer is, and means over questions."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.answers import score_answer
from vqa_rnn.records import Prediction, Question

Scores = NDArray[np.float64]


def question_scores(questions: Sequence[Question], predictions: Mapping[str, Prediction]) -> Scores:
    """Score each question's prediction.

    Args:
        questions: Questions whose answers are known.
        predictions: By question id, one for each.

    Returns:
        (N,) fractions: the consensus where several people answered, of choices too; else 1 or 0, for choices by place and
        not by text.

    Raises:
        ValueError: A question's answer is withheld.
    """
    return np.array([_score(question, predictions[question.question_id]) for question in questions], dtype=np.float64)


def _score(question: Question, prediction: Prediction) -> float:
    if prediction.choice is not None and len(question.human_answers) <= 1:
        if question.correct_choice is None:
            raise ValueError(f"the correct choice of question {question.question_id} is withheld")
        return float(prediction.choice == question.correct_choice)
    return score_answer(prediction.answer, question.human_answers)


def by_type(questions: Sequence[Question], scores: Scores, metric: str = "accuracy") -> dict[str, dict[str, dict[str, float]]]:
    """Mean scores by answer type and by question type, where the benchmark has them.

    Args:
        questions: The questions.
        scores: (N,) their scores.
        metric: What the scores are.

    Returns:
        Such as ``{"answer_type": {"yes/no": {"accuracy": 0.9, "num_questions": 100, "chance": 0.5}}}``; ``chance`` where
        questions have choices.
    """
    report: dict[str, dict[str, dict[str, float]]] = {}
    for field in ("answer_type", "question_type"):
        kinds = np.array([getattr(question, field) or "" for question in questions])
        for kind in filter(None, np.unique(kinds).tolist()):
            chosen = np.flatnonzero(kinds == kind).tolist()
            row = {metric: float(scores[chosen].mean()), "num_questions": len(chosen)}
            guesses = [chance(questions[i]) for i in chosen]
            if any(guesses):
                row["chance"] = float(np.mean(guesses))
            report.setdefault(field, {})[kind] = row
    return report


def chance(question: Question) -> float:
    """How often a blind guess among the choices is right.

    Args:
        question: A question.

    Returns:
        1 / number of choices; 0 for an open-ended question.
    """
    num_choices = len(question.choices) or len(question.choice_regions)
    return 1 / num_choices if num_choices else 0.0
