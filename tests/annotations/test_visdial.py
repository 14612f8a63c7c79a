"""Reading Visual Dialog's official files."""

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vqa_rnn.annotations.visdial import check_dense, read_dense, read_ranks, read_visdial
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.config import VisdialDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import SPLITS, Annotations, Question, Round

SAMPLE = Path(__file__).parents[2].parent / "shared" / "data" / "visdial_sample"

QUESTIONS = ["is it a cat", "what colour is it", "is it à vendre 猫"]
ANSWERS = ["yes", "no", "red", "blue 🐈"]
TRAIN = {
    "version": "1.0",
    "split": "train",
    "data": {
        "questions": QUESTIONS,
        "answers": ANSWERS,
        "dialogs": [
            {
                "image_id": 7,
                "caption": "a cat on a mat",
                "dialog": [
                    {"question": 0, "answer": 1, "answer_options": [0, 1, 2], "gt_index": 1},
                    {"question": 1, "answer": 3, "answer_options": [3, 2, 1], "gt_index": 0},
                ],
            },
            {
                "image_id": 9,
                "caption": "une maison à côté",
                "dialog": [{"question": 2, "answer": 0, "answer_options": [3, 2, 0], "gt_index": 2}],
            },
        ],
    },
}
VAL = copy.deepcopy(TRAIN)
VAL["split"] = "val2018"
for dialog in VAL["data"]["dialogs"]:
    dialog["image_id"] += 100
TEST = {
    "version": "1.0",
    "split": "test2018",
    "data": {
        "questions": QUESTIONS,
        "answers": ANSWERS,
        "dialogs": [
            {
                "image_id": 207,
                "caption": "a cat",
                "dialog": [
                    {"question": 0, "answer": 1},
                    {"question": 2, "answer": 0},
                    {"question": 1, "answer_options": [2, 3, 0]},
                ],
            },
            {"image_id": 208, "caption": "a dog", "dialog": [{"question": 1, "answer_options": [2, 3, 1]}]},
        ],
    },
}
DENSE = [
    {"image_id": 107, "round_id": 2, "gt_relevance": [1.0, 0.4, 0]},
    {"image_id": 109, "round_id": 1, "gt_relevance": [0, 0.2, 1]},
]
FILES = {
    "visdial_1.0_train.json": TRAIN,
    "visdial_1.0_val.json": VAL,
    "visdial_1.0_test.json": TEST,
    "visdial_1.0_val_dense_annotations.json": DENSE,
}


def put(folder: Path, **changed: Any) -> VisdialDataset:
    """The four files; a change is content, or bytes, or None for no file."""
    for name, content in FILES.items():
        short = "dense" if "dense" in name else name.removesuffix(".json").rpartition("_")[2]
        content = changed.get(short, content)
        if content is None:
            (folder / name).unlink(missing_ok=True)
        else:
            encoded = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()
            (folder / name).write_bytes(encoded)
    return VisdialDataset(root=folder)


def changed(content: Any, path: str, value: Any = ...) -> Any:
    """A copy with one place set, or taken away."""
    content = copy.deepcopy(content)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    node = content
    for step in steps:
        node = node[step]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return content


def error_of(dataset: VisdialDataset) -> str:
    with pytest.raises(UserError) as caught:
        read_visdial(dataset, SPLITS)
    message = str(caught.value)
    assert "\n" not in message
    return message


def by_id(annotations: Annotations) -> dict[str, Question]:
    return {question.question_id: question for question in annotations.questions}


def test_a_round_becomes_a_question(tmp_path: Path):
    questions = by_id(read_visdial(put(tmp_path), SPLITS))
    assert list(questions) == ["7-0", "7-1", "9-0", "107-0", "107-1", "109-0", "207-2", "208-0"]
    assert questions["7-1"] == Question(
        question_id="7-1",
        image_id="7",
        question="what colour is it",
        split="train",
        human_answers=("blue 🐈",),
        choices=("blue 🐈", "red", "no"),
        correct_choice=0,
        caption="a cat on a mat",
        history=(Round("is it a cat", "no"),),
        dialog_id="7",
        round_index=1,
    )
    assert questions["7-1"].facts == ("a cat on a mat", "is it a cat no")
    assert questions["7-0"].history == ()
    assert questions["9-0"].question == "is it à vendre 猫"
    assert questions["9-0"].caption == "une maison à côté"
    assert [question.split for question in questions.values()] == ["train"] * 3 + ["val"] * 3 + ["test"] * 2


