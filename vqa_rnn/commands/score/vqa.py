"""``vqa-rnn score vqa``: the official accuracy of VQA v1 and v2 result files."""

from collections.abc import Hashable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from vqa_rnn.annotations.json_files import read_official
from vqa_rnn.annotations.vqa import VqaAnnotation, VqaQuestion, VqaResult, read_questions_and_answers
from vqa_rnn.answers import Rule
from vqa_rnn.commands.score.results import MOST_NAMED, check_ids
from vqa_rnn.errors import UserError
from vqa_rnn.metrics.intervals import bootstrap_interval
from vqa_rnn.metrics.signature import signature
from vqa_rnn.metrics.vqa import Scores, consensus_scores, mean_by_type

_TEXT, _NUMBER = attrgetter("answer"), attrgetter("answer_id")


def score_vqa(
    questions: Path, annotations: Path, results: Path, *, rule: Rule = "2021", allow_missing: bool = False
) -> dict[str, Any]:
    """Score a submission, open-ended or multiple choice.

    Args:
        questions: The official question file. If its questions have choices, answers must be among them.
        annotations: The official annotation file.
        results: A list of ``{"question_id", "answer"}``.
        rule: Version of the official script: the current one (2021), or the one used before March 2021 (2015).
        allow_missing: Count questions without an answer as wrong.

    Returns:
        ``accuracy`` with its 95% interval over images, ``per_answer_type`` and ``per_question_type``, as fractions; the number
        of questions; and a signature.

    Raises:
        UserError: A file is missing or invalid, or the results do not belong to these questions.
    """
    content, truth = read_questions_and_answers(questions, annotations)
    submitted = read_official(results, list[VqaResult], "VQA result file")
    asked = [question.question_id for question in content.questions]
    num_answered = check_ids(
        [result.question_id for result in submitted], asked, results, "question", allow_missing=allow_missing
    )
    answers = {result.question_id: result.answer for result in submitted}
    _check_choices(content.questions, answers, results)
    scores = _score(truth, answers, rule)
    image_ids = [str(annotation.image_id) for annotation in truth]
    return {
        "benchmark": "vqa",
        "rule": rule,
        "num_questions": len(asked),
        **({"num_answered": num_answered} if allow_missing else {}),
        "accuracy": float(scores.mean()),
        "intervals": {"accuracy": list(bootstrap_interval(scores, image_ids))},
        "per_answer_type": mean_by_type(scores, [annotation.answer_type for annotation in truth]),
        "per_question_type": mean_by_type(scores, [annotation.question_type for annotation in truth]),
        "signature": signature(
            "vqa",
            rule=rule,
            task="multiple_choice" if any(question.multiple_choices for question in content.questions) else None,
            split=content.data_subtype,
            answered=num_answered if allow_missing else None,
            n=len(asked),
        ),
    }


def _score(truth: Sequence[VqaAnnotation], answers: dict[int, str], rule: Rule) -> Scores:
    """Return (N,) scores, 0 for questions without an answer."""
    places = [place for place, annotation in enumerate(truth) if annotation.question_id in answers]
    asked = [truth[place] for place in places]
    scores = np.zeros(len(truth))
    scores[places] = consensus_scores(
        [answers[annotation.question_id] for annotation in asked],
        [tuple(map(_TEXT, annotation.answers)) for annotation in asked],
        rule,
        list(map(_identities, asked)),
    )
    return scores


def _identities(annotation: VqaAnnotation) -> list[tuple[Hashable, Hashable]] | None:
    """Return what distinguishes the records of people with the same answer; None if the answer ids do."""
    if len(set(map(_NUMBER, annotation.answers))) == len(annotation.answers):
        return None
    return [(person.answer_id, person.answer_confidence) for person in annotation.answers]


def _check_choices(questions: Sequence[VqaQuestion], answers: dict[int, str], path: Path) -> None:
    wrong = [
        f"{question.question_id} '{answers[question.question_id]}'"
        for question in questions
        if question.multiple_choices
        and question.question_id in answers
        and answers[question.question_id] not in question.multiple_choices
    ]
    if wrong:
        few = ", ".join(wrong[:MOST_NAMED]) + (", …" if len(wrong) > MOST_NAMED else "")
        raise UserError(f"{path}: {len(wrong):,} answer{'s' if len(wrong) != 1 else ''} not among the choices ({few})")
