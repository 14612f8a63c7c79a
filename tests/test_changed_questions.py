"""A question file that changes after training: no image that a run learned from is measured as if it were new."""

import json
from pathlib import Path

import pytest

from tests.conftest import TINY, draw
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.cli import main
from vqa_rnn.config import JsonlDataset


@pytest.fixture
def run(features: Path) -> Path:
    """A run on the pictures of ``features``, its validation images drawn from all."""
    assert main(["train", "jsonl", f"dataset.path={features}", *TINY, "training.max_epochs=1"]) == 0
    return Path("runs/jsonl")


def add_images(questions: Path, count: int, **more: str) -> None:
    with questions.open("a") as file:
        for number in range(100, 100 + count):
            draw(questions.parent / "images" / f"{number}.png", "red")
            line = {"image": f"images/{number}.png", "question": "What colour is it?", "answer": "red", **more}
            file.write(json.dumps(line) + "\n")


def images(questions: Path, split: str) -> set[str]:
    annotations = read_annotations(JsonlDataset(path=questions), [split])  # type: ignore[list-item]
    return {question.image_id for question in annotations.questions}


def test_validation_images_drawn_anew_are_refused(run: Path, features: Path, capsys: pytest.CaptureFixture[str]):
    learned = images(features, "train")
    assert main(["evaluate", str(run)]) == 0
    lines = features.read_text().splitlines(keepends=True)
    features.write_text("".join(line for line in lines if json.loads(line)["image"] in learned))
    assert images(features, "val") <= learned
    capsys.readouterr()
    for command in (["evaluate", str(run)], ["evaluate", str(run), "--split", "val"]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert f"error: {features} has changed since runs/jsonl was trained: its val split is now drawn" in error


def test_questions_with_a_split_of_their_own_are_measured_with_a_warning(
    run: Path, features: Path, capsys: pytest.CaptureFixture[str]
):
    add_images(features, 4, split="test")
    assert main(["preprocess", "jsonl", f"dataset.path={features}", *TINY]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(run), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["num_questions"] == 4
    assert f"{features} has changed since runs/jsonl was trained" in printed.err


def test_an_image_in_two_splits_is_mentioned(features: Path, capsys: pytest.CaptureFixture[str]):
    with features.open("a") as file:
        line = {"image": "./images/3.png", "question": "What colour is it?", "answer": "red", "split": "test"}
        file.write(json.dumps(line) + "\n")
    assert main(["preprocess", "jsonl", f"dataset.path={features}", *TINY]) == 0
    assert "1 image in train and in test, such as images/3.png" in capsys.readouterr().err


def test_a_split_without_questions_names_those_that_have_some(run: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["predict", str(run), "--split", "test", "--output", "answers.json"]) == 2
    assert "jsonl has no questions in its test split: give --split train or val" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("images/0.PNG", "no image at {folder}/images/0.PNG: did you mean 0.png?"),
        ("images", "{folder}/images is a folder, and an image is needed"),
        ("nowhere/0.png", "no image at {folder}/nowhere/0.png"),
    ],
)
def test_a_missing_image_is_named_with_its_line(
    own_questions: Path, image: str, words: str, capsys: pytest.CaptureFixture[str]
):
    with own_questions.open("a") as file:
        file.write(json.dumps({"image": image, "question": "What?", "answer": "red"}) + "\n")
    assert main(["preprocess", "jsonl", f"dataset.path={own_questions}", *TINY]) == 2
    error = capsys.readouterr().err.strip()
    assert error == f"error: {own_questions}:21: {words.format(folder=own_questions.parent)}"


def test_only_options_of_the_data_set_are_offered(run: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["evaluate", str(run), "model.fusion.name=concat"]) == 2
    error = capsys.readouterr().err
    assert "dataset.path" in error
    assert "dataset.root" not in error
