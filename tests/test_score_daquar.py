"""`vqa-rnn score daquar`."""

import json
from pathlib import Path
from typing import Any

import nltk.data
import pytest

from tests.metrics.test_wups import write_wordnet
from vqa_rnn.cli import main
from vqa_rnn.commands.score.daquar import score_daquar
from vqa_rnn.errors import UserError

QUESTIONS = """what is left of the desk in the image3 ?
chair
what is on the floor in the image3 ?
sofa, table
what is under the window in the image4 ?
garbage_bin
how many chairs are there in the image5 ?
2
"""
ANSWERS = "chair\nchair\ntable\n3\n"


@pytest.fixture
def wordnet(tmp_path: Path) -> Path:
    return write_wordnet(tmp_path / "wordnet")


def put(folder: Path, answers: str | bytes = ANSWERS, questions: str = QUESTIONS) -> tuple[Path, Path]:
    paths = folder / "qa.894.raw.test.txt", folder / "answers.txt"
    paths[0].write_text(questions, encoding="utf-8")
    paths[1].write_bytes(answers if isinstance(answers, bytes) else answers.encode())
    return paths


def score(folder: Path, answers: str | bytes, wordnet: Path) -> dict[str, Any]:
    return score_daquar(*put(folder, answers), wordnet=wordnet)


def test_answers_worked_by_hand(tmp_path: Path, wordnet: Path):
    report = score(tmp_path, ANSWERS, wordnet)
    # chair: right; chair for sofa, table: 0.8 x 2/3; table for garbage_bin: 2 x 2 / (4 + 3); 3 for 2: no sense
    intervals = report.pop("intervals")
    assert report.pop("signature").startswith("daquar|wordnet:3.0|n:4|version:")
    assert report == {
        "benchmark": "daquar",
        "num_questions": 4,
        "accuracy": 1 / 4,
        "wups@0.9": pytest.approx((1 + 0.08 * 0.2 / 3 + 0.4 / 7 + 0) / 4),
        "wups@0.0": pytest.approx((1 + 0.8 * 2 / 3 + 4 / 7 + 0) / 4),
    }
    assert list(intervals) == ["accuracy", "wups@0.9", "wups@0.0"]
    assert all(low <= report[name] <= high for name, (low, high) in intervals.items())


@pytest.mark.parametrize(
    "answers",
    [
        "chair\nsofa, table\ngarbage_bin\n2\n",
        "chair\nsofa, table\ngarbage_bin\n2",  # no line end
        "chair\r\ntable ,sofa\r\n garbage_bin\r\n2\r\n",
        b"\xef\xbb\xbfchair\nsofa,table\ngarbage_bin\n2\n",
    ],
)
def test_right_answers_score_one(tmp_path: Path, wordnet: Path, answers: str | bytes):
    report = score(tmp_path, answers, wordnet)
    assert (report["accuracy"], report["wups@0.9"], report["wups@0.0"]) == (1, 1, 1)


def test_an_empty_line_is_an_empty_answer(tmp_path: Path, wordnet: Path):
    report = score(tmp_path, "chair\n\n\n\n", wordnet)
    assert (report["accuracy"], report["wups@0.0"]) == (1 / 4, 1 / 4)


@pytest.mark.parametrize(("answers", "count"), [("chair\nchair\n", "2"), (ANSWERS + "more\n", "5"), ("", "0"), ("\n" * 5, "5")])
def test_other_numbers_of_lines_are_refused_with_both(tmp_path: Path, wordnet: Path, answers: str, count: str):
    with pytest.raises(UserError) as caught:
        score(tmp_path, answers, wordnet)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'answers.txt'}: {count} lines of answers for the 4 questions of")
    assert "\n" not in message


def test_no_wordnet_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    questions, results = put(tmp_path)
    assert main(["score", "daquar", "--questions", str(questions), "--results", str(results)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: WUPS needs WordNet")
    assert "nltk.downloader wordnet" in line


def test_missing_files_and_wrong_files_are_named(tmp_path: Path, wordnet: Path):
    questions, results = put(tmp_path)
    with pytest.raises(UserError, match=r"no DAQUAR question file at .*none\.txt"):
        score_daquar(tmp_path / "none.txt", results, wordnet=wordnet)
    with pytest.raises(UserError, match=r"no file of answers at .*none\.txt"):
        score_daquar(questions, tmp_path / "none.txt", wordnet=wordnet)
    with pytest.raises(UserError, match=r"cannot read .*answers\.txt as UTF-8"):
        score(tmp_path, b"\xff\n", wordnet)
    with pytest.raises(UserError, match="is empty"):
        score_daquar(*put(tmp_path, "", ""), wordnet=wordnet)
    with pytest.raises(UserError, match="names no image"):
        score_daquar(*put(tmp_path, "chair\n", "what is it ?\nchair\n"), wordnet=wordnet)


def test_the_command_line(tmp_path: Path, wordnet: Path, capsys: pytest.CaptureFixture[str]):
    questions, results = put(tmp_path)
    arguments = ["score", "daquar", "--questions", str(questions), "--results", str(results), "--wordnet", str(wordnet)]
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == score_daquar(questions, results, wordnet=wordnet)
    assert main(arguments) == 0
    assert "wups@0.9" in capsys.readouterr().out
