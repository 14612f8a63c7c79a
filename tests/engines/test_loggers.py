"""MLflow and Weights & Biases get what TensorBoard gets, change nothing, and stop nothing."""

import json
import logging
import os
import signal
import struct
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import configure
from tests.engines.test_resume import RANDOM, Killed, equal, result, stop_at
from vqa_rnn.cli import main
from vqa_rnn.commands.train import train
from vqa_rnn.config.files import flat_config, load_config
from vqa_rnn.engines import loggers
from vqa_rnn.errors import Interrupted, UserError

Points = dict[str, list[tuple[int, float]]]
BOTH = "training.loggers=[tensorboard,mlflow,wandb]"
MLFLOW = "training.loggers=[mlflow]"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No destination of the machine's own, and nothing left of what a training sets."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("MLFLOW_", "WANDB_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # it keeps the first environment that it saw
    for name in set(os.environ) - set(before):
        del os.environ[name]


def written(run: Path) -> Points:
    """What the run folder's own files say."""
    points: Points = defaultdict(list)
    for name in ("metrics.jsonl", "timings.jsonl"):
        for text in (run / name).read_text().splitlines():
            line = json.loads(text)
            for key in line.keys() - {"step", "epoch"}:
                points[key].append((line["step"], line[key]))
    return {key: sorted(values) for key, values in points.items()}


def from_tensorboard(run: Path) -> Points:
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    return {key: sorted((event.step, event.value) for event in events.Scalars(key)) for key in events.Tags()["scalars"]}


def from_mlflow(run: Path, store: Path | None = None) -> tuple[Any, Points]:
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{store or run.resolve().parent / 'mlflow.db'}")
    found = client.get_run(json.loads((run / "loggers.json").read_text())["mlflow"])
    history = {key: client.get_metric_history(found.info.run_id, key) for key in found.data.metrics}
    return found, {key: sorted((point.step, point.value) for point in points) for key, points in history.items()}


def from_wandb(folder: Path) -> tuple[dict[str, Any], Points, list[str]]:
    """Name, id and config, the numbers, and the kinds of all records, of the only offline run of a folder."""
    messages = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    data, place, buffer = file.read_bytes(), 7, b""
    about: dict[str, Any] = {}
    points: Points = defaultdict(list)
    kinds = []
    while place + 7 <= len(data):  # LevelDB's log format, in blocks of 32 KiB
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, length, part = struct.unpack("<IHB", data[place : place + 7])
        buffer, place = buffer + data[place + 7 : place + 7 + length], place + 7 + length
        if part not in (1, 4):  # whole, or the last part
            continue
        record = messages.Record.FromString(buffer)
        buffer = b""
        kinds.append(record.WhichOneof("record_type"))
        if kinds[-1] == "run":
            config = {item.key: json.loads(item.value_json) for item in record.run.config.update}
            about = {"name": record.run.display_name, "id": record.run.run_id, "config": config}
        elif kinds[-1] == "exit":
            about["exit_code"] = record.exit.exit_code
        elif kinds[-1] == "history":
            values = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            for key in values:
                if not key.startswith("_"):
                    points[key].append((int(values["_step"]), values[key]))
    return about, dict(points), kinds


def said_above(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.message for record in caplog.records if record.levelno > level]


def test_all_get_the_same_and_training_computes_the_same(
    features: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    pytest.importorskip("mlflow")
    pytest.importorskip("wandb")
    plain = train(configure(features, *RANDOM, "training.loggers=[]", "run.name=plain"))
    assert not (plain.path / "tensorboard").exists()
    assert not (plain.path / "loggers.json").exists()
    capfd.readouterr()
    run = train(configure(features, *RANDOM, BOTH, "run.name=told"))
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "warn" not in captured.err.lower()
    assert said_above(caplog, logging.INFO) == []
    assert equal(result(run.path), result(plain.path))

    expected = written(run.path)
    assert set(expected) >= {"loss", "train_loss", "val_accuracy", "learning_rate", "gradient_norm", "questions_per_second"}
    found, points = from_mlflow(run.path)
    assert points == expected
    assert found.info.run_name == "told"
    assert found.info.status == "FINISHED"
    options = flat_config(run.config)
    assert set(found.data.params) == set(options)
    assert found.data.params["training.batch_size"] == "4"
    assert found.data.params["training.clip_value"] == "null"
    about, points, kinds = from_wandb(features.parent)
    assert {key: dict(values) for key, values in points.items()} == {key: dict(values) for key, values in expected.items()}
    assert about["name"] == "told"
    assert about["exit_code"] == 0
    assert {key: about["config"][key] for key in options} == options
    assert not {"stats", "output", "output_raw"} & set(kinds)  # nothing of the machine, nor what is printed
    shown = from_tensorboard(run.path)
    assert {key: dict(values) for key, values in shown.items()} == {
        key: pytest.approx(dict(values)) for key, values in expected.items()
    }
    assert not list(features.parent.glob("ml*"))  # nothing in the working directory
    assert "MLFLOW_TRACKING_URI" not in os.environ  # another run of this process may lie elsewhere


def test_a_resume_goes_on_with_the_same_run(features: Path):
    pytest.importorskip("mlflow")
    pytest.importorskip("wandb")
    whole = train(configure(features, *RANDOM, "training.loggers=[]", "run.name=whole"))
    config = configure(features, *RANDOM, BOTH, "training.checkpoint_minutes=null", "run.name=stopped")
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "_finish_step", 9, before=False)
        with pytest.raises(Killed):
            train(config)
    path = whole.path.with_name("stopped")
    stopped, points = from_mlflow(path)
    assert stopped.info.status == "FAILED"
    assert points["loss"][-1][0] == 8  # after the checkpoint of step 5
    about, _, _ = from_wandb(features.parent)
    assert about["exit_code"] == 1
    (features.parent / "wandb").rename(features.parent / "before")

    train(config, resume=True)
    found, points = from_mlflow(path)
    assert found.info.run_id == stopped.info.run_id
    assert found.info.status == "FINISHED"
    expected = written(path)
    for key in ("loss", "train_loss", "val_accuracy"):
        assert points[key] == expected[key]  # each step once
    resumed, points, _ = from_wandb(features.parent)
    assert resumed["id"] == about["id"]
    assert [step for step, _ in points["loss"]] == [10, 12, 14]
    assert (path / "metrics.jsonl").read_bytes() == (whole.path / "metrics.jsonl").read_bytes()
    assert equal(result(path)["state"]["model"], result(whole.path)["state"]["model"])


