"""``vqa-rnn split --changing-priors``: other answers to a kind of question in test than in train."""

import json
from pathlib import Path

import pytest

from tests.conftest import draw
from vqa_rnn.annotations.changing_priors import kind_of, split_by_priors
from vqa_rnn.answers import most_frequent_answer
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.cli import main
from vqa_rnn.config import JsonlDataset
from vqa_rnn.records import Question

ANSWERS = ["red", "green", "blue", "black"]
THINGS = ["car", "door", "cat", "hat", "sofa"]


def questions() -> list[Question]:
    found = []
    for number in range(200):
        thing, answer = THINGS[number % 5], ANSWERS[(number // 5) % 4]
        words = f"What colour is the {thing}?" if number % 2 else f"Is the {thing} {answer}?"
        truth = answer if number % 2 else ("yes", "no")[number % 3 == 0]
        found.append(
            Question(question_id=str(number), image_id=str(number % 7), question=words, split="train", human_answers=(truth,))
        )
    return found


def groups(side: list[Question]) -> set[tuple[str, str]]:
    return {(kind_of(question, 2), most_frequent_answer(question.human_answers)) for question in side}


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_no_kind_has_an_answer_on_both_sides_and_test_has_its_share(share: float):
    found = split_by_priors(questions(), share, 2)
    assert [question.question_id for question in found] == [question.question_id for question in questions()]
    train = [question for question in found if question.split == "train"]
    test = [question for question in found if question.split == "test"]
    assert not groups(train) & groups(test)
    assert share * 200 <= len(test) < 200
    assert split_by_priors(questions(), share, 2) == found


def test_train_gets_the_words_that_test_asks_about():
    found = split_by_priors(questions(), 0.3, 2)
    words = {side: set() for side in ("train", "test")}
    for question in found:
        words[question.split] |= {word for word in THINGS if word in question.question}
    assert words["test"] <= words["train"]


def test_a_jsonl_file_is_written_that_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    lines = []
    for question in questions():
        path = draw(Path("data/images") / f"{question.image_id}.png", "red")
        line = {"image": f"images/{path.name}", "question": question.question, "question_type": "own"}
        lines.append({**line, "answer": question.human_answers[0], "question_id": question.question_id})
    lines[0]["answers"] = [lines[0].pop("answer"), "maybe", "no"]
    Path("data/own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ["split", "jsonl", "dataset.path=data/own.jsonl", "--changing-priors", "-o", "out/cp.jsonl", "--json"]
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["train"] + report["test"] == 200
    assert report["prior_accuracy"]["test"] == 0
    assert report["prior_accuracy"]["train"] > 0.3
    assert 0 <= report["known_answers"] <= 1
    annotations = read_annotations(JsonlDataset(path=Path("out/cp.jsonl")))
    assert len(annotations.questions) == 200
    assert all(path.is_file() for path in annotations.images.values())
    assert {question.question_type for question in annotations.questions} == {"own"}
    assert sorted(len(question.human_answers) for question in annotations.questions)[-1] == 3
    assert main(arguments) == 2
    assert "out/cp.jsonl already exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "split needs --changing-priors"),
        (["--changing-priors", "--test-share", "2"], "give a share between 0 and 1"),
        (["--changing-priors", "-o", "x.json"], "give the name of a .jsonl file"),
    ],
)
def test_mistakes_are_one_line(own_questions: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str):
    assert main(["split", "jsonl", f"dataset.path={own_questions}", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_choices_are_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["split", "easy_vqa/choice", "--changing-priors", "-o", "x.jsonl"]) == 2
    assert "has choices or dialogs" in capsys.readouterr().err
