"""The metrics as Ignite metrics."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from ignite.exceptions import NotComputableError

from vqa_rnn.metrics.ignite import QuestionScores

WORKER = """
import json, sys
import ignite.distributed as idist
import numpy as np, torch
from pathlib import Path
from vqa_rnn.metrics.ignite import QuestionScores
from vqa_rnn.metrics.visdial import ndcg, rank_choices, rank_metrics

def work(rank, folder):
    generator = np.random.default_rng(0)
    scores, relevance = generator.normal(size=(37, 100)), generator.integers(0, 3, size=(37, 100)) / 2
    relevance[::4] = 0
    ranks = rank_choices(scores)
    values = rank_metrics(ranks[:, 7]) | {"ndcg": ndcg(ranks, relevance)}
    mine = np.arange(37)[rank :: idist.get_world_size()][::-1].copy()
    found = {}
    for name, value in values.items():
        metric = QuestionScores(37)
        for part in np.array_split(mine, 3):
            metric.update((torch.from_numpy(part), torch.from_numpy(value[part])))
        found[name] = metric.compute()
    wrong = QuestionScores(37)
    wrong.update((torch.arange(37), torch.zeros(37)))
    if idist.get_world_size() > 1:
        try:
            wrong.compute()
        except RuntimeError as error:
            found["error"] = str(error)
    Path(folder, f"{idist.get_world_size()}-{rank}.json").write_text(json.dumps(found))

if __name__ == "__main__":
    if sys.argv[1] == "1":
        work(0, sys.argv[2])
    else:
        idist.spawn("gloo", work, (sys.argv[2],), nproc_per_node=2)
"""


def pair(index: list[int], scores: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(index, dtype=torch.int64), torch.tensor(scores)


def test_the_worked_example():
    metric = QuestionScores(3)
    metric.update(pair([2, 0], [1.0, 0.0]))
    metric.update(pair([1], [1.0]))
    assert metric.compute() == 2 / 3


def test_reset_forgets():
    metric = QuestionScores(1)
    metric.update(pair([0], [1.0]))
    metric.reset()
    metric.update(pair([0], [0.25]))
    assert metric.compute() == 0.25


def test_a_question_that_is_left_out_or_counted_twice_is_found_out():
    metric = QuestionScores(2)
    metric.update(pair([1], [1.0]))
    with pytest.raises(RuntimeError, match="question 0 of 2 was scored 0 times"):
        metric.compute()
    metric.update(pair([0, 1], [1.0, 1.0]))
    with pytest.raises(RuntimeError, match="question 1 of 2 was scored 2 times"):
        metric.compute()


def test_a_score_that_does_not_apply_is_left_out():
    metric = QuestionScores(3)
    metric.update(pair([0, 1, 2], [0.5, float("nan"), 1.0]))
    assert metric.compute() == 0.75
    metric.reset()
    metric.update(pair([0, 1, 2], [float("nan")] * 3))
    with pytest.raises(NotComputableError, match="at least one question"):
        metric.compute()
    with pytest.raises(NotComputableError, match="at least one question"):
        QuestionScores(0).compute()


def test_the_mean_does_not_depend_on_the_batches_or_their_order():
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(10_001, generator=generator)
    means = set()
    for size in (1, 7, 10_001):
        metric = QuestionScores(10_001)
        for batch in torch.randperm(10_001, generator=generator).split(size):
            metric.update((batch, scores[batch]))
        means.add(metric.compute())
    assert means == {scores.double().mean().item()}


def test_scores_may_carry_gradients_and_any_float_type():
    metric = QuestionScores(4)
    metric.update((torch.tensor([0, 1]), torch.tensor([1.0, 0.0], requires_grad=True)))
    metric.update((torch.tensor([2, 3]), torch.tensor([1.0, 1.0], dtype=torch.bfloat16)))
    assert metric.compute() == 0.75


def test_an_engine_starts_every_run_afresh():
    engine = Engine(lambda engine, batch: {"scores": batch})
    QuestionScores(2, output_transform=lambda output: output["scores"]).attach(engine, "accuracy")
    assert engine.run([pair([0], [1.0]), pair([1], [0.0])]).metrics["accuracy"] == 0.5
    assert engine.run([pair([1, 0], [0.0, 0.0])]).metrics["accuracy"] == 0.0


def test_the_state_can_be_saved_and_taken_up():
    metric, other = QuestionScores(3), QuestionScores(3)
    metric.update(pair([0, 2], [1.0, 0.0]))
    other.load_state_dict(metric.state_dict())
    other.update(pair([1], [1.0]))
    assert other.compute() == 2 / 3


@pytest.mark.slow
def test_two_processes_with_an_odd_number_of_questions_give_exactly_what_one_gives(tmp_path: Path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER, encoding="utf-8")
    for number in ("1", "2"):
        subprocess.run([sys.executable, str(script), number, str(tmp_path)], check=True, timeout=240, capture_output=True)
    alone, first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("1-0", "2-0", "2-1"))
    assert first.pop("error") == second.pop("error") == "question 0 of 37 was scored 2 times"
    assert set(alone) == {"r@1", "r@5", "r@10", "mean_rank", "mrr", "ndcg"}
    assert alone == first == second  # to the last bit