@pytest.mark.slow
def test_another_training_of_the_name_is_another_run(features: Path):
    pytest.importorskip("mlflow")
    config = configure(features, MLFLOW, "training.max_epochs=1", "run.name=again")
    first, _ = from_mlflow(train(config).path)
    second, points = from_mlflow(train(config, overwrite=True).path)
    assert first.info.run_id != second.info.run_id
    assert len(points["train_loss"]) == 1


def test_an_interruption_is_told(features: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{features.parent / 'elsewhere.db'}")
    config = configure(features, *RANDOM, MLFLOW, "run.name=interrupted")
    with monkeypatch.context() as patch:
        begin = loggers.Loggers.write

        def write(self: loggers.Loggers, values: dict[str, float], step: int, *, again: bool) -> None:
            begin(self, values, step, again=again)
            os.kill(os.getpid(), signal.SIGTERM)

        patch.setattr(loggers.Loggers, "write", write)
        with pytest.raises(Interrupted):
            train(config)
    found, points = from_mlflow(config.run.folder / "interrupted", features.parent / "elsewhere.db")
    assert found.info.status == "KILLED"
    assert points["loss"][0][0] == 2
    assert not (config.run.folder / "mlflow.db").exists()


def test_a_logger_that_fails_does_not_stop_the_training(
    features: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    pytest.importorskip("mlflow")
    written_by = loggers._Mlflow.write

    def write(self: loggers._Mlflow, values: dict[str, float], step: int) -> None:
        if step > 4:
            raise OSError("the server\nis gone")
        written_by(self, values, step)

    monkeypatch.setattr(loggers._Mlflow, "write", write)
    run = train(configure(features, *RANDOM, "training.loggers=[tensorboard,mlflow]", "run.name=goes_on"))
    assert said_above(caplog, logging.INFO) == ["MLflow is switched off from step 5 on, training continues: the server is gone"]
    assert max(step for step, _ in from_tensorboard(run.path)["train_loss"]) == 15
    found, points = from_mlflow(run.path)
    assert [step for step, _ in points["loss"]] == [2, 4]
    assert found.info.status == "FAILED"


def test_what_cannot_begin_is_said_before_the_run_folder_is_made(
    features: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("NETRC", str(features.parent / "no-netrc"))
    config = configure(features, "training.loggers=[wandb]", "run.name=none")
    with pytest.raises(UserError, match=r"training.loggers=wandb: .* cannot start: .*[Nn]o API key.* set WANDB_MODE=offline"):
        train(config)
    assert not (config.run.folder / "none" / "run.json").exists()


@pytest.mark.slow
def test_a_server_that_is_gone_stops_a_new_run_alone(
    features: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    config = configure(features, *RANDOM, MLFLOW, "run.name=resumed")
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "_finish_step", 9, before=False)
        with pytest.raises(Killed):
            train(config)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    train(config, resume=True)
    assert "MLflow cannot continue its run" in caplog.text
    with pytest.raises(UserError, match=r"training.loggers=mlflow: MLflow cannot start: .* Is MLFLOW_TRACKING_URI right?"):
        train(configure(features, MLFLOW, "run.name=new"))
    assert "secret" not in caplog.text


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_library_that_is_missing_is_one_line(
    features: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    find = loggers.importlib.util.find_spec
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda asked: None if asked == name else find(asked))
    arguments = ["train", "jsonl", f"dataset.path={features}", f"training.loggers=[{name}]", "run.name=none"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert 'pip install "vqa-rnn[loggers]"' in error
    assert not Path("runs/none").exists()


def test_loggers_are_chosen_in_the_config():
    assert load_config("easy_vqa").training.loggers == ("tensorboard",)
    assert load_config("easy_vqa", ["training.loggers=[]"]).training.loggers == ()
    assert load_config("easy_vqa", ["training.loggers=[mlflow,wandb]"]).training.loggers == ("mlflow", "wandb")
    with pytest.raises(UserError, match=r"training\.loggers.*twice"):
        load_config("easy_vqa", ["training.loggers=[mlflow,mlflow]"])
    with pytest.raises(UserError, match=r"unknown value for training\.loggers 'comet' .known: mlflow, tensorboard, wandb."):
        load_config("easy_vqa", ["training.loggers=[comet]"])
