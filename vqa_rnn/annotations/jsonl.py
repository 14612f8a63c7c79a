"""Your own images and questions: UTF-8, one JSON object a line.

image        path of the image, relative to the file              required
question     text                                                 required
answer       text                                                 this or `answers`, but for the test split
answers      what several people answered, a list of texts; scored by the VQA consensus
choices      candidate answers, a list of texts with the answer among them
question_id  unique text or number                                by default the line number
caption      a sentence about the image that opens a dialog
history      earlier rounds, a list of {"question": …, "answer": …}
split        train, val or test                                   by default train
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from vqa_rnn.answers import fold_answer
from vqa_rnn.config import JsonlDataset
from vqa_rnn.errors import UserError
from vqa_rnn.files import unknown_name
from vqa_rnn.records import SPLITS, Annotations, Question, Round, Split, is_empty

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)


class _Turn(_Strict):
    question: Text
    answer: Text


class _Line(_Strict):
    image: Text
    question: Text
    answer: Text | None = None
    answers: list[Text] | None = Field(None, min_length=1)
    choices: list[Text] | None = None
    question_id: Text | None = None
    caption: Text | None = None
    history: list[_Turn] = []
    split: Split = "train"

    @model_validator(mode="after")
    def _consistent(self) -> "_Line":
        if is_empty(self.question):
            raise ValueError("question is empty")
        if self.answer is not None and self.answers is not None:
            raise ValueError("give answer or answers, not both")
        if self.answer is None and self.answers is None and self.split != "test":
            raise ValueError("an answer is needed; only questions of the test split may be without")
        if self.choices is not None:
            folded = [fold_answer(choice) for choice in self.choices]
            if len(set(folded)) < 2:
                raise ValueError(f"{len(set(folded))} distinct choices; at least two are needed")
            if len(set(folded)) < len(folded):
                raise ValueError("a choice comes twice")
            if self.answers is not None:
                raise ValueError("choices go with one answer, not with answers")
            if self.answer is not None and fold_answer(self.answer) not in folded:
                raise ValueError(f"the answer '{self.answer}' is not among the choices {self.choices}")
        return self


def read_jsonl(dataset: JsonlDataset, splits: Sequence[Split]) -> Annotations:
    """Read the user's own questions.

    Args:
        dataset: Where the file lies.
        splits: The splits wanted; lines of others are checked and left out.

    Returns:
        The questions; an image's id is its path as the file gives it.

    Raises:
        UserError: The file is missing, or a line is wrong: file, line, key and what is expected.
    """
    path = dataset.path
    if path.is_dir():
        raise UserError(f"dataset.path={path} is a folder: give the path of the .jsonl file in it")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # not splitlines: JSON may hold U+2028
    except FileNotFoundError:
        raise UserError(f"no question file at {path}: set dataset.path to your .jsonl file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path} as UTF-8 text: {error}") from error
    questions = []
    images: dict[str, Path] = {}
    line_of: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        parsed = _parse(line, f"{path}:{number}")
        question_id = parsed.question_id or str(number)
        if question_id in line_of:
            raise UserError(
                f"{path}:{number}: the question id '{question_id}' comes twice (first on line {line_of[question_id]})"
            )
        line_of[question_id] = number
        if parsed.split not in splits:
            continue
        images[parsed.image] = path.parent / parsed.image
        questions.append(_question(parsed, question_id))
    if not line_of:
        raise UserError(f"{path} is empty: it holds one JSON object a line, with image, question and answer")
    return Annotations(benchmark="jsonl", questions=tuple(questions), images=images, files=(path,))


def _parse(line: str, where: str) -> _Line:
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        said = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise UserError(f"{where}: not a JSON object: {said}") from None
    if not isinstance(value, dict):
        raise UserError(f"{where}: a JSON object is needed, not {type(value).__name__}")
    try:
        return _Line.model_validate(value)
    except ValidationError as error:
        errors = error.errors()
        first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])  # a misspelt key is missing as well
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            in_history = len(first["loc"]) > 1
            kind = f"key in {'.'.join(map(str, first['loc'][:-1]))}" if in_history else "key"
            valid = (_Turn if in_history else _Line).model_fields
            raise UserError(f"{where}: {unknown_name(kind, str(first['loc'][-1]), valid)}") from None
        if first["type"] == "literal_error":
            raise UserError(f"{where}: {unknown_name(key, str(first['input']), SPLITS)}") from None
        if first["type"] == "string_too_short":
            raise UserError(f"{where}: {key} is empty") from None
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{where}: {key + ': ' if key else ''}{message}") from None


def _question(line: _Line, question_id: str) -> Question:
    answers = line.answers if line.answers is not None else [line.answer] if line.answer is not None else []
    correct = None
    if line.choices is not None and line.answer is not None:
        correct = [fold_answer(choice) for choice in line.choices].index(fold_answer(line.answer))
    return Question(
        question_id=question_id,
        image_id=line.image,
        question=line.question,
        split=line.split,
        human_answers=tuple(answers),
        choices=tuple(line.choices or ()),
        correct_choice=correct,
        caption=line.caption,
        history=tuple(Round(turn.question, turn.answer) for turn in line.history),
        round_index=len(line.history) if line.caption or line.history else None,
    )
