"""Reader of your own images with captions: JSON lines or a JSON array (``jsonl_file``), with these keys.

image      path of the image, relative to the file                         required
captions   a list of sentences about the image, or one sentence            required, except in the test split
split      train, val (or validation, valid, dev) or test                  defaults to train

A caption is the answer to one question, ``CAPTION_PROMPT``, so an image is one question whose human answers are its captions.
An image has one record.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from vqa_rnn.annotations.jsonl import image_ids_of
from vqa_rnn.annotations.jsonl_file import read_records
from vqa_rnn.annotations.jsonl_line import Kind, Strict, Text, check_record, image_path, split_name
from vqa_rnn.config import CaptionsDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import CAPTION_PROMPT, Annotations, Question, Split

EXAMPLE = '{"image": "photos/kitchen.jpg", "captions": ["A bowl on a table.", "A kitchen."]}'


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class CaptionLine(Strict):
    """An image with its captions."""

    image: Annotated[Text, AfterValidator(image_path)]
    captions: Annotated[list[Text], Field(min_length=1), BeforeValidator(_as_list)] | None = None
    split: Annotated[Split, BeforeValidator(split_name)] = "train"

    @model_validator(mode="after")
    def _captions_exist(self) -> "CaptionLine":
        if self.captions is None and self.split != "test":
            raise ValueError("captions is missing; it is optional only in the test split")
        return self


CAPTIONS = Kind(CaptionLine, "captions", EXAMPLE)


def caption_question(question_id: str, image_id: str, split: Split, captions: Sequence[str]) -> Question:
    """Return the question whose answers are the captions of an image.

    Args:
        question_id: Id of the question.
        image_id: The image.
        split: Its split.
        captions: Its captions; empty if they are withheld.

    Returns:
        The question.
    """
    return Question(
        question_id=question_id,
        image_id=image_id,
        question=CAPTION_PROMPT,
        split=split,
        human_answers=tuple(" ".join(caption.split()) for caption in captions),
    )


def read_captions(dataset: CaptionsDataset, splits: Sequence[Split]) -> Annotations:
    """Read the user's own captions.

    Args:
        dataset: Options of the data set, with the path of the file.
        splits: The splits to return. Records of other splits are only checked.

    Returns:
        A question per image.

    Raises:
        UserError: The file is missing or has another format, or a record is invalid. The message names the file, the place, the
            key and what is expected.
    """
    path = dataset.path
    if path.name.lower().endswith((".csv", ".tsv")):
        raise UserError(f"{path}: captions are read from JSON lines or a JSON array, such as {EXAMPLE}")
    prefix, records = read_records(path, CAPTIONS)
    lines = [(number, check_record(value, f"{prefix}{number}", CAPTIONS)) for number, value in records]
    if not lines:
        raise UserError(f"{path} holds no captions, such as {EXAMPLE}")
    image_ids = image_ids_of(path, {line.image for _, line in lines})
    questions: list[Question] = []
    images: dict[str, Path] = {}
    named_at: dict[str, str] = {}
    for number, line in lines:
        image_id = image_ids[line.image]
        place = f"{prefix}{number}"
        if image_id in named_at:
            raise UserError(
                f"{place}: the image {line.image} comes twice, first at {named_at[image_id]}: put its captions together"
            )
        named_at[image_id] = place
        if line.split in splits:
            images[image_id] = path.parent / line.image
            questions.append(caption_question(image_id, image_id, line.split, line.captions or ()))
    named_at = {image_id: named_at[image_id] for image_id in images}
    return Annotations(questions=tuple(questions), images=images, files=(path,), named_at=named_at)


def captions_of_dialogs(annotations: Annotations) -> Annotations:
    """Return the captions that open the dialogs of a data set, instead of its rounds.

    Args:
        annotations: The dialogs.

    Returns:
        A question per image, with the captions of its dialogs. In the test split, captions are read as history, but they are
        known: they are answers here too.
    """
    captions: dict[tuple[Split, str], dict[str, None]] = {}
    for question in annotations.questions:
        if question.caption:
            captions.setdefault((question.split, question.image_id), {})[question.caption] = None
    questions = tuple(
        caption_question(image_id, image_id, split, tuple(texts)) for (split, image_id), texts in captions.items()
    )
    images: Mapping[str, Path] = annotations.images
    return Annotations(
        questions=questions,
        images={question.image_id: images[question.image_id] for question in questions},
        files=annotations.files,
    )
