"""Questions in a table go through every command, and a change of the file is noticed."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY
from vqa_rnn.cli import main


def write_table(path: Path, questions: list[dict[str, Any]], num_validation: int) -> None:
    """As a spreadsheet of Europe writes it, compressed."""
    text = io.StringIO(newline="")
    rows = csv.DictWriter(text, ["image", "question", "answer", "split"], delimiter=";")
    rows.writeheader()
    for number, question in enumerate(questions):
        rows.writerow({**question, "split": "validation" if number < num_validation else "train"})
    path.write_bytes(gzip.compress(text.getvalue().encode("utf-8-sig")))


def test_every_command_reads_a_table(own_questions: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    folder = own_questions.parent
    monkeypatch.chdir(folder.parent)  # paths of images are relative to the file, and not to where the command runs
    questions = [json.loads(line) for line in own_questions.read_text().splitlines()]
    path = folder / "table.csv.gz"
    write_table(path, questions, num_validation=4)
    recipe = ["jsonl", f"dataset.path={path}", f"features.store={folder}/features.h5", f"run.folder={folder}/runs", *TINY]
    run = str(folder / "runs/jsonl")
    assert main(["preprocess", *recipe]) == 0
    assert main(["train", *recipe, "training.max_epochs=1"]) == 0
    capsys.readouterr()
    assert main(["evaluate", run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_questions"] == 4
    assert main(["predict", run, "--split", "val", "--output", f"{folder}/answers.json"]) == 0
    assert len(json.loads((folder / "answers.json").read_text())) == 4
    assert "has changed" not in capsys.readouterr().err
    write_table(path, questions, num_validation=6)
    assert main(["evaluate", run, "--json"]) == 0
    assert f"{path} has changed since {run} was trained" in capsys.readouterr().err
    (folder / "images/3.png").unlink()
    assert main(["preprocess", *recipe, "features.store=new.h5"]) == 2
    assert f"error: {path}: row 8: no image at {folder}/images/3.png" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["q.csv", "q.json", "q.jsonl.gz"])
def test_a_file_of_questions_in_place_of_a_config_is_named(name: str, capsys: pytest.CaptureFixture[str]):
    assert main(["train", name]) == 2
    assert capsys.readouterr().err == f"error: {name} holds questions, not options: give it as jsonl dataset.path={name}\n"
