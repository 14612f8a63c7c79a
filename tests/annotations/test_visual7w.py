"""Reading Visual7W, telling and pointing."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from tests.annotations.mutations import mutations
from vqa_rnn.annotations.visual7w import read_visual7w
from vqa_rnn.config import Visual7wDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import SPLITS, Annotations, Question, Split


def pair(qa_id: int, image_id: int, answer: Any, decoys: Sequence[Any], kind: str = "what", **more: Any) -> dict[str, Any]:
    return {
        "qa_id": qa_id,
        "image_id": image_id,
        "question": "What is on the mat?",
        "answer": answer,
        "multiple_choices": [*decoys],
        "type": kind,
        **more,
    }


def image(image_id: int, split: str, *pairs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"image_id": image_id, "filename": f"v7w_{image_id}.jpg", "split": split, "qa_pairs": [*pairs], **more}


def box(box_id: int, image_id: int, x: int, y: int, width: int = 10, height: int = 20) -> dict[str, Any]:
    return {"box_id": box_id, "image_id": image_id, "name": "cat", "x": x, "y": y, "width": width, "height": height}


TELLING = {
    "dataset": "visual7w-telling",
    "boxes": [],
    "images": [
        image(1, "train", pair(10, 1, "A cat.", ["A dog.", "A cow.", "A hat."]), pair(11, 1, "Été.", ["a", "b", "c"], "when")),
        image(2, "val", pair(20, 2, "Two.", ["One.", "Three.", "Four."], "how")),
        image(3, "test", pair(30, 3, "Bob.", ["Al.", "Cy.", "Ed."], "who"), filename="other.png"),
        image(4, "test"),
    ],
}
POINTING = {
    "dataset": "visual7w-pointing",
    "boxes": [
        box(105, 1, 50, 60),
        box(101, 1, 0, 0, 30, 40),
        box(103, 1, 7, 8),
        box(102, 1, 3, 4),
        box(104, 1, 5, 6),  # which no question names
        *(box(200 + i, 2, i, i) for i in range(4)),
    ],
    "images": [
        image(1, "train", pair(10, 1, 103, [105, 101, 102], "which"), pair(11, 1, 101, [102, 103, 105], "which")),
        image(2, "test", pair(20, 2, 200, [203, 202, 201], "which")),
    ],
}


def dataset(folder: Path, content: Any, task: Any = "telling") -> Visual7wDataset:
    encoded = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()
    (folder / f"dataset_v7w_{task}.json").write_bytes(encoded)
    return Visual7wDataset(root=folder, task=task)


def read(folder: Path, content: Any, task: Any = "telling", splits: Sequence[Split] = SPLITS) -> Annotations:
    return read_visual7w(dataset(folder, content, task), splits)


def error_of(folder: Path, content: Any, task: str = "telling") -> str:
    with pytest.raises(UserError) as caught:
        read(folder, content, task)
    message = str(caught.value)
    assert "\n" not in message
    where = f"Visual7W file {folder}/dataset_v7w_{task}.json"
    assert message.startswith(where)
    return message.removeprefix(where).removeprefix(": ")


def changed(content: dict[str, Any], *place: Any, to: Any) -> dict[str, Any]:
    """A copy with one value changed; ``...`` takes the key out."""
    content = copy.deepcopy(content)
    holder: Any = content
    for key in place[:-1]:
        holder = holder[key]
    if to is ...:
        del holder[place[-1]]
    else:
        holder[place[-1]] = to
    return content


def test_telling(tmp_path: Path):
    annotations = read(tmp_path, TELLING)
    assert [(q.question_id, q.split, q.question_type) for q in annotations.questions] == [
        ("10", "train", "what"),
        ("11", "train", "when"),
        ("20", "val", "how"),
        ("30", "test", "who"),
    ]
    assert annotations.questions[0] == Question(
        question_id="10",
        image_id="1",
        question="What is on the mat?",
        split="train",
        human_answers=("A cat.",),
        choices=("A cat.", "A dog.", "A cow.", "A hat."),
        correct_choice=0,
        question_type="what",
    )
    assert annotations.questions[1].human_answers == ("Été.",)
    assert annotations.boxes == {}


def test_images_have_the_name_of_the_file_or_the_usual_one(tmp_path: Path):
    images = tmp_path / "images"
    expected = {"1": images / "v7w_1.jpg", "2": images / "v7w_2.jpg", "3": images / "other.png"}
    assert read(tmp_path, TELLING).images == expected
    assert read(tmp_path, changed(TELLING, "images", 0, "filename", to=...)).images == expected
    assert read(tmp_path, TELLING, splits=["val"]).images == {"2": images / "v7w_2.jpg"}


def test_splits_are_filtered(tmp_path: Path):
    assert [q.question_id for q in read(tmp_path, TELLING, splits=["test", "train"]).questions] == ["10", "11", "30"]
    assert read(tmp_path, POINTING, "pointing", ["val"]).questions == ()
    assert list(read(tmp_path, POINTING, "pointing", ["test"]).boxes) == ["2"]


def test_pointing_counts_the_named_boxes_in_the_order_of_their_ids(tmp_path: Path):
    annotations = read(tmp_path, POINTING, "pointing")
    assert annotations.questions[0] == Question(
        question_id="10",
        image_id="1",
        question="What is on the mat?",
        split="train",
        human_answers=("103",),
        choice_regions=(3, 4, 1, 2),  # 101, 102, 103 and 105 are regions 1 to 4; region 0 is the whole image
        choice_labels=("103", "105", "101", "102"),
        correct_choice=0,
        question_type="which",
    )
    assert annotations.questions[1].choice_regions == (1, 2, 3, 4)
    assert annotations.boxes["1"].dtype == np.float32
    assert annotations.boxes["1"].tolist() == [[0, 0, 30, 40], [3, 4, 13, 24], [7, 8, 17, 28], [50, 60, 60, 80]]
    for question in annotations.questions:
        rows = annotations.boxes[question.image_id]
        assert all(1 <= region <= len(rows) for region in question.choice_regions)


def test_answers_of_the_test_split_may_be_withheld(tmp_path: Path):
    for to in (..., None):
        (question,) = read(tmp_path, changed(TELLING, "images", 2, "qa_pairs", 0, "answer", to=to), splits=["test"]).questions
        assert (question.choices, question.correct_choice, question.human_answers) == (("Al.", "Cy.", "Ed."), None, ())
    content = changed(POINTING, "images", 1, "qa_pairs", 0, "answer", to=None)
    (question,) = read(tmp_path, content, "pointing", ["test"]).questions
    assert (question.choice_labels, question.correct_choice) == (("203", "202", "201"), None)
    assert question.choice_regions == (3, 2, 1)  # nobody names box 200


@pytest.mark.parametrize(
    ("place", "to", "words"),
    [
        *(
            (("images", 0, "qa_pairs", 1, key), ..., f"images[0].qa_pairs[1]: the key '{key}' is missing")
            for key in ("qa_id", "image_id", "question", "multiple_choices", "type")
        ),
        *((("images", 1, key), ..., f"images[1]: the key '{key}' is missing") for key in ("image_id", "split", "qa_pairs")),
        (("images",), ..., "the key 'images' is missing"),
        (("images",), [], "images: the list is empty; at least one question is needed"),
        (("images",), TELLING["images"][3:], "images: no image has qa_pairs; at least one question is needed"),
        (("images", 1, "image_id"), 1, "images[1].image_id: 1 comes twice (first in images[0])"),
        (
            ("images", 1, "qa_pairs", 0, "qa_id"),
            11,
            "images[1].qa_pairs[0].qa_id: 11 comes twice (first in images[0].qa_pairs[1])",
        ),
        (("images", 1, "qa_pairs", 0, "image_id"), 1, "images[1].qa_pairs[0].image_id: 1, but it stands under image 2"),
        (
            ("images", 1, "split"),
            "vall",
            "images[1].split: unknown split 'vall': did you mean 'val'? (known: test, train, val)",
        ),
        (("images", 1, "split"), None, "images[1].split: expected `str`, got `null`"),
        (
            ("images", 1, "qa_pairs", 0, "answer"),
            None,
            "images[1].qa_pairs[0].answer: it is missing; only questions of the test split may be without",
        ),
        (("images", 1, "qa_pairs", 0, "answer"), 3, "images[1].qa_pairs[0].answer: expected `str | null`, got `int`"),
        (
            ("images", 1, "qa_pairs", 0, "multiple_choices"),
            [],
            "images[1].qa_pairs[0].multiple_choices: the list is empty; the decoys are needed",
        ),
        (
            ("images", 1, "qa_pairs", 0, "multiple_choices"),
            ["One.", 3],
            "images[1].qa_pairs[0].multiple_choices[1]: expected `str`, got `int`",
        ),
        (("images", 1, "qa_pairs", 0, "question"), ["x"], "images[1].qa_pairs[0].question: expected `str`, got `array`"),
        (("images", 1, "image_id"), "2", "images[1].image_id: expected `int`, got `str`"),
    ],
)
def test_a_wrong_telling_file_is_refused_by_file_record_and_key(tmp_path: Path, place: Any, to: Any, words: str):
    assert error_of(tmp_path, changed(TELLING, *place, to=to)) == words


@pytest.mark.parametrize(
    ("place", "to", "words"),
    [
        (("boxes",), ..., "boxes: the list is missing or empty; pointing needs the boxes"),
        (("boxes",), [], "boxes: the list is missing or empty; pointing needs the boxes"),
        (
            ("images", 0, "qa_pairs", 0, "answer"),
            999,
            "images[0].qa_pairs[0].answer: box 999 is not among the boxes of the file",
        ),
        (
            ("images", 0, "qa_pairs", 1, "multiple_choices", 2),
            201,
            "images[0].qa_pairs[1].multiple_choices[2]: box 201 is a box of image 2, not of image 1",
        ),
        (("boxes", 2, "width"), 0, "images[0].qa_pairs[0].answer: box 103 has no size: width 0, height 20"),
        (("boxes", 1, "height"), -1, "images[0].qa_pairs[0].multiple_choices[1]: box 101 has no size: width 30, height -1"),
        (("boxes", 1, "box_id"), 105, "boxes[1].box_id: 105 comes twice, with unlike contents"),
        *(
            (("boxes", 1, key), ..., f"boxes[1]: the key '{key}' is missing")
            for key in ("box_id", "image_id", "x", "y", "width", "height")
        ),
        (("boxes", 1, "x"), "3", "boxes[1].x: expected `int`, got `str`"),
        (("boxes", 1, "x"), 2**60, "boxes[1].x: expected `int` <= 1048576"),
        (("images", 0, "qa_pairs", 0, "answer"), "103", "images[0].qa_pairs[0].answer: expected `int | null`, got `str`"),
    ],
)
def test_a_wrong_pointing_file_is_refused_by_file_record_and_key(tmp_path: Path, place: Any, to: Any, words: str):
    assert error_of(tmp_path, changed(POINTING, *place, to=to), "pointing") == words


def test_a_box_may_be_listed_twice(tmp_path: Path):
    content = changed(POINTING, "boxes", to=POINTING["boxes"] * 2)
    assert len(read(tmp_path, content, "pointing").questions) == 3


def test_a_missing_file_is_refused_with_where_to_get_it(tmp_path: Path):
    words = r"no Visual7W file at .*dataset_v7w_pointing\.json: put it there \(vqa-rnn datasets download visual7w\)"
    with pytest.raises(UserError, match=words):
        read_visual7w(Visual7wDataset(root=tmp_path, task="pointing"), SPLITS)


def test_a_file_cut_in_half_is_refused(tmp_path: Path):
    content = json.dumps(TELLING).encode()
    assert error_of(tmp_path, content[: len(content) // 2]) == " is not valid JSON: it ends in the middle"


def attempt(folder: Path, content: bytes, task: str) -> None:
    try:
        annotations = read(folder, content, task)
    except UserError as error:
        message = str(error)
        assert_one_line(message, folder)
        return
    for question in annotations.questions:
        assert question.image_id in annotations.images
        assert len(question.choice_regions) == len(question.choice_labels)


def assert_one_line(message: str, folder: Path) -> None:
    assert len(message.split("\n")) == 1
    assert str(folder) in message


MANY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(content=mutations(TELLING))
def test_no_telling_file_however_wrong_gets_another_error(tmp_path: Path, content: bytes):
    attempt(tmp_path, content, "telling")


@MANY
@given(content=mutations(POINTING))
def test_no_pointing_file_however_wrong_gets_another_error(tmp_path: Path, content: bytes):
    attempt(tmp_path, content, "pointing")
