"""``vqa-rnn calibrate``: a run's probabilities and when it says "not sure"."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import configure
from vqa_rnn.answering.calibration import Calibration, read_calibration
from vqa_rnn.checkpoint import Run
from vqa_rnn.cli import main
from vqa_rnn.commands.measure import measure
from vqa_rnn.commands.train import train
from vqa_rnn.files import read_json, write_json

OPTIONS = ("training.max_epochs=3", "training.batch_size=4", "dataset.validation_fraction=0.4")
ASK = ["--image", "images/0.png", "--question", "What colour is it?"]


@pytest.fixture
def run(features: Path) -> Run:
    return train(configure(features, *OPTIONS))


def calibrated(run: Run, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["calibrate", str(run.path), "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_writes_what_it_found_and_a_picture(run: Run, capsys: pytest.CaptureFixture[str]):
    report = calibrated(run, capsys, "--accuracy", "0.5")
    assert set(report["ece"]) == set(report["nll"]) == {"before", "after"}
    assert read_calibration(run).temperature == report["temperature"] != 1
    assert list(report["coverage"]) == ["0.8", "0.9", "0.95", "0.99"]
    with Image.open(report["picture"]) as picture:
        assert picture.size[0] > 500
    assert main(["calibrate", str(run.path), "--accuracy", "0.5"]) == 0
    text = capsys.readouterr().out
    assert "expected calibration error" in text
    assert "temperature" in text


def test_probabilities_change_and_answers_do_not(run: Run, capsys: pytest.CaptureFixture[str]):
    before = measure(run, "val").predictions
    report = calibrated(run, capsys)
    after = measure(run, "val").predictions
    assert {key: one.answer for key, one in before.items()} == {key: one.answer for key, one in after.items()}
    assert any(before[key].probability != after[key].probability for key in before)
    mean = np.mean([one.probability for one in after.values()])
    assert (mean > np.mean([one.probability for one in before.values()])) == (report["temperature"] < 1)


def test_ask_says_not_sure_below_the_threshold(run: Run, capsys: pytest.CaptureFixture[str]):
    calibrated(run, capsys)
    content = read_json(run.path / "calibration.json", "calibration")
    for threshold, is_sure in ((0.0, True), (0.9999, False)):
        sure = {"threshold": threshold, "coverage": 1.0, "accuracy": 1.0}
        write_json(run.path / "calibration.json", {**content, "threshold": sure})
        assert main(["ask", str(run.path), *ASK]) == 0
        assert ("not sure; the best guesses:" in capsys.readouterr().out) != is_sure
        assert main(["ask", str(run.path), *ASK, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["is_sure"] == is_sure
        assert main(["ask", str(run.path), *ASK, "--choice", "red", "--choice", "blue"]) == 0
        assert "not sure" not in capsys.readouterr().out  # other probabilities than those that were calibrated


def test_a_target_that_nothing_reaches_is_said(run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vqa_rnn.commands.calibrate.threshold_for", lambda curve, accuracy, num_questions: None)
    assert main(["calibrate", str(run.path)]) == 0
    assert "No threshold reaches an accuracy of 90%" in capsys.readouterr().out
    assert read_calibration(run).threshold == math.inf
    assert main(["ask", str(run.path), *ASK]) == 0
    assert "not sure" in capsys.readouterr().out


def test_other_weights_are_not_calibrated(run: Run, capsys: pytest.CaptureFixture[str]):
    calibrated(run, capsys)
    from safetensors.torch import load_file, save_file

    save_file({name: value + 1 for name, value in load_file(run.model_path).items()}, run.model_path)
    assert read_calibration(run) == Calibration()
    assert "belongs to other weights and is not used" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{}", "[1]", '{"temperature": "x", "threshold": null, "weights_sha256": ""}', "{"])
def test_a_damaged_file_is_one_line(run: Run, capsys: pytest.CaptureFixture[str], content: str):
    (run.path / "calibration.json").write_text(content)
    assert main(["ask", str(run.path), *ASK]) == 2
    assert "calibration.json" in capsys.readouterr().err


def test_a_head_that_chooses_is_calibrated(features: Path, capsys: pytest.CaptureFixture[str]):
    lines = [json.loads(line) for line in features.read_text().splitlines()]
    for line in lines:
        others = ["red", "green", "blue", "yellow"] if "colour" in line["question"] else ["circle", "square", "star"]
        line["choices"] = [line["answer"], *[other for other in others if other != line["answer"]]]
    features.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = train(configure(features, *OPTIONS, "model.head.name=choice"))
    report = calibrated(run, capsys, "--accuracy", "0.4")
    assert report["temperature"] > 0
    arguments = ["--choice", "red", "--choice", "blue", "--json"]
    assert main(["ask", str(run.path), *ASK, *arguments]) == 0
    assert "is_sure" in json.loads(capsys.readouterr().out)
    classifier = train(configure(features, *OPTIONS, "run.name=classifier"))
    assert main(["calibrate", str(classifier.path)]) == 2
    assert "is a classifier of open answers" in capsys.readouterr().err


def test_what_cannot_be_calibrated_is_refused(
    run: Run, features: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    for arguments, says in (
        (["--split", "train"], "learned from the train questions"),
        (["--split", "test"], "no questions with answers in its test split"),
        (["--accuracy", "90"], "give a share above 0 and up to 1"),
    ):
        assert main(["calibrate", str(run.path), *arguments]) == 2
        assert says in capsys.readouterr().err
    monkeypatch.setattr(
        "vqa_rnn.commands.calibrate._targets", lambda encoded, num_answers: np.zeros((len(encoded), num_answers))
    )
    assert main(["calibrate", str(run.path)]) == 2
    assert "cannot give a correct answer to any of the" in capsys.readouterr().err
    assert not (run.path / "calibration.json").exists()
    refit = train(configure(features, *OPTIONS, "training.refit=1", "run.name=refit"))
    assert main(["calibrate", str(refit.path)]) == 2
    assert "learned from the val questions" in capsys.readouterr().err


def test_a_sigmoid_is_calibrated(features: Path, capsys: pytest.CaptureFixture[str]):
    run = train(configure(features, *OPTIONS, "model.head.loss=sigmoid", "run.name=sigmoid"))
    assert calibrated(run, capsys)["temperature"] > 0
