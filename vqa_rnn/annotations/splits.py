"""Cutting splits by image: all questions of an image fall on one side.

Images are put in an order fixed by a hash of their id, so that a split depends on the seed and the set of images alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter

import xxhash

from vqa_rnn.errors import UserError
from vqa_rnn.records import Question


def carve_validation(
    questions: Sequence[Question], fraction: float, seed: int, *, by_question: bool = False
) -> tuple[Question, ...]:
    """Turn a share of the training images, at least one and not all, into the validation split.

    Args:
        questions: Questions of any splits; those of other splits pass through.
        fraction: Share of the training images.
        seed: Another seed gives another split.
        by_question: Turn a share of the training questions, whatever their images.

    Returns:
        The same questions in the same order, some moved to ``val``. Fewer than two training images are left as they are.
    """
    key = attrgetter("question_id" if by_question else "image_id")
    names = _hashed_order(questions, seed, key)
    if len(names) < 2:
        return tuple(questions)
    chosen = set(names[: min(len(names) - 1, max(1, round(fraction * len(names))))])
    return tuple(
        replace(question, split="val") if question.split == "train" and key(question) in chosen else question
        for question in questions
    )


def cut_folds(questions: Sequence[Question], folds: int, fold: int, seed: int) -> tuple[Question, ...]:
    """Turn one of several equal parts of the training images into the test split.

    Args:
        questions: Training questions.
        folds: Number of parts.
        fold: Which part is the test split, 0-based.
        seed: Another seed gives other parts.

    Returns:
        The same questions in the same order, some moved to ``test``.

    Raises:
        UserError: There are fewer images than folds.
    """
    images = _hashed_order(questions, seed, attrgetter("image_id"))
    if len(images) < folds:
        raise UserError(f"dataset.folds={folds}: there are only {len(images)} training images to cut")
    chosen = set(images[fold::folds])
    return tuple(replace(q, split="test") if q.image_id in chosen else q for q in questions)


def _hashed_order(questions: Sequence[Question], seed: int, key: Callable[[Question], str]) -> list[str]:
    names = {key(question) for question in questions if question.split == "train"}
    return sorted(names, key=lambda name: (xxhash.xxh64_intdigest(f"{seed}/{name}".encode()), name))
