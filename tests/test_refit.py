"""``training.refit``: training and validation questions together, for a number of epochs chosen before."""

import json
from pathlib import Path

import pytest

from tests.conftest import configure
from tests.engines.test_resume import RANDOM, Killed, equal, result, stop_at
from vqa_rnn.cli import main
from vqa_rnn.commands.train import train
from vqa_rnn.config import TrainingConfig
from vqa_rnn.errors import UserError

# a test split of its own: the questions about the last three pictures; validation is cut from the others
OPTIONS = ("training.max_epochs=3", "dataset.folds=3", "dataset.validation_fraction=0.4", "training.batch_size=4")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_it_learns_from_all_questions_and_stops_after_the_epochs_given(features: Path, capsys: pytest.CaptureFixture[str]):
    before = train(configure(features, *OPTIONS, "run.name=before"))
    run = train(configure(features, *OPTIONS, "training.refit=2", "run.name=refit"))
    held_back = [line for line in lines(before.path) if "train_loss" in line]
    refitted = [line for line in lines(run.path) if "train_loss" in line]
    assert [line["epoch"] for line in held_back] == [1, 2, 3]
    assert [line["epoch"] for line in refitted] == [1, 2]
    assert all("val_accuracy" in line for line in held_back)
    assert not any("val_accuracy" in line for line in refitted)
    assert refitted[0]["step"] > held_back[0]["step"]  # more questions
    assert refitted[-1]["learning_rate"] > 0  # the schedule is that of all epochs
    assert held_back[-1]["learning_rate"] == 0
    assert "0 validation questions" in (run.path / "log.txt").read_text()
    assert "the weights of epoch 2 are kept (training.refit)" in (run.path / "log.txt").read_text()
    assert set(run.answers.answers) >= set(before.answers.answers)
    capsys.readouterr()
    assert main(["evaluate", str(run.path), "--split", "test", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["split"] == "test"
    assert report["floors"]["most_frequent_answer"]
    assert main(["evaluate", str(run.path), "--split", "val"]) == 2
    assert "learned from the validation split (training.refit): give --split test" in capsys.readouterr().err
    assert main(["train", str(run.path / "config.yaml"), "--overwrite"]) == 0
    assert f"Evaluate it: vqa-rnn evaluate {run.path} --split test" in capsys.readouterr().err


@pytest.mark.parametrize(("method", "step", "before"), [("_finish_step", 3, False), ("_finish_epoch", 5, True)])
def test_a_resumed_refit_equals_an_uninterrupted_one(
    features: Path, monkeypatch: pytest.MonkeyPatch, method: str, step: int, before: bool
):
    whole = train(configure(features, *RANDOM, "training.refit=2", "run.name=whole"))
    stopped = configure(features, *RANDOM, "training.refit=2", "run.name=stopped")
    with monkeypatch.context() as patch:
        stop_at(patch, method, step, before=before)
        with pytest.raises(Killed):
            train(stopped)
    assert equal(result(train(stopped, resume=True).path), result(whole.path))


def test_what_contradicts_it_is_refused():
    with pytest.raises(ValueError, match="refit=4 is more than max_epochs=3"):
        TrainingConfig(refit=4, max_epochs=3)
    with pytest.raises(ValueError, match="refit and patience cannot be combined"):
        TrainingConfig(refit=2, patience=1)


def test_a_run_that_starts_from_a_refit_cannot_choose_by_validation(features: Path):
    before = train(configure(features, *OPTIONS, "training.refit=1", "run.name=before"))
    start = f"training.start_from={before.path}"
    with pytest.raises(UserError, match=r"learned from the validation split \(training\.refit\), which cannot choose an epoch"):
        train(configure(features, *OPTIONS, start, "run.name=after"))
    train(configure(features, *OPTIONS, start, "training.refit=1", "run.name=after"))
