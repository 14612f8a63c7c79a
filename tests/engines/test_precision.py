"""In what training computes where the config leaves it open."""

import logging
from pathlib import Path

import pytest
import torch

from tests.conftest import configure
from vqa_rnn.commands.train import train
from vqa_rnn.engines import precision
from vqa_rnn.engines.precision import faster_precision
from vqa_rnn.precision import Precision

CPU = torch.device("cpu")


class Model(torch.nn.Module):
    """Counts the steps in each precision, and draws a random number a step, as dropout does."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.steps: dict[bool, int] = {False: 0, True: 0}

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.steps[torch.is_autocast_enabled("cpu")] += 1
        return self.weight * batch * torch.rand(())

    def loss(self, logits: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        return logits


@pytest.mark.parametrize(("native", "steps"), [("float32", 0), ("bfloat16", 4)])
def test_both_are_timed_where_the_processor_has_both(native: Precision, steps: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(precision, "native_precision", lambda device: native)
    model, before = Model(), torch.get_rng_state()
    found = faster_precision(model, torch.ones(()), CPU)  # type: ignore[arg-type]
    assert found == "float32" or native == "bfloat16"
    assert model.steps == {False: steps, True: steps}
    assert model.weight.grad is None
    assert torch.equal(torch.get_rng_state(), before)


def test_a_precision_that_the_processor_has_not_is_taken_and_said_to_be_slow(
    features: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("vqa_rnn.commands.train.native_precision", lambda device: "float32")
    with caplog.at_level(logging.WARNING, "vqa_rnn"):
        run = train(configure(features, "training.precision=bfloat16", "training.max_epochs=1"))
    assert run.precision == "bfloat16"
    assert [record.getMessage() for record in caplog.records if "many times faster" in record.getMessage()] != []
