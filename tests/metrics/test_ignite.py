"""The metrics as Ignite metrics."""

import pytest
import torch
from ignite.engine import Engine
from ignite.exceptions import NotComputableError

from vqa_rnn.metrics.ignite import MeanScore


def test_the_worked_example():
    metric = MeanScore()
    metric.update(torch.tensor([1.0, 0.0]))
    metric.update(torch.tensor([1.0]))
    assert metric.compute() == pytest.approx(2 / 3, abs=1e-15)


def test_reset_forgets():
    metric = MeanScore()
    metric.update(torch.tensor([1.0, 1.0]))
    metric.reset()
    with pytest.raises(NotComputableError, match="at least one question"):
        metric.compute()
    metric.update(torch.tensor([0.25]))
    assert metric.compute() == 0.25


def test_an_empty_batch_changes_nothing():
    metric = MeanScore()
    metric.update(torch.tensor([]))
    metric.update(torch.tensor([0.5]))
    assert metric.compute() == 0.5


def test_sums_do_not_depend_on_the_batches():
    scores = torch.rand(10_000, generator=torch.Generator().manual_seed(0))
    means = []
    for size in (1, 7, 10_000):
        metric = MeanScore()
        for batch in scores.split(size):
            metric.update(batch)
        means.append(metric.compute())
    assert means == pytest.approx([scores.double().mean().item()] * 3, abs=1e-13)


def test_scores_may_carry_gradients_and_any_float_type():
    metric = MeanScore()
    metric.update(torch.tensor([1.0, 0.0], requires_grad=True))
    metric.update(torch.tensor([1.0, 1.0], dtype=torch.bfloat16))
    assert metric.compute() == 0.75


def test_an_engine_starts_every_run_afresh():
    engine = Engine(lambda engine, batch: {"scores": batch})
    MeanScore(output_transform=lambda output: output["scores"]).attach(engine, "accuracy")
    assert engine.run([torch.tensor([1.0, 0.0]), torch.tensor([1.0])]).metrics["accuracy"] == pytest.approx(2 / 3)
    assert engine.run([torch.tensor([0.0])]).metrics["accuracy"] == 0.0


def test_the_state_can_be_saved_and_taken_up():
    metric, other = MeanScore(), MeanScore()
    metric.update(torch.tensor([1.0, 0.0]))
    other.load_state_dict(metric.state_dict())
    other.update(torch.tensor([1.0]))
    assert other.compute() == pytest.approx(2 / 3)
