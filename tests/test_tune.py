"""``vqa-rnn tune``: what is fastest on this machine."""

import json
from pathlib import Path

import pytest

from tests.conftest import TINY, configure
from vqa_rnn.cli import main
from vqa_rnn.commands import tune as tune_module
from vqa_rnn.commands.tune import overrides, tune
from vqa_rnn.config.files import load_config
from vqa_rnn.errors import UserError


@pytest.mark.slow
def test_every_setting_is_tried_and_the_config_takes_what_is_recommended(
    features: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tune_module, "num_cpus", lambda: 2)
    arguments = ["jsonl", *TINY, f"dataset.path={features}", "training.precision=auto", "--seconds", "0.05"]
    assert main(["tune", *arguments, "--json"]) == 0
    trials = json.loads(capsys.readouterr().out)["trials"]
    tried = {option: [t["value"] for t in trials if t["option"] == option] for option in {t["option"] for t in trials}}
    assert tried["training.num_threads"] == [1, 2]
    assert tried["training.num_workers"] == [0, 1, 2]
    assert "float32" in tried["training.precision"]
    assert 1 in tried["features.batch_rows"]
    assert tried["features.compile"] == [False, True]
    assert all(trial["rate"] > 0 for trial in trials)
    for option in tried:
        assert sum(trial["is_default"] for trial in trials if trial["option"] == option) == 1
        assert sum(trial["is_best"] for trial in trials if trial["option"] == option) == 1
    assert not Path("runs").exists()
    assert main(["tune", *arguments]) == 0
    assert "the fastest value of each option" in capsys.readouterr().out


@pytest.mark.slow
def test_what_is_noticeably_faster_is_recommended_and_nothing_else(features: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tune_module, "num_cpus", lambda: 2)
    monkeypatch.setattr(tune_module._Trainings, "rate", lambda self, precision, threads, workers: 100 * threads + workers)
    monkeypatch.setattr(tune_module, "_extraction_rate", lambda extractor, images, seconds: 1 / len(images))
    trials = tune(configure(features, "training.num_threads=1"), seconds=1)
    assert overrides(trials, "train") == "training.num_threads=2"
    assert overrides(trials, "preprocess") == "features.batch_rows=1"
    options = [*TINY, f"dataset.path={features}", *overrides(trials, "train").split(), *overrides(trials, "preprocess").split()]
    assert load_config("jsonl", options).training.num_threads == 2


def test_features_must_be_there(own_questions: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(own_questions.parent)
    with pytest.raises(UserError, match="preprocess"):
        tune(configure(own_questions), seconds=0.1)
    with pytest.raises(UserError, match="a time above 0 is needed"):
        tune(configure(own_questions), seconds=0)
