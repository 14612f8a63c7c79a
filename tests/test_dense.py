"""Dense fine-tuning: a run that begins with another's weights and learns graded relevance."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.engines.test_resume import Killed, equal, result, stop_at
from tests.official import draw_visdial
from vqa_rnn.checkpoint import Run, load_model, load_run
from vqa_rnn.commands.measure import measure
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.commands.train import train
from vqa_rnn.config import Config
from vqa_rnn.config.files import load_config
from vqa_rnn.errors import UserError

BASE = """
dataset: {name: visdial}
features:
  {weights: package, image_size: 64, layers: [blocks.2], grid_size: 2, precision: float32}
model:
  question: {embedding_size: 16, hidden_size: 16}
  history: {name: late_fusion}
  head: {name: choice}
training: {batch_size: 6, precision: float32, learning_rate: 0.01}
evaluation: {bootstrap_samples: 20}
"""
TUNED = (
    "model.head.target=relevance",
    "model.fusion.dropout=0.2",
    "training.start_from=runs/base",
    "training.max_epochs=4",
    "training.batch_size=4",
    "training.checkpoint_minutes=1e-9",
    "dataset.train_dense_file=visdial_1.0_train_dense_annotations.json",
    "run.name=tuned",
)


def configure(*overrides: str) -> Config:
    return load_config("visdial.yaml", overrides)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with drawn dialogs and a run that learned the truth."""
    folder = tmp_path_factory.mktemp("visdial")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        draw_visdial(folder / "data/visdial", images=8)
        Path("visdial.yaml").write_text(BASE, encoding="utf-8")
        preprocess(configure())
        train(configure("training.max_epochs=2", "run.name=base"))
    return folder


@pytest.fixture(autouse=True)
def _there(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(base)
    for name in ("tuned", "other"):
        shutil.rmtree(base / "runs" / name, ignore_errors=True)


def lines(run: Run) -> list[dict]:
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


def test_fine_tuning_learns_from_judged_questions_and_chooses_by_ndcg(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, logger="vqa_rnn"):
        run = train(configure(*TUNED))
    assert any("8 training questions and 8 validation questions" in message for message in caplog.messages)  # of 24 and 24
    epochs = [line for line in lines(run) if "train_loss" in line]
    assert epochs[-1]["train_loss"] < epochs[0]["train_loss"]
    measured = measure(run, "val", with_floors=False)
    assert np.nanmean(measured.metrics["ndcg"]) == pytest.approx(max(line["val_accuracy"] for line in epochs), abs=1e-6)
    assert run.tokenizer.vocabulary_size == load_run(Path("runs/base")).tokenizer.vocabulary_size


def test_it_begins_with_everything_of_the_other_run():
    run = train(configure(*TUNED, "training.learning_rate=1e-30", "training.weight_decay=0", "training.max_epochs=1"))
    start = Path("runs/base")
    assert equal(load_file(run.model_path), load_file(start / "model.safetensors"))  # statistics of the features among them
    assert (run.path / "tokenizer.json").read_bytes() == (start / "tokenizer.json").read_bytes()
    assert load_run(run.path).config.training.start_from == start
    begun_with = json.loads((run.path / "environment.json").read_text())["start_from"]
    assert begun_with["run"] == str(start)
    assert len(begun_with["weights_sha256"]) == 64
    assert json.loads((start / "environment.json").read_text())["start_from"] is None


@pytest.mark.parametrize(
    ("method", "step", "extra"),
    [
        ("_finish_step", 1, ()),  # before anything was saved
        ("_finish_step", 1, ("training.ema_decay=0.9",)),
        ("_finish_step", 5, ()),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(method: str, step: int, extra: tuple[str, ...]):
    whole = train(configure(*TUNED, *extra, "run.name=other"))
    stopped = configure(*TUNED, *extra)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, method, step, before=True)
        with pytest.raises(Killed):
            train(stopped)
    assert equal(result(train(stopped, resume=True).path), result(whole.path))


def test_a_run_with_a_checkpoint_goes_on_without_the_other():
    config = configure(*TUNED)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "_finish_step", 5, before=False)
        with pytest.raises(Killed):
            train(config)
    Path("runs/base").rename("runs/away")
    try:
        run = train(config, resume=True)
    finally:
        Path("runs/away").rename("runs/base")
    assert load_model(run).head.target == "relevance"


def test_other_weights_than_it_began_with_are_refused():
    config = configure(*TUNED)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "_finish_step", 1, before=True)
        with pytest.raises(Killed):
            train(config)
    weights = Path("runs/base/model.safetensors")
    kept = weights.read_bytes()
    changed = load_file(weights)
    changed["feature_mean"] = torch.zeros_like(changed["feature_mean"])
    try:
        save_file(changed, weights)
        with pytest.raises(UserError, match=r"model\.safetensors has changed since .*tuned began with it"):
            train(config, resume=True)
    finally:
        weights.write_bytes(kept)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("model.question.hidden_size=17",),
            r"model\.question\.hidden_size is 16 in that run and 17 here; .* only .* target",
        ),
        (("model.history.name=memory",), r"model\.history\.name is late_fusion in that run and memory here"),
        (("text.max_tokens=9",), r"text\.max_tokens is 64 in that run and 9 here"),
        (("training.start_from=runs/nowhere",), "no run folder at runs/nowhere"),
        (("training.start_from=runs/base/checkpoints",), "is not a run folder"),
        (("features.layers=[bn2]",), "features"),
        (("dataset.train_dense_file=null",), "no training question has graded relevance"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_does_not_fit_is_refused_in_one_line(overrides: tuple[str, ...], message: str):
    with pytest.raises(UserError, match=message) as raised:
        train(configure(*TUNED, *overrides))
    assert "\n" not in str(raised.value)
    assert not Path("runs/tuned/run.json").exists()


def test_a_run_does_not_begin_with_itself():
    before = Path("runs/base/model.safetensors").read_bytes()
    with pytest.raises(UserError, match=r"start_from=runs/base is the run that would be replaced: set run\.name"):
        train(configure(*TUNED, "run.name=base"), overwrite=True)
    assert Path("runs/base/model.safetensors").read_bytes() == before


def test_a_run_without_weights_is_refused():
    shutil.copytree("runs/base", "runs/other")
    Path("runs/other/model.safetensors").unlink()
    with pytest.raises(UserError, match=r"runs/other has no model\.safetensors yet"):
        train(configure(*TUNED, "training.start_from=runs/other"))


def test_the_truth_can_be_learned_further():
    overrides = [each for each in TUNED if "relevance" not in each and "dense" not in each]
    run = train(configure(*overrides, "training.max_epochs=1"))
    assert measure(run, "val", with_floors=False).scores.shape == (24,)