def test_a_test_dialog_asks_its_last_round_alone_and_withholds_the_answer(tmp_path: Path):
    questions = by_id(read_visdial(put(tmp_path), ["test"]))
    assert questions["207-2"] == Question(
        question_id="207-2",
        image_id="207",
        question="what colour is it",
        split="test",
        choices=("red", "blue 🐈", "yes"),
        caption="a cat",
        history=(Round("is it a cat", "no"), Round("is it à vendre 猫", "yes")),
        dialog_id="207",
        round_index=2,
    )
    assert questions["208-0"].history == ()


def test_generated_sets_say_what_a_round_refers_to(tmp_path: Path):
    train = changed(changed(TRAIN, f"{FIRST}/needs_history", False), f"{FIRST}/coreference_distance", 0)
    train = changed(changed(train, f"{SECOND}/needs_history", True), f"{SECOND}/coreference_distance", 2)
    questions = by_id(read_visdial(put(tmp_path, train=train), ["train"]))
    said = {name: (question.needs_history, question.coreference_distance) for name, question in questions.items()}
    assert said == {"7-0": (False, 0), "7-1": (True, 2), "9-0": (None, None)}


def test_a_test_file_with_answers_asks_every_round(tmp_path: Path):
    with_answers = copy.deepcopy(TEST)
    with_answers["data"]["dialogs"] = [dialog | {"image_id": 300 + i} for i, dialog in enumerate(TRAIN["data"]["dialogs"])]
    questions = by_id(read_visdial(put(tmp_path, test=with_answers), ["test"]))
    assert [(name, question.correct_choice) for name, question in questions.items()] == [
        ("300-0", 1),
        ("300-1", 0),
        ("301-0", 2),
    ]


def test_relevance_is_by_rounds_counted_from_one(tmp_path: Path):
    questions = by_id(read_visdial(put(tmp_path), SPLITS))
    assert questions["107-1"].relevance == (1.0, 0.4, 0.0)
    assert questions["109-0"].relevance == (0.0, 0.2, 1.0)
    assert [name for name, question in questions.items() if question.relevance] == ["107-1", "109-0"]


def test_training_rounds_call_it_relevance(tmp_path: Path):
    dataset = put(tmp_path)
    (tmp_path / "train_dense.json").write_text(json.dumps([{"image_id": 7, "round_id": 1, "relevance": [0, 1, 0.5]}]))
    dataset = dataset.model_copy(update={"train_dense_file": "train_dense.json"})
    questions = by_id(read_visdial(dataset, ["train"]))
    assert questions["7-0"].relevance == (0.0, 1.0, 0.5)
    assert questions["7-1"].relevance == ()


@pytest.mark.parametrize("named", [False, True])
def test_test_rounds_may_be_graded_too(tmp_path: Path, named: bool):
    dataset = put(tmp_path)
    asked = read_visdial(dataset, ["test"]).questions[-1]
    record = {"image_id": int(asked.image_id), "round_id": asked.round_index + 1, "gt_relevance": [0.5] * len(asked.choices)}
    path = tmp_path / ("graded.json" if named else "visdial_1.0_test_dense_annotations.json")
    path.write_text(json.dumps([record]))
    dataset = dataset.model_copy(update={"test_dense_file": "graded.json"}) if named else dataset
    questions = by_id(read_visdial(dataset, ["test"]))
    assert [name for name, question in questions.items() if question.relevance] == [asked.question_id]


def test_one_text_may_be_two_options(tmp_path: Path):
    answers = [*ANSWERS, "no"]
    train = changed(changed(TRAIN, "data/answers", answers), "data/dialogs/0/dialog/0/answer_options", [1, 4, 0])
    questions = by_id(read_visdial(put(tmp_path, train=train), ["train"]))
    assert questions["7-0"].choices == ("no", "no", "yes")
    assert questions["7-0"].correct_choice == 1  # answer 4 reads like answer 1


def test_strings_and_rounds_are_shared(tmp_path: Path):
    questions = by_id(read_visdial(put(tmp_path), ["train"]))
    assert questions["7-0"].choices[1] is questions["7-1"].choices[2]
    rounds = copy.deepcopy(TRAIN)
    rounds["data"]["dialogs"][0]["dialog"] *= 2
    questions = by_id(read_visdial(put(tmp_path, train=rounds), ["train"]))
    assert questions["7-2"].history[0] is questions["7-3"].history[0]


