"""In what training computes where the config leaves it open."""

import logging
from pathlib import Path

import pytest
import torch

from tests.conftest import configure
from vqa_rnn import precision
from vqa_rnn.commands.train import train
from vqa_rnn.precision import Precision, auto_precision


@pytest.mark.parametrize(
    ("device", "native", "chosen"),
    [
        ("cpu", "bfloat16", "float32"),
        ("cpu", "float32", "float32"),
        ("cuda", "bfloat16", "bfloat16"),
        ("cuda", "float32", "float32"),
    ],
)
def test_auto_is_a_rule(device: str, native: Precision, chosen: Precision, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(precision, "native_precision", lambda device: native)
    assert auto_precision(torch.device(device)) == chosen


def test_auto_trains_in_float32_on_a_cpu_that_has_bfloat16(features: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(precision, "native_precision", lambda device: "bfloat16")
    run = train(configure(features, "training.precision=auto", "training.max_epochs=1", "run.device=cpu"))
    assert run.precision == "float32"


def test_a_precision_that_the_processor_has_not_is_taken_and_said_to_be_slow(
    features: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("vqa_rnn.commands.train.native_precision", lambda device: "float32")
    with caplog.at_level(logging.WARNING, "vqa_rnn"):
        run = train(configure(features, "training.precision=bfloat16", "training.max_epochs=1"))
    assert run.precision == "bfloat16"
    assert [record.getMessage() for record in caplog.records if "many times faster" in record.getMessage()] != []
