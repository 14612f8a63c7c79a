"""``vqa-rnn sweep``: options tried on validation, resumable."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import TINY
from vqa_rnn.cli import main
from vqa_rnn.commands import sweep as sweeping
from vqa_rnn.commands.sweep import Span, parse_span, sweep
from vqa_rnn.errors import UserError

OVER = ["training.learning_rate=0.0001..0.03", "model.fusion.hidden_size=8|16", "training.batch_size=4..8"]


def options(questions: Path) -> list[str]:
    return [f"dataset.path={questions}", "dataset.validation_fraction=0.4", *TINY, "training.max_epochs=2"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training.learning_rate=0.0005..5e-3", Span("training.learning_rate", 0.0005, 0.005)),
        ("model.fusion.dropout=0..0.5", Span("model.fusion.dropout", 0.0, 0.5)),
        ("training.batch_size=16..128", Span("training.batch_size", 16, 128)),
        ("model.fusion.name=product|mfb", Span("model.fusion.name", choices=("product", "mfb"))),
        (
            "features.layers=[blocks.4]|[blocks.4,blocks.6]",
            Span("features.layers", choices=("[blocks.4]", "[blocks.4,blocks.6]")),
        ),
    ],
)
def test_what_is_tried_is_read(text: str, expected: Span):
    assert parse_span(text) == expected


def test_wide_ranges_are_logarithmic():
    assert parse_span("a.b=0.001..0.01").is_log
    assert parse_span("a.b=1..100").is_log
    assert not parse_span("a.b=0..0.5").is_log
    assert not parse_span("a.b=64..256").is_log
    assert not parse_span("a.b=x|y").is_log


@pytest.mark.parametrize("text", ["a.b", "a.b=1", "a.b=2..1", "a.b=x|x", "a.b=x|", "=1..2", "a.b=1..x"])
def test_what_cannot_be_tried_is_refused(text: str):
    with pytest.raises(UserError, match="--over"):
        parse_span(text)


def test_it_tries_compares_and_draws(own_questions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(own_questions.parent)
    arguments = ["sweep", "jsonl", *options(own_questions)]
    for each in OVER:
        arguments += ["--over", each]
    assert main([*arguments, "--trials", "4", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    accuracies = [trial["accuracy"] for trial in report["trials"]]
    assert accuracies == sorted(accuracies, reverse=True)
    assert sorted(trial["trial"] for trial in report["trials"]) == [1, 2, 3, 4]
    assert "difference" not in report["trials"][0]
    assert all(trial["difference"] <= 0 for trial in report["trials"][1:])
    for trial in report["trials"]:
        assert 0.0001 <= trial["options"]["training.learning_rate"] <= 0.03
        assert trial["options"]["model.fusion.hidden_size"] in ("8", "16")
        assert 4 <= trial["options"]["training.batch_size"] <= 8
        config = (Path(trial["run"]) / "config.yaml").read_text()
        assert f"batch_size: {trial['options']['training.batch_size']}\n" in config
        assert not (Path(trial["run"]) / "checkpoints").exists()
    with Image.open(report["picture"]) as picture:
        assert picture.width > 1000
    before = Path("sweeps/jsonl/sweep.json").read_text()
    assert main([*arguments, "--trials", "4"]) == 0  # nothing is left to do
    assert Path("sweeps/jsonl/sweep.json").read_text() == before
    text = capsys.readouterr().out
    assert "vqa-rnn train jsonl" in text
    assert "4 trials" in text


class Killed(BaseException):
    """Stands for a kill."""


@pytest.mark.slow
def test_a_sweep_that_was_stopped_ends_as_one_that_was_not(own_questions: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(own_questions.parent)
    whole = sweep("jsonl", options(own_questions), OVER, 4, Path("whole"))
    original = sweeping.train
    calls = []

    def stop_once(config, **arguments):
        calls.append(config.run.name)
        if len(calls) == 2:
            raise Killed
        return original(config, **arguments)

    with monkeypatch.context() as patch:
        patch.setattr(sweeping, "train", stop_once)
        with pytest.raises(Killed):
            sweep("jsonl", options(own_questions), OVER, 4, Path("stopped"))
    found = sweep("jsonl", options(own_questions), OVER, 4, Path("stopped"))
    assert [(trial["trial"], trial["options"], trial["accuracy"]) for trial in found["trials"]] == [
        (trial["trial"], trial["options"], trial["accuracy"]) for trial in whole["trials"]
    ]
    more = sweep("jsonl", options(own_questions), OVER, 5, Path("stopped"))
    assert len(more["trials"]) == 5


def test_a_trial_that_fails_is_left_out(
    own_questions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(own_questions.parent)
    original = sweeping.train

    def fail(config, **arguments):
        if config.run.name != "trial-002":
            raise UserError("the loss is nan at step 1")
        return original(config, **arguments)

    monkeypatch.setattr(sweeping, "train", fail)
    report = sweep("jsonl", options(own_questions), OVER, 3)
    assert [trial["trial"] for trial in report["trials"]] == [2]
    assert report["failed"] == {"1": "the loss is nan at step 1", "3": "the loss is nan at step 1"}
    with pytest.raises(UserError, match="no trial succeeded: the loss is nan"):
        sweep("jsonl", options(own_questions), OVER, 1, Path("all"))


def test_wrong_options_are_said_before_anything_is_trained(own_questions: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(own_questions.parent)
    for over, says in (
        (["training.learning_rte=0.1..0.2"], "learning_rate"),
        (["training.batch_size=0..4"], "training.batch_size"),
        (["model.fusion.name=product|mfx"], "mfx"),
        ([], "give --over key="),
        ([OVER[0], OVER[0]], "once for each option"),
        (["run.seed=0..9"], "a sweep tries options of training, model, text and features"),
        (["dataset.split_seed=0..9"], "a sweep tries options of"),
        (["training.refit=1..2"], "a sweep tries options of"),
        (["training.num_workers=0..2"], "a sweep tries options of"),
    ):
        with pytest.raises(UserError, match=says):
            sweep("jsonl", options(own_questions), over, 2)
    with pytest.raises(UserError, match=r"training\.refit leaves no validation split"):
        sweep("jsonl", [*options(own_questions), "training.refit=1"], OVER, 2)
    assert not Path("sweeps").exists()
    sweep("jsonl", options(own_questions), OVER[:1], 1)
    with pytest.raises(UserError, match=r"holds another sweep, with over .*: give the same again, or another --folder"):
        sweep("jsonl", options(own_questions), OVER, 2)


def test_whole_ends_of_an_option_that_is_none_are_not_whole_numbers(own_questions: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(own_questions.parent)
    report = sweep("jsonl", options(own_questions), ["training.weight_decay=0..1"], 2, seed=20_261_129)
    assert any(0 < trial["options"]["training.weight_decay"] < 1 for trial in report["trials"])


def test_values_with_brackets_are_shown(
    own_questions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(own_questions.parent)
    given = [option for option in options(own_questions) if not option.startswith("features.layers")]
    over = ["--over", "features.layers=[blocks.1]|[blocks.2]"]
    assert main(["sweep", "jsonl", *given, *over, "--trials", "1"]) == 0
    text = capsys.readouterr().out
    assert text.count("[blocks.") == 2  # in the table and in the command
    assert "'features.layers=[blocks." in text