def test_images_of_each_release_and_split(tmp_path: Path):
    (tmp_path / "val2014").mkdir()
    (tmp_path / "val2014" / "COCO_val2014_000000000009.jpg").touch()
    dataset = put(tmp_path)
    images = read_visdial(dataset, SPLITS).images
    assert {image_id: path.relative_to(tmp_path).as_posix() for image_id, path in images.items()} == {
        "7": "train2014/COCO_train2014_000000000007.jpg",
        "9": "val2014/COCO_val2014_000000000009.jpg",
        "107": "VisualDialog_val2018/VisualDialog_val2018_000000000107.jpg",
        "109": "VisualDialog_val2018/VisualDialog_val2018_000000000109.jpg",
        "207": "VisualDialog_test2018/VisualDialog_test2018_000000000207.jpg",
        "208": "VisualDialog_test2018/VisualDialog_test2018_000000000208.jpg",
    }
    for split in ("train", "val"):
        shutil.copy(tmp_path / f"visdial_1.0_{split}.json", tmp_path / f"visdial_0.9_{split}.json")
    images = read_visdial(VisdialDataset(root=tmp_path, version="0.9"), SPLITS).images
    assert {image_id: path.relative_to(tmp_path).as_posix() for image_id, path in images.items()} == {
        "7": "train2014/COCO_train2014_000000000007.jpg",
        "9": "train2014/COCO_train2014_000000000009.jpg",
        "107": "val2014/COCO_val2014_000000000107.jpg",
        "109": "val2014/COCO_val2014_000000000109.jpg",
    }


def test_0_9_has_neither_test_split_nor_relevance(tmp_path: Path):
    put(tmp_path)
    for split in ("train", "val"):
        shutil.copy(tmp_path / f"visdial_1.0_{split}.json", tmp_path / f"visdial_0.9_{split}.json")
    dataset = VisdialDataset(root=tmp_path, version="0.9")
    annotations = read_visdial(dataset, SPLITS)
    assert annotations.split("test") == ()
    assert not any(question.relevance for question in annotations.questions)
    assert "has no test split" in error_of(dataset.model_copy(update={"test_file": "test.json"}))
    assert "has no graded relevance" in error_of(dataset.model_copy(update={"val_dense_file": "dense.json"}))


def test_files_may_have_names_of_their_own(tmp_path: Path):
    put(tmp_path)
    names = {}
    for split in SPLITS:
        shutil.move(tmp_path / f"visdial_1.0_{split}.json", tmp_path / f"{split}.json")
        names[f"{split}_file"] = f"{split}.json"
    shutil.move(tmp_path / "visdial_1.0_val_dense_annotations.json", tmp_path / "dense.json")
    annotations = read_annotations(VisdialDataset(root=tmp_path, val_dense_file="dense.json", **names))
    assert len(annotations.questions) == 8
    assert sum(bool(question.relevance) for question in annotations.questions) == 2


def test_a_missing_test_file_leaves_the_split_empty_and_missing_relevance_is_none(tmp_path: Path):
    annotations = read_annotations(put(tmp_path, test=None, dense=None))
    assert [len(annotations.split(split)) for split in SPLITS] == [3, 3, 0]
    assert not any(question.relevance for question in annotations.questions)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_missing_training_or_validation_file_is_an_error(tmp_path: Path, split: str):
    dataset = put(tmp_path, **{split: None})
    message = error_of(dataset)
    assert str(tmp_path / f"visdial_1.0_{split}.json") in message
    assert "(vqa-rnn datasets download visdial)" in message
    assert f"dataset.{split}_file" in message
    with pytest.raises(UserError, match="no VisDial dialogs"):
        read_annotations(dataset)


def test_a_missing_file_of_0_9_names_the_download_of_0_9(tmp_path: Path):
    with pytest.raises(UserError, match=r"visdial_0\.9_train\.json: .*\(vqa-rnn datasets download visdial0\.9\)"):
        read_annotations(VisdialDataset(root=tmp_path, version="0.9"))


