"""Mirrored images: the same questions about each image as a mirror shows it, with left and right exchanged in every text."""

import re
from dataclasses import replace

from vqa_rnn.records import Annotations, Question, Round

MIRRORED = " (mirrored)"  # at the end of an image's id
_SIDES = re.compile(r"\b(left|right)((?:most|hand|ward|wards|side)?)\b|[左右]", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left", "左": "右", "右": "左"}


def is_mirrored(image_id: str) -> bool:
    """Whether an image is the mirror image of another.

    Args:
        image_id: Its id.

    Returns:
        Whether the id says so.
    """
    return image_id.endswith(MIRRORED)


def exchange_sides(text: str) -> str:
    """Exchange left and right in a text.

    ``right`` for "correct" and ``left`` for "remaining" are exchanged too: no rule of words tells them apart.

    Args:
        text: English or Chinese.

    Returns:
        The text, its capitals as they were: ``leftmost`` is ``rightmost``, 左 is 右; ``bright`` and ``leftover`` stay.
    """
    return _SIDES.sub(_other_side, text)


def _other_side(match: re.Match[str]) -> str:
    word, ending = match[1] or match[0], match[2] or ""
    other = _OTHER[word.lower()]
    if word.isupper() and len(word) > 1:
        other = other.upper()
    elif word[0].isupper():
        other = other.capitalize()
    return other + ending


def with_mirrored(annotations: Annotations, splits: tuple[str, ...]) -> Annotations:
    """Add the mirror image of every image of some splits, with its questions, behind all others and in the same order.

    Args:
        annotations: As they were read.
        splits: Of these questions.

    Returns:
        The annotations; a mirror image has the file of its image.
    """
    mirrored = [_mirror(question) for question in annotations.questions if question.split in splits]
    names = {question.image_id: question.image_id.removesuffix(MIRRORED) for question in mirrored}
    images = {name: annotations.images[image] for name, image in names.items()}
    boxes = {name: annotations.boxes[image] for name, image in names.items() if image in annotations.boxes}
    return replace(
        annotations,
        questions=(*annotations.questions, *mirrored),
        images={**annotations.images, **images},
        boxes={**annotations.boxes, **boxes},
    )


def _mirror(question: Question) -> Question:
    return replace(
        question,
        question_id=question.question_id + MIRRORED,
        image_id=question.image_id + MIRRORED,
        dialog_id=None if question.dialog_id is None else question.dialog_id + MIRRORED,
        question=exchange_sides(question.question),
        human_answers=tuple(map(exchange_sides, question.human_answers)),
        choices=tuple(map(exchange_sides, question.choices)),
        caption=None if question.caption is None else exchange_sides(question.caption),
        history=tuple(Round(exchange_sides(turn.question), exchange_sides(turn.answer)) for turn in question.history),
    )
