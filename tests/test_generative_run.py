"""A run whose head writes: trained, evaluated, predicted and scored like any other, and asked for text."""

import json
import runpy
from pathlib import Path

import pytest

from tests.official import draw_visdial
from vqa_rnn.cli import main
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.commands.train import train
from vqa_rnn.config.files import load_config
from vqa_rnn.data.question_file import open_questions
from vqa_rnn.errors import UserError

CONFIG = """
dataset: {name: visdial}
features:
  {weights: package, image_size: 64, layers: [blocks.2], grid_size: 2, precision: float32}
model:
  question: {embedding_size: 16, hidden_size: 16}
  history: {name: memory}
  head: {name: generative, hidden_size: 32}
training: {batch_size: 6, precision: float32, learning_rate: 0.01, max_epochs: 6}
evaluation: {bootstrap_samples: 20}
run: {name: writes}
"""
CHECK = runpy.run_path(str(Path(__file__).parents[1] / "scripts/generate_check.py"))["check"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn dialogs and a run."""
    path = tmp_path_factory.mktemp("visdial")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        draw_visdial(path / "data/visdial", images=8)
        Path("visdial.yaml").write_text(CONFIG, encoding="utf-8")
        preprocess(load_config("visdial.yaml"))
        train(load_config("visdial.yaml"))
    return path


@pytest.fixture(autouse=True)
def _there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_it_ranks_what_score_accepts(capsys: pytest.CaptureFixture[str]):
    assert main(["predict", "runs/writes", "--split", "val", "--output", "val.json"]) == 0
    assert all(sorted(row["ranks"]) == list(range(1, 9)) for row in json.loads(Path("val.json").read_text()))
    capsys.readouterr()
    dense = ["--dense", "data/visdial/visdial_1.0_val_dense_annotations.json"]
    files = ["--dialogs", "data/visdial/visdial_1.0_val.json", "--results", "val.json", *dense]
    assert main(["score", "visdial", *files, "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert main(["evaluate", "runs/writes", "--split", "val", "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    for name in ("r@1", "mrr", "ndcg"):
        assert scored[name] == pytest.approx(evaluated["metrics"][name], abs=1e-12)
    epochs = [json.loads(line) for line in Path("runs/writes/metrics.jsonl").read_text().splitlines()]
    losses = [line["train_loss"] for line in epochs if "train_loss" in line]
    assert losses[-1] < losses[0]
    assert max(line["val_accuracy"] for line in epochs if "val_accuracy" in line) == pytest.approx(scored["r@1"])


def test_what_it_writes_is_checked(capsys: pytest.CaptureFixture[str]):
    report = CHECK(Path("runs/writes"), "val", 10, 5)
    assert report["num_questions"] == 24
    assert report["num_compared"] == 10
    assert report["beam_below_greedy"] == 0
    assert report["log_p_beam"] >= max(report["log_p_greedy"], report["log_p_raw_beam"])
    assert 0 <= report["greedy_equals_answer"] <= 1


def test_training_does_not_hold_choices(monkeypatch: pytest.MonkeyPatch):
    held = {}

    def stop(run, *arguments):
        held.update({split: open_questions(run.questions_path(split)) for split in ("train", "val")})
        raise KeyboardInterrupt

    monkeypatch.setattr("vqa_rnn.commands.train._fit", stop)
    with pytest.raises(KeyboardInterrupt):
        train(load_config("visdial.yaml", ["run.name=held"]))
    assert held["train"].choices.values.size == 0
    assert (held["train"].answer >= 0).all()
    assert held["val"].choices.values.size == 24 * 8


def test_questions_without_choices_are_refused_in_one_line(capsys: pytest.CaptureFixture[str]):
    assert main(["train", "easy_vqa", "model.head.name=generative", "run.name=none"]) == 2
    error = capsys.readouterr().err
    assert "has 0 choices, but model.head.name=generative needs at least two for every question" in error
    assert error.count("\n") == 1


def test_a_run_that_does_not_write_is_refused(folder: Path):
    train(load_config("visdial.yaml", ["model.head.name=choice", "run.name=chooses", "training.max_epochs=1"]))
    with pytest.raises(UserError, match=r"runs/chooses does not write: it has model\.head\.name=choice"):
        CHECK(Path("runs/chooses"), "val", None, 5)