@pytest.mark.parametrize("option", ["test_file", "val_dense_file", "test_dense_file", "train_dense_file"])
def test_a_file_that_is_named_must_be_there(tmp_path: Path, option: str):
    dataset = put(tmp_path).model_copy(update={option: "none.json"})
    assert str(tmp_path / "none.json") in error_of(dataset)


def test_only_the_files_of_the_splits_asked_for_are_opened(tmp_path: Path):
    dataset = put(tmp_path, test=b"garbage")
    assert len(read_annotations(dataset, ["train", "val"]).questions) == 6
    with pytest.raises(UserError, match="not valid JSON"):
        read_annotations(dataset, ["test"])


FIRST = "data/dialogs/0/dialog/0"
SECOND = "data/dialogs/0/dialog/1"
WRONG_DIALOGS = [
    (f"{FIRST}/gt_index", 3, ["data.dialogs[0].dialog[0].gt_index: 3", "3 answer_options", "from 0"]),
    (f"{SECOND}/gt_index", 1, ["data.dialogs[0].dialog[1].gt_index: 1", "answer 2", "the answer is 3"]),
    (f"{FIRST}/gt_index", -1, ["data.dialogs[0].dialog[0].gt_index", ">= 0"]),
    (f"{FIRST}/question", 3, ["data.dialogs[0].dialog[0].question: 3", "3 questions", "from 0"]),
    (f"{FIRST}/answer", 4, ["data.dialogs[0].dialog[0].answer: 4", "4 answers"]),
    (f"{SECOND}/answer_options/2", 4, ["data.dialogs[0].dialog[1].answer_options[2]: 4", "4 answers"]),
    (f"{SECOND}/answer_options/2", -1, ["data.dialogs[0].dialog[1].answer_options[2]", ">= 0"]),
    (f"{SECOND}/answer_options/2", 10**30, ["data.dialogs[0].dialog[1].answer_options[2]"]),
    (f"{SECOND}/answer_options", [3], ["data.dialogs[0].dialog[1].answer_options", ">= 2"]),
    (f"{SECOND}/answer_options", [], ["data.dialogs[0].dialog[1].answer_options", ">= 2"]),
    (
        f"{SECOND}/answer_options",
        [3, 2],
        ["data.dialogs[0].dialog[1].answer_options: 2 options", "first round of the file has 3"],
    ),
    (f"{SECOND}/answer_options", [3, 2, 3], ["data.dialogs[0].dialog[1].answer_options[2]: answer 3", "answer_options[0]"]),
    (f"{SECOND}/answer_options", ..., ["data.dialogs[0].dialog[1]: the key 'answer_options' is missing"]),
    (f"{SECOND}/gt_index", ..., ["data.dialogs[0].dialog[1]: the key 'gt_index' is missing"]),
    (f"{SECOND}/answer", ..., ["data.dialogs[0].dialog[1]: the key 'answer' is missing"]),
    (f"{SECOND}/needs_history", 1, ["data.dialogs[0].dialog[1].needs_history", "expected `bool | null`, got `int`"]),
    (f"{SECOND}/coreference_distance", -1, ["data.dialogs[0].dialog[1].coreference_distance", ">= 0"]),
    (f"{SECOND}/question", ..., ["data.dialogs[0].dialog[1]: the key 'question' is missing"]),
    (f"{SECOND}/question", "is it", ["data.dialogs[0].dialog[1].question", "expected `int`, got `str`"]),
    (f"{SECOND}/answer_options", "abc", ["data.dialogs[0].dialog[1].answer_options", "got `str`"]),
    ("data/dialogs/1/dialog", [], ["data.dialogs[1].dialog", ">= 1"]),
    ("data/dialogs/1/dialog", [{"question": 2, "answer": 0, "answer_options": [3, 0, 1], "gt_index": 1}] * 11, ["<= 10"]),
    ("data/dialogs/1/dialog/0", 5, ["data.dialogs[1].dialog[0]", "expected `object`"]),
    ("data/dialogs/1/dialog", ..., ["data.dialogs[1]: the key 'dialog' is missing"]),
    ("data/dialogs/1/caption", ..., ["data.dialogs[1]: the key 'caption' is missing"]),
    ("data/dialogs/1/caption", None, ["data.dialogs[1].caption", "got `null`"]),
    ("data/dialogs/1/image_id", ..., ["data.dialogs[1]: the key 'image_id' is missing"]),
    ("data/dialogs/1/image_id", "COCO_7", ["data.dialogs[1].image_id", "got `str`"]),
    ("data/dialogs/1/image_id", 7, ["data.dialogs[1].image_id: image 7 comes twice", "first in data.dialogs[0]"]),
    ("data/dialogs/1", [], ["data.dialogs[1]", "expected `object`"]),
    ("data/dialogs", [], ["data.dialogs", ">= 1"]),
    ("data/dialogs", {}, ["data.dialogs", "expected `array`"]),
    ("data/questions", [], ["data.questions", ">= 1"]),
    ("data/answers", [], ["data.answers", ">= 1"]),
    ("data/answers/1", 5, ["data.answers[1]", "expected `str`"]),
    ("data/answers", ..., ["data: the key 'answers' is missing"]),
    ("data", ..., ["the key 'data' is missing"]),
]


