"""The file that a benchmark's official evaluation reads: predictions to its content, and its content to predictions."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vqa_rnn.annotations.json_files import read_official
from vqa_rnn.benchmarks.benchmark import Submission
from vqa_rnn.errors import UserError
from vqa_rnn.records import Prediction, Question


def submission_text(form: Submission, questions: Sequence[Question], predictions: Mapping[str, Prediction]) -> str:
    """The content of a submission file.

    Args:
        form: The benchmark's.
        questions: In the order of the source.
        predictions: By question id, one for each.

    Returns:
        JSON, an entry a line; or plain lines, an answer each.
    """
    pairs = [(question, predictions[question.question_id]) for question in questions]
    if form.key is None:
        return "".join(f"{prediction.answer}\n" for _, prediction in pairs)
    rows = [json.dumps(form.key(question) | form.answer(question, said), ensure_ascii=False) for question, said in pairs]
    return "[\n" + ",\n".join(rows) + "\n]\n"


def read_submission(path: Path, form: Submission, questions: Sequence[Question]) -> list[Prediction]:
    """Read a submission whose entries say an answer's text.

    Args:
        path: The file.
        form: The benchmark's, with a key.
        questions: The questions that may be answered.

    Returns:
        The prediction of each entry, in the order of the file. What answers no question keeps its key as its id.
        An answer's place among the choices is that of its text; -1 where it is none of them.

    Raises:
        UserError: The file is missing or no list of objects, or an entry lacks a key.
    """
    assert form.key is not None, "a file with an answer a line has no keys"
    by_key = {_text_of(form.key(question)): question for question in questions}
    names = [*form.key(questions[0]), "answer"]
    read = []
    for number, row in enumerate(read_official(path, list[dict[str, Any]], "result file")):
        missing = [name for name in names if name not in row]
        if missing:
            raise UserError(f"result file {path}: [{number}]: the key '{missing[0]}' is missing")
        key = _text_of({name: row[name] for name in names[:-1]})
        question, answer = by_key.get(key), str(row["answer"])
        choice = None
        if question is not None and question.choices:
            choice = question.choices.index(answer) if answer in question.choices else -1
        question_id = key if question is None else question.question_id
        read.append(Prediction(question_id=question_id, answer=answer, probability=1.0, choice=choice))
    return read


def _text_of(key: Mapping[str, Any]) -> str:
    """A key as a text: 17 and "17" are one id."""
    return "/".join(map(str, key.values()))
