"""Cutting of splits by image: all questions of an image are in the same split.

Images are ordered by a hash of their id, so that a split depends only on the seed and the set of images.
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
    """Move a share of the training images, at least one and not all, to the validation split.

    Args:
        questions: Questions of any splits. Only training questions are moved.
        fraction: Share of the training images.
        seed: Seed of the split.
        by_question: Whether to move a share of the training questions, regardless of their images.

    Returns:
        The same questions in the same order, some of them moved to ``val``. With fewer than two training images (or questions,
        with ``by_question``) none is moved.
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
    """Move one of several equal parts of the training images to the test split.

    Args:
        questions: The training questions.
        folds: Number of parts.
        fold: 0-based index of the part that becomes the test split.
        seed: Seed of the parts.

    Returns:
        The same questions in the same order, some of them moved to ``test``.

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
