"""Cutting splits by image."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_rnn.annotations.splits import carve_validation, cut_folds
from vqa_rnn.benchmarks import BENCHMARKS, read_annotations
from vqa_rnn.config import JsonlDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import Annotations, Question, Split


def questions_about(images: int, per_image: int = 3, split: Split = "train") -> list[Question]:
    return [
        Question(question_id=f"{split}/{i}/{j}", image_id=f"{split}{i}", question="what ?", split=split)
        for j in range(per_image)
        for i in range(images)
    ]


def images_of(questions: tuple[Question, ...] | list[Question], split: Split) -> set[str]:
    return {question.image_id for question in questions if question.split == split}


@pytest.mark.parametrize(("fraction", "chosen"), [(0.1, 10), (0.25, 25), (0.004, 1), (0.5, 50), (0.997, 99)])
def test_a_share_of_the_images_becomes_validation(fraction: float, chosen: int):
    carved = carve_validation(questions_about(100), fraction, seed=0)
    train, val = images_of(carved, "train"), images_of(carved, "val")
    assert len(val) == chosen
    assert len(train) == 100 - chosen
    assert train & val == set()


def test_a_share_of_the_questions_becomes_validation():
    carved = carve_validation(questions_about(20, per_image=5), 0.2, seed=0, by_question=True)
    assert sum(question.split == "val" for question in carved) == 20
    assert len(images_of(carved, "val")) > 10
    assert images_of(carved, "train") & images_of(carved, "val")


@given(st.integers(2, 12), st.floats(0.01, 0.99), st.integers(0, 5))
def test_neither_side_is_ever_empty(images: int, fraction: float, seed: int):
    carved = carve_validation(questions_about(images), fraction, seed)
    assert images_of(carved, "train")
    assert images_of(carved, "val")
    assert images_of(carved, "train") & images_of(carved, "val") == set()


def test_order_and_all_else_stay():
    questions = questions_about(10) + questions_about(4, split="test")
    carved = carve_validation(questions, 0.3, seed=1)
    assert [replace(question, split="train") for question in carved] == [replace(q, split="train") for q in questions]
    assert [question.split for question in carved[30:]] == ["test"] * 12
    assert len(images_of(carved, "val")) == 3


def test_a_test_image_that_is_also_a_training_image_stays_test():
    questions = [*questions_about(5), replace(questions_about(5)[0], question_id="again", split="test")]
    for seed in range(10):
        assert carve_validation(questions, 0.4, seed)[-1].split == "test"


def test_the_seed_and_the_set_of_images_decide():
    questions = questions_about(50)
    val = images_of(carve_validation(questions, 0.2, seed=0), "val")
    assert images_of(carve_validation(list(reversed(questions)), 0.2, seed=0), "val") == val
    assert images_of(carve_validation(questions[:50], 0.2, seed=0), "val") == val
    assert images_of(carve_validation(questions, 0.2, seed=1), "val") != val


def test_a_single_image_is_left_in_training():
    questions = questions_about(1)
    assert carve_validation(questions, 0.5, seed=0) == tuple(questions)
    assert carve_validation([], 0.5, seed=0) == ()


@pytest.mark.parametrize(("images", "folds"), [(10, 5), (11, 3), (7, 7)])
def test_folds_partition_the_images(images: int, folds: int):
    questions = questions_about(images)
    tests = [images_of(cut_folds(questions, folds, fold, seed=0), "test") for fold in range(folds)]
    assert sum(len(part) for part in tests) == images
    assert set().union(*tests) == images_of(questions, "train")
    assert max(map(len, tests)) - min(map(len, tests)) <= 1
    for fold in range(folds):
        cut = cut_folds(questions, folds, fold, seed=0)
        assert images_of(cut, "train") | images_of(cut, "test") == images_of(questions, "train")
        assert images_of(cut, "train") & images_of(cut, "test") == set()
        assert [question.question_id for question in cut] == [question.question_id for question in questions]


def test_another_seed_cuts_other_folds():
    questions = questions_about(40)
    assert images_of(cut_folds(questions, 4, 0, seed=0), "test") != images_of(cut_folds(questions, 4, 0, seed=1), "test")


def test_more_folds_than_images_are_refused():
    with pytest.raises(UserError, match=r"dataset\.folds=5: there are only 4 training images"):
        cut_folds(questions_about(4), 5, 0, seed=0)


def test_a_fold_has_three_sides_without_an_image_in_common(tmp_path: Path):
    path = tmp_path / "q.jsonl"
    lines = [{"image": f"{i % 40}.png", "question": "what ?", "answer": "cat"} for i in range(120)]
    lines += [{"image": "official.png", "question": "what ?", "answer": "cat", "split": "test"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    tested: list[str] = []
    for fold in range(4):
        dataset = JsonlDataset(path=path, folds=4, fold=fold)
        annotations = read_annotations(dataset)
        train, val, test = ({q.image_id for q in annotations.split(name)} for name in ("train", "val", "test"))
        assert (len(train), len(val), len(test)) == (27, 3, 10)
        assert train & val == train & test == val & test == set()
        assert {q.split for q in read_annotations(dataset, ["train"]).questions} == {"train"}
        tested += test
    assert sorted(tested) == sorted(f"{i}.png" for i in range(40))


def test_repeated_ids_empty_questions_and_training_questions_without_an_answer_are_refused(monkeypatch: pytest.MonkeyPatch):
    def reading(*questions: Question) -> None:
        annotations = Annotations(questions=questions, images={"a": Path("a.png")})
        row = replace(BENCHMARKS["jsonl"], reader=lambda dataset, splits: annotations)
        monkeypatch.setitem(BENCHMARKS, "jsonl", row)
        read_annotations(JsonlDataset())

    first = Question(question_id="1", image_id="a", question="what ?", split="train", human_answers=("red",))
    with pytest.raises(UserError, match="jsonl: the question id '1' comes twice, in train and in test"):
        reading(first, replace(first, split="test"))
    with pytest.raises(UserError, match="jsonl: the training question '2' has no answer"):
        reading(first, replace(first, question_id="2", human_answers=()))
    with pytest.raises(UserError, match="jsonl: the test question '2' is empty"):
        reading(first, replace(first, question_id="2", question=" ?", split="test"))
    reading(first, replace(first, question_id="2", split="test", human_answers=()))