@pytest.mark.parametrize(("path", "value", "words"), WRONG_DIALOGS, ids=lambda value: str(value)[:40])
def test_a_wrong_dialog_is_named_with_its_key(tmp_path: Path, path: str, value: Any, words: list[str]):
    message = error_of(put(tmp_path, train=changed(TRAIN, path, value)))
    assert [word for word in [str(tmp_path / "visdial_1.0_train.json"), *words] if word not in message] == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("data/dialogs/0/dialog/2/answer_options", ..., ["dialog[2]: the key 'answer_options' is missing", "last round"]),
        ("data/dialogs/0/dialog/1/answer", ..., ["dialog[1]: the key 'answer' is missing", "last round"]),
        ("data/dialogs/0/dialog/2/answer", 3, ["dialog[2]: the key 'gt_index' is missing", "both may be withheld"]),
        ("data/dialogs/0/dialog/2/gt_index", 0, ["dialog[2]: the key 'answer' is missing", "both may be withheld"]),
        ("data/dialogs/0/dialog/1/answer_options", [0, 1], ["dialog[1]: the key 'gt_index' is missing"]),
        ("data/dialogs/0/image_id", 107, ["data.dialogs[0].image_id: image 107", "another split"]),
    ],
    ids=str,
)
def test_a_wrong_test_dialog_is_named_with_its_key(tmp_path: Path, path: str, value: Any, words: list[str]):
    message = error_of(put(tmp_path, test=changed(TEST, path, value)))
    assert [word for word in [str(tmp_path / "visdial_1.0_test.json"), *words] if word not in message] == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("0/round_id", 0, ["[0].round_id: 0", "counted from 1"]),
        ("0/round_id", 3, ["[0].round_id: 3", "image 107 has 2 rounds"]),
        ("1/round_id", 2, ["[1].round_id: 2", "image 109 has 1 round,"]),
        ("1/image_id", 5, ["[1].image_id", "no dialog about image 5"]),
        ("1/gt_relevance", [0, 1], ["[1].gt_relevance: 2 numbers", "3 answer options", "round 1 of image 109"]),
        ("1/gt_relevance", [], ["[1].gt_relevance: 0 numbers"]),
        ("1/gt_relevance/2", -0.1, ["[1].gt_relevance[2]", ">= 0"]),
        ("1/gt_relevance/2", 1.1, ["[1].gt_relevance[2]", "<= 1"]),
        ("1/gt_relevance/2", "1", ["[1].gt_relevance[2]", "expected `float`, got `str`"]),
        ("1/gt_relevance", ..., ["[1]: the key 'gt_relevance'", "'relevance'", "missing"]),
        ("1/round_id", ..., ["[1]: the key 'round_id' is missing"]),
        ("1", DENSE[0], ["[1]: round 2 of image 107 comes twice"]),
        ("1", 5, ["[1]: expected `object`"]),
    ],
    ids=str,
)
def test_a_wrong_judgement_is_named_with_its_key(tmp_path: Path, path: str, value: Any, words: list[str]):
    message = error_of(put(tmp_path, dense=changed(DENSE, path, value)))
    place = str(tmp_path / "visdial_1.0_val_dense_annotations.json")
    assert [word for word in [place, *words] if word not in message] == []


def test_no_judgements_at_all_are_an_error(tmp_path: Path):
    message = error_of(put(tmp_path, dense=[]))
    assert "visdial_1.0_val_dense_annotations.json is empty" in message


