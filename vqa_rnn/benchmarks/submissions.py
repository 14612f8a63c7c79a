"""Conversion of predictions to the submission file of a benchmark, and back."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vqa_rnn.annotations.json_files import read_official
from vqa_rnn.benchmarks.benchmark import Submission
from vqa_rnn.errors import UserError
from vqa_rnn.records import Prediction, Question


def submission_text(form: Submission, questions: Sequence[Question], predictions: Mapping[str, Prediction]) -> str:
    """Return the content of a submission file.

    Args:
        form: Submission format of the benchmark.
        questions: The questions in the order of the source.
        predictions: The prediction for each question, by question id.

    Returns:
        JSON with one entry per line, or plain text with one answer per line.
    """
    pairs = [(question, predictions[question.question_id]) for question in questions]
    if form.key is None:
        return "".join(f"{prediction.answer}\n" for _, prediction in pairs)
    rows = [json.dumps(form.key(question) | form.answer(question, said), ensure_ascii=False) for question, said in pairs]
    return "[\n" + ",\n".join(rows) + "\n]\n"


def read_submission(path: Path, form: Submission, questions: Sequence[Question]) -> list[Prediction]:
    """Read a submission whose entries contain the text of the answer.

    Args:
        path: The submission file.
        form: Submission format of the benchmark; must have a key.
        questions: The questions that may be answered; at least one.

    Returns:
        The prediction of each entry, in the order of the file. If an entry matches no question, its key is used as question
        id. ``choice`` is the position of the answer text among the choices, -1 if it is not one of them.

    Raises:
        UserError: The file is missing or not a list of objects, or an entry lacks a key.
    """
    assert form.key is not None, "a file with an answer a line has no keys"
    by_key = {_text_of(form.key(question)): question for question in questions}
    names = [*form.key(questions[0]), form.answer_name]
    read = []
    for number, row in enumerate(read_official(path, list[dict[str, Any]], "result file")):
        missing = [name for name in names if name not in row]
        if missing:
            raise UserError(f"result file {path}: [{number}]: the key '{missing[0]}' is missing")
        key = _text_of({name: row[name] for name in names[:-1]})
        question, answer = by_key.get(key), str(row[form.answer_name])
        choice = None
        if question is not None and question.choices:
            choice = question.choices.index(answer) if answer in question.choices else -1
        question_id = key if question is None else question.question_id
        read.append(Prediction(question_id=question_id, answer=answer, probability=1.0, choice=choice))
    return read


def _text_of(key: Mapping[str, Any]) -> str:
    """Return a key as text, so that 17 and "17" are the same id."""
    return "/".join(map(str, key.values()))
