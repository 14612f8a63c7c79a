"""Mirrored images: the same questions about the mirror image of each image, with left and right swapped in every text."""

import re
from dataclasses import replace

from vqa_rnn.records import Annotations, Question, Round

MIRRORED = " (mirrored)"  # suffix of the id of a mirror image
_SIDES = re.compile(r"\b(left|right)((?:most|hand|ward|wards|side)?)\b|[左右]", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left", "左": "右", "右": "左"}


def is_mirrored(image_id: str) -> bool:
    """Check whether an image is the mirror image of another one.

    Args:
        image_id: Id of the image.

    Returns:
        True if the id ends in ``MIRRORED``.
    """
    return image_id.endswith(MIRRORED)


def exchange_sides(text: str) -> str:
    """Swap left and right in a text.

    ``right`` in the sense of "correct" and ``left`` in the sense of "remaining" are swapped too, because no rule on words can
    tell them apart.

    Args:
        text: English or Chinese text.

    Returns:
        The text with its capitals kept. ``leftmost`` becomes ``rightmost`` and 左 becomes 右; ``bright`` and ``leftover`` are
        unchanged.
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
    """Add the mirror images of all images of some splits, and their questions.

    Args:
        annotations: The annotations to extend.
        splits: Splits whose images are mirrored.

    Returns:
        The extended annotations. The new questions come after all others, in the same order. A mirror image has the file and
        the boxes of its image, which are mirrored when features are extracted.
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
