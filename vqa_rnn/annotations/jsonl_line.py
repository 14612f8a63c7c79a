"""Validation of one of the user's own questions: its keys and the error messages."""

import json
import math
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from vqa_rnn.answers import fold_own_answer
from vqa_rnn.errors import UserError
from vqa_rnn.files import unknown_name
from vqa_rnn.records import SPLITS, Split, bad_character, is_empty
from vqa_rnn.text import same_words

RecordT = TypeVar("RecordT", bound=BaseModel)
EXAMPLE = '{"image": "photos/kitchen.jpg", "question": "What is on the table?", "answer": "a bowl"}'
_LONGEST_NAME, _LONGEST_PATH = 255, 4096  # bytes, limits of Linux
_SPLITS_ELSEWHERE = {"validation": "val", "valid": "val", "dev": "val"}
_SPLITS_MEANT = {"training": "train", "testing": "test"}
_VQA_KEYS = ("answer", "answer_confidence", "answer_id")  # keys of one person's answer in VQA's annotation files
_URL = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("own", "{message}", {"message": message})


def _as_text(value: Any) -> Any:
    """Convert a number to text as people write it: 1.0 becomes 1. Booleans and invalid characters are refused."""
    if isinstance(value, bool):
        raise _wrong(f"a text is needed, not {json.dumps(value)}")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _wrong("a number is too large")
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, str) and (said := bad_character(value)):
        raise _wrong(said)
    return value


def _yes_or_no(value: Any) -> Any:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def _one_answer(value: Any) -> Any:
    if isinstance(value, list):
        raise _wrong('a list of what several people said goes under "answers"')
    return value


def _without_confidence(value: Any) -> Any:
    """Return the text of one person's answer, which is an object in VQA's annotation files."""
    if not isinstance(value, dict):
        return value
    for key in value:
        if key not in _VQA_KEYS:
            raise _wrong(unknown_name("key of an answer", key, _VQA_KEYS))
    if "answer" not in value:
        raise _wrong('the key "answer" is missing; an answer is a text, or {"answer": "red", "answer_confidence": "yes"}')
    return value["answer"]


def _no_object(value: Any) -> Any:
    if isinstance(value, dict):
        raise _wrong('give the texts alone, such as ["red", "blue"], and not objects')
    return value


def image_path(image: str) -> str:
    """Validate the path of an image.

    Args:
        image: The path.

    Returns:
        The same path.

    Raises:
        PydanticCustomError: It is a URL, or no path that a file can have.
    """
    if _URL.match(image):
        raise _wrong(f"image URLs are not supported: download {image} and give the path of the file")
    if image.startswith("~"):
        raise _wrong(f"~ is not expanded: give the full path instead of {image}")
    if "\\" in image:
        raise _wrong(f"use / between folders: write {image.replace(chr(92), '/')}")
    longest = max(len(os.fsencode(part)) for part in image.split("/"))
    if longest > _LONGEST_NAME:
        raise _wrong(f"a file or folder name has {longest} bytes; the limit is {_LONGEST_NAME}")
    if len(os.fsencode(image)) > _LONGEST_PATH:
        raise _wrong(f"the path has {len(os.fsencode(image))} bytes; the limit is {_LONGEST_PATH}")
    return image


def split_name(value: Any) -> Any:
    """Validate the name of a split.

    Args:
        value: A name such as ``train`` or ``validation``.

    Returns:
        ``train``, ``val`` or ``test``; anything but a text is returned unchanged.

    Raises:
        PydanticCustomError: There is no such split.
    """
    if not isinstance(value, str):
        return value
    name = value.strip().lower()
    name = _SPLITS_ELSEWHERE.get(name, name)
    if name in _SPLITS_MEANT:
        raise _wrong(f"unknown split '{value}': did you mean '{_SPLITS_MEANT[name]}'? (known: {', '.join(SPLITS)})")
    if name not in SPLITS:
        raise _wrong(unknown_name("split", value, SPLITS))
    return name


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), BeforeValidator(_as_text)]
Answer = Annotated[Text, BeforeValidator(_yes_or_no)]


