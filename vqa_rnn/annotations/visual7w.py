"""Visual7W (Zhu et al. 2016, https://arxiv.org/abs/1511.03416): seven types of question, with four choices each.

    dataset_v7w_telling.json    what, where, when, who, why, how: the choices are texts
    dataset_v7w_pointing.json   which: the choices are boxes in the image
    images/v7w_1.jpg

One file contains all splits; the split is a property of the image. ``multiple_choices`` are the decoys, *without* the answer
(in VQA v1 they include it).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Generic, TypeVar, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from vqa_rnn.annotations.json_files import read_official
from vqa_rnn.config import Visual7wDataset
from vqa_rnn.errors import UserError
from vqa_rnn.files import unknown_name
from vqa_rnn.records import SPLITS, Annotations, Question, Split

Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Pixel = Annotated[int, msgspec.Meta(ge=-(2**20), le=2**20)]
Choice = TypeVar("Choice")
_WHAT = "Visual7W file"


class Visual7wPair(msgspec.Struct, Generic[Choice], frozen=True, gc=False):
    """A question with its answer.

    Attributes:
        qa_id: Unique in the file.
        image_id: Id of the image.
        question: Text of the question.
        type: The question word, one of seven.
        multiple_choices: The decoys; texts or box ids.
        answer: The true choice; None if it is withheld.
    """

    qa_id: Id
    image_id: Id
    question: str
    type: str
    multiple_choices: tuple[Choice, ...]
    answer: Choice | None = None


class Visual7wImage(msgspec.Struct, Generic[Choice], frozen=True, gc=False):
    """An image with its questions.

    Attributes:
        image_id: Unique in the file.
        split: ``train``, ``val`` or ``test``.
        qa_pairs: Questions about the image.
        filename: File name in ``images/``; defaults to ``v7w_{image_id}.jpg``.
    """

    image_id: Id
    split: str
    qa_pairs: tuple[Visual7wPair[Choice], ...]
    filename: str | None = None


class Visual7wBox(msgspec.Struct, frozen=True, gc=False):
    """A box in an image, in pixels.

    Attributes:
        box_id: Unique in the file.
        image_id: Id of the image.
        x: Left edge.
        y: Upper edge.
        width: Width of the box.
        height: Height of the box.
    """

    box_id: Id
    image_id: Id
    x: Pixel
    y: Pixel
    width: Pixel
    height: Pixel


class Visual7wFile(msgspec.Struct, Generic[Choice], frozen=True):
    """The official file.

    Attributes:
        images: All images of all splits.
        boxes: All boxes, which only the pointing task needs.
    """

    images: list[Visual7wImage[Choice]]
    boxes: list[Visual7wBox] = []


class Visual7wCandidate(msgspec.Struct, frozen=True, gc=False):
    """One guess of a submission.

    Attributes:
        answer: A text or a box id.
    """

    answer: str | Id


class Visual7wResult(msgspec.Struct, frozen=True, gc=False):
    """One record of a submission.

    Attributes:
        qa_id: Id of the question.
        candidates: Guesses, best first.
    """

    qa_id: Id
    candidates: tuple[Visual7wCandidate, ...]


def read_visual7w_file(path: Path, kind: type[Visual7wFile[Choice]]) -> Visual7wFile[Choice]:
    """Read the official file.

    Args:
        path: Path of the file.
        kind: ``Visual7wFile[str]`` for telling, ``Visual7wFile[int]`` for pointing, ``Visual7wFile[str | int]`` for either.

    Returns:
        The content of the file.

    Raises:
        UserError: The file is missing or invalid, has no questions, has a duplicate image or question, or has a question whose
            ``image_id`` is not that of its image.
    """
    content = read_official(path, kind, _WHAT)
    where = f"{_WHAT} {path}"
    images: dict[int, str] = {}
    pairs: dict[int, str] = {}
    for number, image in enumerate(content.images):
        place = f"images[{number}]"
        _refuse_repeat(images, image.image_id, f"{where}: {place}.image_id", place)
        if image.split not in SPLITS:
            raise UserError(f"{where}: {place}.split: {unknown_name('split', image.split, SPLITS)}")
        for inner, pair in enumerate(image.qa_pairs):
            pair_place = f"{place}.qa_pairs[{inner}]"
            _refuse_repeat(pairs, pair.qa_id, f"{where}: {pair_place}.qa_id", pair_place)
            if pair.image_id != image.image_id:
                raise UserError(f"{where}: {pair_place}.image_id: {pair.image_id}, but it stands under image {image.image_id}")
    if not pairs:
        empty = "the list is empty" if not content.images else "no image has qa_pairs"
        raise UserError(f"{where}: images: {empty}; at least one question is needed")
    return content


def _refuse_repeat(seen: dict[int, str], number: int, where: str, place: str) -> None:
    earlier = seen.setdefault(number, place)
    if earlier is not place:
        raise UserError(f"{where}: {number} comes twice (first in {earlier})")


def read_visual7w(dataset: Visual7wDataset, splits: Sequence[Split]) -> Annotations:
    """Read the official file of one task.

    Args:
        dataset: Options of the data set, with the task.
        splits: The splits to read. Answers may be withheld only in the test split.

    Returns:
        The questions. The first choice is the true one, followed by the decoys in the order of the file. ``question_type`` is
        the ``type`` of the file. For pointing, ``choice_regions`` number the boxes that are choices of a question about the
        image, from 1 in the order of their ids.

    Raises:
        UserError: The file is missing or invalid, or a box is unknown, belongs to another image, or is empty.
    """
    path = dataset.root / f"dataset_v7w_{dataset.task}.json"
    if not path.is_file():
        raise UserError(f"no {_WHAT} at {path}: put it there (vqa-rnn datasets download visual7w), or set dataset.root")
    where = f"{_WHAT} {path}"
    boxes: dict[str, NDArray[np.float32]] = {}
    if dataset.task == "telling":
        images = _wanted(read_visual7w_file(path, Visual7wFile[str]), splits)
        questions = _tell(images, where)
        names = {image.image_id: image.filename for _, image in images}
    else:
        content = read_visual7w_file(path, Visual7wFile[int])
        pointed = _wanted(content, splits)
        questions, boxes = _point(pointed, _index(content.boxes, where), where)
        names = {image.image_id: image.filename for _, image in pointed}
    paths = {str(image_id): dataset.root / "images" / (name or f"v7w_{image_id}.jpg") for image_id, name in names.items()}
    return Annotations(questions=tuple(questions), images=paths, files=(path,), boxes=boxes)


def _wanted(content: Visual7wFile[Choice], splits: Sequence[Split]) -> list[tuple[str, Visual7wImage[Choice]]]:
    """Return the images of some splits that have questions, with their places in the file."""
    images = enumerate(content.images)
    return [(f"images[{number}]", image) for number, image in images if image.split in splits and image.qa_pairs]


def _tell(images: Sequence[tuple[str, Visual7wImage[str]]], where: str) -> list[Question]:
    questions = []
    for place, image in images:
        for number, pair in enumerate(image.qa_pairs):
            choices = tuple(choice for _, choice in _choices(pair, image.split, f"{where}: {place}.qa_pairs[{number}]"))
            questions.append(_question(image, pair, choices=choices))
    return questions


def _point(
    images: Sequence[tuple[str, Visual7wImage[int]]], boxes: Mapping[int, Visual7wBox], where: str
) -> tuple[list[Question], dict[str, NDArray[np.float32]]]:
    """Return the pointing questions, and the boxes of each image as (n, 4) float32 x1 y1 x2 y2 in pixels."""
    questions = []
    corners = {}
    for place, image in images:
        named: list[list[int]] = []
        for number, pair in enumerate(image.qa_pairs):
            choices = _choices(pair, image.split, f"{where}: {place}.qa_pairs[{number}]")
            for key, box_id in choices:
                _check_box(boxes.get(box_id), box_id, image.image_id, f"{where}: {place}.qa_pairs[{number}].{key}")
            named.append([box_id for _, box_id in choices])
        kept = sorted({box_id for choices in named for box_id in choices})
        region = {box_id: row for row, box_id in enumerate(kept, start=1)}  # region 0 is the whole image
        corners[str(image.image_id)] = np.array([_corners(boxes[box_id]) for box_id in kept], dtype=np.float32)
        for pair, chosen in zip(image.qa_pairs, named, strict=True):
            regions, labels = tuple(region[box_id] for box_id in chosen), tuple(map(str, chosen))
            questions.append(_question(image, pair, choice_regions=regions, choice_labels=labels))
    return questions, corners


def _choices(pair: Visual7wPair[Choice], split: str, where: str) -> list[tuple[str, Choice]]:
    """Return the choices with their keys: the answer, unless it is withheld, and the decoys."""
    if not pair.multiple_choices:
        raise UserError(f"{where}.multiple_choices: the list is empty; the decoys are needed")
    if pair.answer is None and split != "test":
        raise UserError(f"{where}.answer: it is missing; only questions of the test split may be without")
    truth = [] if pair.answer is None else [("answer", pair.answer)]
    return truth + [(f"multiple_choices[{number}]", decoy) for number, decoy in enumerate(pair.multiple_choices)]


def _question(
    image: Visual7wImage[Choice],
    pair: Visual7wPair[Choice],
    *,
    choices: tuple[str, ...] = (),
    choice_regions: tuple[int, ...] = (),
    choice_labels: tuple[str, ...] = (),
) -> Question:
    withheld = pair.answer is None
    return Question(
        question_id=str(pair.qa_id),
        image_id=str(image.image_id),
        question=pair.question,
        split=cast(Split, image.split),
        human_answers=() if withheld else (str(pair.answer),),
        choices=choices,
        choice_regions=choice_regions,
        choice_labels=choice_labels,
        correct_choice=None if withheld else 0,
        question_type=pair.type,
    )


def _index(boxes: Sequence[Visual7wBox], where: str) -> dict[int, Visual7wBox]:
    """Return the boxes by id. A box may be listed more than once if all entries are equal."""
    if not boxes:
        raise UserError(f"{where}: boxes: the list is missing or empty; pointing needs the boxes")
    by_id: dict[int, Visual7wBox] = {}
    for number, box in enumerate(boxes):
        if by_id.setdefault(box.box_id, box) != box:
            raise UserError(f"{where}: boxes[{number}].box_id: {box.box_id} comes twice, with unlike contents")
    return by_id


def _check_box(box: Visual7wBox | None, box_id: int, image_id: int, where: str) -> None:
    if box is None:
        raise UserError(f"{where}: box {box_id} is not among the boxes of the file")
    if box.image_id != image_id:
        raise UserError(f"{where}: box {box_id} is a box of image {box.image_id}, not of image {image_id}")
    if box.width <= 0 or box.height <= 0:
        raise UserError(f"{where}: box {box_id} has no size: width {box.width}, height {box.height}")


def _corners(box: Visual7wBox) -> tuple[int, int, int, int]:
    return box.x, box.y, box.x + box.width, box.y + box.height
