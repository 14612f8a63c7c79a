"""``vqa-rnn consistency``: what follows from a run's own answers, and choices in another order."""

import json
from pathlib import Path

import pytest

from tests.conftest import configure, draw
from vqa_rnn.cli import main
from vqa_rnn.commands import consistency as command
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.commands.train import train
from vqa_rnn.records import Prediction

OPTIONS = ("training.batch_size=4", "dataset.validation_fraction=0.5")
COLOURS = ("red", "green", "blue", "yellow")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight pictures with a question of the colour, and yes-no questions in the words of the implied ones."""
    monkeypatch.chdir(tmp_path)
    lines = []
    for number in range(8):
        colour, wrong = COLOURS[number % 4], COLOURS[(number + 1) % 4]
        draw(tmp_path / "images" / f"{number}.png", colour)
        for question, answer in (
            ("What colour is the shape?", colour),
            (f"Is the shape {colour}?", "yes"),
            (f"Is the shape {wrong}?", "no"),
        ):
            lines.append({"image": f"images/{number}.png", "question": question, "answer": answer})
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    preprocess(configure(path))
    return path


def report_of(path: Path, capsys: pytest.CaptureFixture[str]) -> dict:
    capsys.readouterr()
    assert main(["consistency", str(path), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_is_asked_what_its_answers_imply(
    asked: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    run = train(configure(asked, *OPTIONS, "training.max_epochs=2"))
    seen = []

    def answer(members, questions, device):
        seen.append([question.question for question in questions])
        answers = ["red", "yes", "no"] if len(seen) % 2 else ["yes", "no", "red"]  # the run's own answers, then the others
        return {
            question.question_id: Prediction(question_id=question.question_id, answer=answers[n % 3], probability=1.0)
            for n, question in enumerate(questions)
        }

    monkeypatch.setattr(command, "answer_questions", answer)
    report = report_of(run.path, capsys)
    assert all(question.startswith("Is the shape ") for question in seen[1])
    assert len(seen[1]) == 4  # of the four pictures of val; no other answer was given to such a question
    total = sum(row["questions"] for row in report["kinds"].values())
    assert total == len(seen[1])
    answered = sum(row["yes_or_no"] * row["questions"] for row in report["kinds"].values())
    assert answered == pytest.approx(sum(n % 3 < 2 for n in range(total)))
    written = json.loads((run.path / "evaluation" / "val_consistency.json").read_text())
    questions = written.pop("asked")
    assert written == report
    assert len(questions) == sum(row["questions"] for row in report["kinds"].values())
    assert all(row["is_consistent"] == (row["answer"] == row["expected"]) for row in questions)
    assert main(["consistency", str(run.path)]) == 0
    assert "yes to its own answer" in capsys.readouterr().out


def test_changed_choices_do_not_change_the_answer(asked: Path, capsys: pytest.CaptureFixture[str]):
    lines = [json.loads(line) for line in asked.read_text().splitlines()]
    for line in lines:
        line["choices"] = ["yes", "no", "perhaps"] if line["answer"] in ("yes", "no") else list(COLOURS)
    asked.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = train(configure(asked, *OPTIONS, "training.max_epochs=2", "model.head.name=choice"))
    report = report_of(run.path, capsys)
    assert set(report["kinds"]) == {"choice_order", "duplicate_choice"}
    for row in report["kinds"].values():
        assert row["consistency"] == 1
        assert row["questions"] == report["num_questions"] == 12
        assert "where_right" not in row


def test_what_implies_nothing_is_said(asked: Path, capsys: pytest.CaptureFixture[str]):
    lines = [json.loads(line) for line in asked.read_text().splitlines()]
    asked.write_text("".join(json.dumps(line) + "\n" for line in lines if line["answer"] not in ("yes", "no")))
    run = train(configure(asked, *OPTIONS, "training.max_epochs=1", "run.name=colours"))
    assert main(["consistency", str(run.path)]) == 2
    assert "cannot answer yes and no" in capsys.readouterr().err
    asked.write_text("".join(json.dumps(line) + "\n" for line in lines if line["answer"] in ("yes", "no")))
    run = train(configure(asked, *OPTIONS, "training.max_epochs=1", "run.name=yes_no"))
    assert main(["consistency", str(run.path)]) == 2
    assert "implies another question" in capsys.readouterr().err
    refit = train(configure(asked, *OPTIONS, "training.max_epochs=1", "training.refit=1", "run.name=refit"))
    assert main(["consistency", str(refit.path)]) == 2
    assert "learned from the val questions" in capsys.readouterr().err
