"""Optimizers and schedules by name."""

import math

import pytest
import torch

from vqa_rnn.config import (
    AdamaxOptimizer,
    ConstantSchedule,
    CosineSchedule,
    ExponentialSchedule,
    MemoryHistory,
    ModelConfig,
    RecurrentTextEncoder,
    Schedule,
    SgdOptimizer,
    StepSchedule,
    TrainingConfig,
)
from vqa_rnn.engines.optimization import OPTIMIZERS, DeviceAdamax, build_optimizer, build_schedule, step_unless
from vqa_rnn.models import ModelSizes, VqaModel


def rates(schedule: Schedule, num_epochs: int = 5, steps_per_epoch: int = 2) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    config = TrainingConfig(schedule=schedule, max_epochs=num_epochs)
    built = build_schedule(optimizer, config, steps_per_epoch)
    found = []
    for _ in range(num_epochs * steps_per_epoch):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        built.step()
    return [*found, optimizer.param_groups[0]["lr"]]


def test_cosine_rises_along_a_line_and_falls_to_zero():
    cosine = [0.5 * (1 + math.cos(math.pi * i / 8)) for i in range(8)]
    assert rates(CosineSchedule(warmup_fraction=0.2)) == pytest.approx([0.5, 1.0, *cosine, 0.0], abs=1e-12)


def test_steps_drop_after_their_epochs_also_after_half_of_one():
    found = rates(StepSchedule(warmup_fraction=0.0, milestones=(1.5, 4), factor=0.1))
    assert found == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01])
    assert rates(StepSchedule(warmup_fraction=0.2, milestones=(3,)))[:3] == [0.5, 1.0, 1.0]


def test_exponential_falls_by_the_same_factor_each_step_down_to_the_lowest():
    found = rates(ExponentialSchedule(factor=0.25, lowest=0.02))
    assert found == pytest.approx([1, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.02, 0.02, 0.02, 0.02, 0.02])


def test_constant_stays_after_its_warm_up():
    assert rates(ConstantSchedule()) == [1.0] * 11
    assert rates(ConstantSchedule(warmup_fraction=0.4)) == [0.25, 0.5, 0.75] + [1.0] * 8


@pytest.mark.parametrize(("rate", "share"), [(0, None), (0.1, 0.1), (1, 1.0)])
def test_only_word_vectors_have_the_rate_of_word_vectors(rate: float, share: float | None):
    config = ModelConfig(history=MemoryHistory(), question=RecurrentTextEncoder(embedding_size=6, hidden_size=8))
    model = VqaModel(config, ModelSizes(vocabulary_size=5, feature_size=3, num_answers=2))
    optimizer = build_optimizer(model, TrainingConfig(word_vectors_rate=rate, learning_rate=1.0))
    groups = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    others = {id(parameter): parameter for parameter in model.parameters()}
    words = groups.get(id(others.pop(id(model.question_encoder.word_vectors.weight))))
    assert (words and words["lr"]) == share
    assert {groups[place]["lr"] for place in others} == {1.0}
    assert all((groups[place]["weight_decay"] > 0) == (parameter.dim() > 1) for place, parameter in others.items())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_downhill(name: str):
    model = torch.nn.Linear(3, 1)
    config = TrainingConfig(optimizer={"name": name}, learning_rate=0.02, weight_decay=0)
    optimizer = build_optimizer(model, config)
    inputs = torch.eye(3)
    losses = []
    for _ in range(30):
        loss = (model(inputs) - 1).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def train(model: torch.nn.Linear, optimizer: torch.optim.Optimizer, gradients: list[float], step) -> None:  # type: ignore[no-untyped-def]
    for value in gradients:
        model.weight.grad = value * torch.arange(1.0, 4.0)[None]
        model.bias.grad = torch.full((1,), value)
        step(optimizer, torch.tensor(not math.isfinite(value)))


def same_state(one: torch.optim.Optimizer, other: torch.optim.Optimizer) -> bool:
    states = [[state for _, state in sorted(each.state_dict()["state"].items())] for each in (one, other)]
    return all(torch.equal(a[key], b[key]) for a, b in zip(*states, strict=True) for key in a)


@pytest.mark.parametrize(("name", "momentum"), [*((name, {}) for name in OPTIMIZERS), ("sgd", {"momentum": 0.9})])
def test_a_step_that_is_left_out_changes_nothing(name: str, momentum: dict[str, float]):
    trained = []
    for gradients in ([math.nan, 1.0, -2.0, math.inf, 0.5], [1.0, -2.0, 0.5]):
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 1)
        optimizer = build_optimizer(model, TrainingConfig(optimizer={"name": name, **momentum}))
        train(model, optimizer, gradients, lambda optimizer, skip: step_unless(skip, optimizer))
        trained.append((model, optimizer))
    (one, of_one), (other, of_other) = trained
    assert torch.equal(one.weight, other.weight)
    assert same_state(of_one, of_other)


def test_adamax_on_a_device_is_that_of_torch():
    trained = []
    for optimizer_class in (DeviceAdamax, torch.optim.Adamax):
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 1)
        optimizer = optimizer_class(model.parameters(), lr=0.1, weight_decay=0.1)
        if isinstance(optimizer, DeviceAdamax):
            train(model, optimizer, [1.0, math.nan, -2.0, 0.5], lambda o, skip: o.step_on_device(skip.float()))
            whole = [value.clone() for state in optimizer.state.values() for value in state.values()]
            train(model, optimizer, [math.inf], lambda o, skip: o.step_on_device(skip.float()))
            assert all(map(torch.equal, whole, [v for state in optimizer.state.values() for v in state.values()]))
        else:
            train(model, optimizer, [1.0, -2.0, 0.5], lambda o, skip: o.step())
        trained.append(model)
    torch.testing.assert_close(trained[0].weight, trained[1].weight, rtol=1e-6, atol=1e-7)


def test_options_reach_the_optimizer():
    model = torch.nn.Linear(2, 1)
    sgd = build_optimizer(model, TrainingConfig(optimizer=SgdOptimizer(momentum=0.8, nesterov=True)))
    assert (sgd.defaults["momentum"], sgd.defaults["nesterov"]) == (0.8, True)
    adamax = build_optimizer(model, TrainingConfig(optimizer=AdamaxOptimizer(betas=(0.5, 0.6))))
    assert adamax.defaults["betas"] == (0.5, 0.6)


def test_weight_decay_spares_biases():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    decayed, spared = build_optimizer(model, TrainingConfig(weight_decay=0.3)).param_groups
    assert [p.dim() for p in decayed["params"]] == [2, 2]
    assert decayed["weight_decay"] == 0.3
    assert [p.dim() for p in spared["params"]] == [1, 1]
    assert spared["weight_decay"] == 0
