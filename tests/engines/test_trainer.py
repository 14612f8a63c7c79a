import math

import pytest
import torch

from vqa_rnn.config import TrainingConfig
from vqa_rnn.engines.trainer import build_optimizer, build_schedule, build_trainer
from vqa_rnn.errors import UserError


def test_schedule_rises_along_a_line_and_falls_along_a_cosine() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = build_schedule(optimizer, TrainingConfig(warmup_fraction=0.2), num_steps=10)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    cosine = [0.5 * (1 + math.cos(math.pi * i / 8)) for i in range(8)]
    assert rates == pytest.approx([0.5, 1.0, *cosine], abs=1e-12)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


def test_weight_decay_spares_biases() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    decayed, spared = build_optimizer(model, TrainingConfig(weight_decay=0.3)).param_groups  # type: ignore[arg-type]
    assert [p.dim() for p in decayed["params"]] == [2, 2]
    assert decayed["weight_decay"] == 0.3
    assert [p.dim() for p in spared["params"]] == [1, 1]
    assert spared["weight_decay"] == 0


class OneNumber(torch.nn.Module):
    """A model whose loss is what the batch says."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, batch: "FakeBatch") -> torch.Tensor:
        return self.weight * batch.value

    def loss(self, logits: torch.Tensor, batch: "FakeBatch") -> torch.Tensor:
        return logits


class FakeBatch:
    num_questions = 3

    def __init__(self, value: float) -> None:
        self.value = value

    def to(self, device: torch.device, non_blocking: bool = False) -> "FakeBatch":
        return self


def _trainer(model: OneNumber, clip_norm: float | None):  # type: ignore[no-untyped-def]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    return build_trainer(
        model,  # type: ignore[arg-type]
        optimizer,
        schedule,
        device=torch.device("cpu"),
        precision="float32",
        clip_norm=clip_norm,
    )


@pytest.mark.parametrize(("clip_norm", "weight"), [(None, 1 - 0.1 * 10), (2.0, 1 - 0.1 * 2)])
def test_a_step_clips_the_gradient_norm(clip_norm: float | None, weight: float) -> None:
    model = OneNumber()
    trainer = _trainer(model, clip_norm)
    trainer.run([FakeBatch(10.0)], max_epochs=1)
    assert model.weight.item() == pytest.approx(weight, abs=1e-5)
    assert trainer.state.output[1] == 3


def test_a_loss_that_is_not_finite_stops_before_the_weights_change() -> None:
    model = OneNumber()
    with pytest.raises(UserError, match="loss is nan at step 2"):
        _trainer(model, None).run([FakeBatch(1.0), FakeBatch(math.nan)], max_epochs=1)
    assert model.weight.item() == pytest.approx(0.9)