def test_a_judgement_of_a_round_that_is_not_asked_is_an_error(tmp_path: Path):
    path = tmp_path / "dense.json"
    path.write_text(json.dumps([{"image_id": 5, "round_id": 1, "gt_relevance": [1, 0]}]))
    check_dense(read_dense(path), {5: [2]}, path)
    with pytest.raises(UserError, match=r"\[0\]\.round_id: 1, a round of image 5 that is not asked"):
        check_dense(read_dense(path), {5: [0, 2]}, path)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b'{"data": "\xff"}', b"[" * 100_000, b'"\\ud800"'], ids=repr)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes):
    assert str(tmp_path / "visdial_1.0_train.json") in error_of(put(tmp_path, train=content))


def test_a_cut_file_is_refused(tmp_path: Path):
    content = json.dumps(TRAIN).encode()
    for length in range(0, len(content), 37):
        assert "it ends in the middle" in error_of(put(tmp_path, train=content[:length]))


def test_a_byte_order_mark_is_read_over(tmp_path: Path):
    content = b"\xef\xbb\xbf" + json.dumps(TRAIN).encode()
    assert len(read_visdial(put(tmp_path, train=content), ["train"]).questions) == 3


def test_ranks_come_with_their_rounds(tmp_path: Path):
    path = tmp_path / "ranks.json"
    path.write_text(json.dumps([{"image_id": 5, "round_id": 1, "ranks": [2, 1]}, {"image_id": 6, "round_id": 2, "ranks": [1]}]))
    assert read_ranks(path) == ([(5, 1), (6, 2)], [[2, 1], [1]])


HUGE = [10**6, 2**31, 2**63, 10**40]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 5) | st.sampled_from(HUGE) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def places(node: Any, trail: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a JSON value."""
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inside:
        yield (*trail, key)
        yield from places(value, (*trail, key))


@st.composite
def mutated(draw: Callable[[Any], Any], content: Any) -> bytes:
    """The JSON of a valid file with one to three places changed or taken away, or cut, or with a byte changed."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        known = list(places(content))
        if not known:
            break
        trail = draw(st.sampled_from(known))
        node = content
        for step in trail[:-1]:
            node = node[step]
        if draw(st.booleans()):
            node[trail[-1]] = draw(ANY_JSON)
        else:
            del node[trail[-1]]
    encoded = json.dumps(content).encode()
    how = draw(st.sampled_from(["as it is", "as it is", "cut", "byte"]))
    place = draw(st.integers(0, len(encoded) - 1))
    if how == "cut":
        return encoded[:place]
    if how == "byte":
        return encoded[:place] + bytes([draw(st.integers(0, 255))]) + encoded[place + 1 :]
    return encoded


def outcome(dataset: VisdialDataset) -> Annotations | str:
    try:
        return read_visdial(dataset, SPLITS)
    except UserError as error:
        return str(error)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(which=st.sampled_from(["train", "test", "dense"]), data=st.data())
def test_a_spoilt_file_gives_questions_or_one_error(tmp_path: Path, which: str, data: st.DataObject):
    content = data.draw(mutated({"train": TRAIN, "test": TEST, "dense": DENSE}[which]))
    found = outcome(put(tmp_path, **{which: content}))
    if isinstance(found, str):
        assert str(tmp_path) in found
        assert "\n" not in found
        return
    for question in found.questions:
        assert len(question.choices) >= 2
        assert question.correct_choice is None or question.choices[question.correct_choice] == question.human_answers[0]
        assert len(question.relevance) in (0, len(question.choices))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.binary(max_size=40))
@example(b"[]")
def test_random_bytes_give_nothing_but_one_error(tmp_path: Path, content: bytes):
    assert "visdial_1.0_train.json" in error_of(put(tmp_path, train=content))


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the official sample is not at hand")
def test_the_official_sample():
    dataset = VisdialDataset(
        root=SAMPLE,
        val_file="visdial_1.0_val_sample.json",
        val_dense_file="visdial_1.0_val_dense_annotations_sample.json",
    )
    questions = read_visdial(dataset, ["val"]).questions
    assert len(questions) == 760
    assert all(len(question.choices) == 100 for question in questions)
    assert sum(bool(question.relevance) for question in questions) == 76
    assert {len(question.history) for question in questions} == set(range(10))
    assert questions[0].caption == "a woman sitting at a table with a glass of wine while she is looking at her cellphone"
