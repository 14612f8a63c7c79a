"""A step: what it weighs, clips, refuses and leaves behind."""

import math
from typing import Any

import pytest
import torch

from vqa_rnn.config import TrainingConfig
from vqa_rnn.engines import trainer as trainer_module
from vqa_rnn.engines.optimization import Optimization
from vqa_rnn.engines.trainer import Examples, Step, build_trainer
from vqa_rnn.errors import UserError

IDS = [f"q{i}" for i in range(100)]


class FakeBatch:
    """A question is a number; the loss of a question is its number times the weight. NaN counts; None does not."""

    def __init__(self, *values: float | None, first: int = 0) -> None:
        self.values = values
        self.num_examples = len(values)
        self.example_index = torch.arange(first, first + len(values))

    def to(self, device: torch.device, non_blocking: bool = False) -> "FakeBatch":
        return self


class OneNumber(torch.nn.Module):
    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones((), dtype=dtype))

    def forward(self, batch: FakeBatch) -> torch.Tensor:
        return self.weight * torch.tensor([0.0 if v is None else v for v in batch.values], dtype=self.weight.dtype)

    def losses(self, logits: torch.Tensor, batch: FakeBatch) -> tuple[torch.Tensor, torch.Tensor]:
        return logits, torch.tensor([v is not None for v in batch.values])


def trainer_of(  # type: ignore[no-untyped-def]
    model: OneNumber,
    precision: str = "float32",
    optimizer: torch.optim.Optimizer | None = None,
    schedule: torch.optim.lr_scheduler.LambdaLR | None = None,
    **options: Any,
):
    config = TrainingConfig(**{"clip_norm": None, "batch_size": 4, **options})
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    return build_trainer(
        model,  # type: ignore[arg-type]
        Optimization(
            optimizer,
            schedule or torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0),
            torch.amp.GradScaler("cpu", enabled=precision == "float16"),
        ),
        config=config,
        precision=precision,
        device=torch.device("cpu"),
        examples=Examples(IDS),
    )


@pytest.mark.parametrize(
    "parts",
    [
        [FakeBatch(1, 2, 3, 6)],
        [FakeBatch(1), FakeBatch(2, 3, 6)],
        [FakeBatch(), FakeBatch(1, 2), FakeBatch(3, 6)],
        [FakeBatch(1, None, 2, 3), FakeBatch(None, 6)],
    ],
    ids=["whole", "two parts", "an empty part", "some do not count"],
)
def test_the_gradient_is_that_of_the_mean_over_the_questions_that_count(parts: list[FakeBatch]):
    model = OneNumber()
    trainer = trainer_of(model)
    trainer.run([tuple(parts)])
    assert model.weight.item() == pytest.approx(1 - 0.1 * 3)
    output = trainer.state.output
    assert isinstance(output, Step)
    assert output == Step(12.0, 4, pytest.approx(3.0), sum(part.num_examples for part in parts))


@pytest.mark.parametrize(
    ("options", "step"),
    [({}, 10), ({"clip_norm": 2.0}, 2), ({"clip_value": 3.0}, 3), ({"clip_value": 3.0, "clip_norm": 2.0}, 2)],
    ids=["free", "norm", "value", "both"],
)
def test_a_step_clips(options: dict[str, float], step: float):
    model = OneNumber()
    trainer = trainer_of(model, **options)
    trainer.run([(FakeBatch(10.0, 10.0, 10.0, 10.0),)])
    assert model.weight.item() == pytest.approx(1 - 0.1 * step, abs=1e-5)
    assert trainer.state.output.gradient_norm == pytest.approx(10)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_weights_change_and_names_its_questions(wrong: float):
    model = OneNumber()
    batches = [(FakeBatch(1.0, 1.0, 1.0, 1.0),), (FakeBatch(1.0, 1.0), FakeBatch(2.0, wrong, first=7))]
    with pytest.raises(UserError, match=rf"loss is {wrong} at step 2: .* the questions with a non-finite loss are q8;"):
        trainer_of(model).run(batches)
    assert model.weight.item() == pytest.approx(0.9)


def test_a_step_that_failed_is_found_later_as_on_a_gpu_and_nothing_has_changed_since(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trainer_module, "read_every", lambda device, log_steps: 7)
    good = [(FakeBatch(1.0, 2.0), FakeBatch(3.0, first=2))] * 40
    bad = [*good[:29], (FakeBatch(1.0, math.nan), FakeBatch(2.0, first=5)), *good[30:]]
    weights, done = [], []
    for batches in (good[:29], bad):
        model = OneNumber()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.9**step)
        trainer = trainer_of(model, optimizer=optimizer, schedule=schedule)
        if batches is bad:
            with pytest.raises(UserError, match=r"loss is nan at step 30: .* the questions with a non-finite loss are q1;"):
                trainer.run(batches)
            assert trainer.state.iteration == 35
        else:
            trainer.run(batches)
        weights.append(model.weight.item())
        done.append((schedule.last_epoch, optimizer.param_groups[0]["lr"]))
    assert weights[0] == weights[1]
    assert done[0] == done[1]


def test_a_gradient_that_is_not_finite_stops_and_names_the_questions_of_the_step():
    model = OneNumber()
    model.weight.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(UserError, match=r"norm of the gradient is nan at step 1: .* of that step are q0, q1;"):
        trainer_of(model).run([(FakeBatch(1.0, 1.0),)])
    assert model.weight.item() == 1


def test_of_many_questions_the_first_are_named():
    with pytest.raises(UserError, match=r"q0, .*, q19 and 30 more;"):
        trainer_of(OneNumber()).run([(FakeBatch(*[math.nan] * 50),)])


def test_a_step_in_which_no_question_counts_leaves_the_weights():
    model = OneNumber()
    trainer = trainer_of(model)
    trainer.run([(FakeBatch(None, None),)])
    assert model.weight.item() == 1
    assert trainer.state.output == Step(0.0, 0, 0.0, 2)


def test_float16_scales_the_loss_and_skips_a_step_that_overflows():
    model = OneNumber()
    trainer = trainer_of(model, "float16", batch_size=1)
    trainer.run([(FakeBatch(1.0),)])
    assert model.weight.item() == pytest.approx(0.9)
    trainer = trainer_of(model, "float16", batch_size=1)
    trainer.run([(FakeBatch(3e38),), (FakeBatch(1.0),)])  # times the scale this is infinite; the scale then halves
    assert model.weight.item() == pytest.approx(0.8)


def test_float64_stays_float64():
    model = OneNumber(torch.float64)
    trainer = trainer_of(model, "float64")
    trainer.run([(FakeBatch(1.0, 2.0, 3.0),)])
    assert model.weight.item() == pytest.approx(0.8, abs=1e-15)