class Strict(BaseModel):
    """A record whose unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class Kind(NamedTuple, Generic[RecordT]):
    """What the records of a file are, for checks and error messages.

    Attributes:
        record: Their class.
        nouns: What they are called, in the plural.
        example: One of them.
    """

    record: type[RecordT]
    nouns: str
    example: str


class Turn(Strict):
    """An earlier round of a dialog."""

    question: Text
    answer: Annotated[Answer, BeforeValidator(_one_answer)]


class Line(Strict):
    """A question about an image."""

    image: Annotated[Text, AfterValidator(image_path)]
    question: Text
    answer: Annotated[Answer, BeforeValidator(_one_answer)] | None = None
    answers: list[Annotated[Answer, BeforeValidator(_without_confidence)]] | None = Field(None, min_length=1)
    choices: list[Annotated[Answer, BeforeValidator(_no_object)]] | None = None
    question_id: Text | None = None
    question_type: Text | None = None
    answer_type: Text | None = None
    caption: Text | None = None
    history: list[Turn] = []
    split: Annotated[Split, BeforeValidator(split_name)] = "train"

    @model_validator(mode="after")
    def _consistent(self) -> "Line":
        if is_empty(self.question):
            raise ValueError("question is empty")
        if self.answer is not None and self.answers is not None:
            raise ValueError("give answer or answers, not both")
        if self.answer is None and self.answers is None and self.split != "test":
            raise ValueError("the answer is missing; it is optional only in the test split")
        if self.choices is not None:
            _check_choices(self.choices, self.answer, self.answers)
        return self


def _check_choices(choices: list[str], answer: str | None, answers: list[str] | None) -> None:
    folded = [fold_own_answer(choice) for choice in choices]
    if len(set(folded)) < 2:
        raise ValueError(f"{len(set(folded))} distinct choices; at least two are needed")
    if len(set(folded)) < len(folded):
        raise ValueError("a choice comes twice")
    for one, other in same_words(choices):
        raise ValueError(f"the choices '{one}' and '{other}' are the same words to a model: write them differently")
    if answers is not None:
        raise ValueError('use "answer", not "answers", together with "choices"')
    if answer is not None and fold_own_answer(answer) not in folded:
        raise ValueError(f"the answer '{answer}' is not among the choices {choices}")


QUESTIONS = Kind(Line, "questions", EXAMPLE)


def check_record(value: Any, where: str, kind: Kind[RecordT]) -> RecordT:
    """Validate a record.

    Args:
        value: The decoded JSON value.
        where: Its place, for the error message.
        kind: What is expected.

    Returns:
        The record.

    Raises:
        UserError: The value is not an object, or a key is missing, unknown or invalid. The message names the key and what is
            expected.
    """
    if not isinstance(value, dict):
        raise UserError(f"{where}: a JSON object is needed, such as {kind.example}, and not {_kind(value)}")
    try:
        return kind.record.model_validate(value)
    except ValidationError as error:
        errors = error.errors()
        # a misspelt key is also reported as missing: name the misspelt one
        first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
        raise UserError(f"{where}: {_explain(first, kind.record)}") from None


def _explain(error: Mapping[str, Any], record: type[BaseModel]) -> str:
    *above, last = error["loc"] or ("",)
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).removeprefix(".")
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        inside = key.rpartition(".")[0]
        valid = (Turn if above else record).model_fields
        return unknown_name(f"key in {inside}" if inside else "key", str(last), valid)
    if kind == "missing":
        return f"{key} is missing"
    if kind == "string_too_short":
        return f"{key} is empty"
    if kind == "too_short":
        return f"{key} is an empty list: give at least one text"
    if kind in ("string_type", "literal_error"):
        return f"{key}: a text is needed, not {_kind(value)}"
    if kind == "list_type":
        return f"{key}: a list is needed, not {_kind(value)}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f'{key}: an object is needed, such as {{"question": "Is it big?", "answer": "no"}}, and not {_kind(value)}'
    message = error["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    kinds = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), type(value).__name__)
