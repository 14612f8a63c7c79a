"""``scripts/ablations.py``: a grid over seeds and over folds, gone on with where it stopped."""

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import TINY, configure, run_script
from vqa_rnn.commands.train import train
from vqa_rnn.config import Config, run_path

SCRIPT = Path(__file__).parents[1] / "scripts" / "ablations.py"


def written(grid: dict[str, Any], questions: Path) -> list[str]:
    """Write a grid; the arguments that train it."""
    path = questions.parent / "small.yaml"
    path.write_text(yaml.safe_dump(grid, sort_keys=False))
    return [str(path), *TINY, f"dataset.path={questions}", "training.max_epochs=1"]


def run(grid: dict[str, Any], questions: Path, *, code: int = 0, output: str = "--json") -> tuple[str, str]:
    found = subprocess.run(
        [sys.executable, SCRIPT, *written(grid, questions), *output.split(), "--jobs", "1"],
        cwd=questions.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == code, found.stderr
    return found.stdout, found.stderr


@pytest.mark.slow
def test_a_grid_over_seeds_is_set_beside_its_first_and_is_not_trained_again(features: Path):
    grid = {
        "config": "jsonl",
        "split": "val",
        "seeds": 2,
        "variants": [
            {"model.question.cell": "lstm"},
            {"model.question.cell": ["elman"], "model.question.num_layers": [1, 2]},
        ],
    }
    report = json.loads(run(grid, features)[0])
    assert list(report["variants"]) == ["lstm", "elman-1", "elman-2"]
    first, second = report["variants"]["lstm"], report["variants"]["elman-2"]
    assert "difference" not in first
    assert set(first["above_floors"]) == {"most_frequent_answer", "question_prefix", "question_string", "images_shuffled"}
    assert len(second["by_seed"]) == 2
    assert second["metrics"]["accuracy"] == pytest.approx(sum(second["by_seed"]) / 2)
    assert set(second["above_floors"]) == {"most_frequent_answer", "question_prefix", "question_string"}
    gain = second["difference"]["accuracy"]["gain"]
    assert gain == pytest.approx(second["metrics"]["accuracy"] - first["metrics"]["accuracy"])
    assert second["weights"] > report["variants"]["elman-1"]["weights"]
    assert second["training_seconds"] > 0
    runs = sorted((features.parent / "runs/small").iterdir())
    assert len(runs) == 6
    _, refused = run({**grid, "overrides": ["model.feature_dropout=0.5"]}, features, code=2)
    assert "was trained with" in refused
    changed = {path: path.stat().st_mtime_ns for path in (features.parent / "runs/small").glob("*/model.safetensors")}
    (runs[0] / "finished").unlink()  # as if it had been stopped in this one
    again, said = run(grid, features)
    assert said.count("all epochs are done") == 1
    assert (runs[0] / "finished").exists()
    assert json.loads(again)["variants"].keys() == report["variants"].keys()
    after = {path: path.stat().st_mtime_ns for path in changed}
    assert after == changed


@pytest.mark.slow
def test_runs_side_by_side_give_what_they_give_one_after_the_other(features: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    from repeats import train_side_by_side

    def configs(name: str) -> list[Config]:
        cells = ("gru", "lstm")
        return [
            configure(features, f"model.question.cell={cell}", f"run.name={name}-{cell}", "training.max_epochs=1")
            for cell in cells
        ]

    train_side_by_side(configs("together"), jobs=2)
    for together, apart in zip(configs("together"), configs("apart"), strict=True):
        weights = train(apart).model_path.read_bytes()
        assert (run_path(together) / "model.safetensors").read_bytes() == weights
        assert (run_path(together) / "finished").exists()


def test_no_worker_outlives_the_process_that_started_it():
    program = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from repeats import _start_worker
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_start_worker)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent)}
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    assert int(parent.stdout.readline()) != parent.pid
    parent.kill()
    parent.communicate(timeout=30)  # until the worker, too, has let go of its output


@pytest.mark.slow
def test_a_value_may_be_a_list(features: Path):
    grid = {"config": "jsonl", "split": "val", "variants": [{"features.mean": [[0.5, 0.5, 0.25]]}]}
    assert list(json.loads(run(grid, features)[0])["variants"]) == ["0.5+0.5+0.25"]
    assert (features.parent / "runs/small/0.5+0.5+0.25-seed0").is_dir()


@pytest.mark.slow
def test_folds_are_pooled_so_that_every_question_counts_once(features: Path):
    grid = {"config": "jsonl", "folds": 2, "variants": [{"model.ablate": "none"}, {"model.ablate": "question_only"}]}
    report = json.loads(run(grid, features)[0])
    for variant in report["variants"].values():
        assert (variant["num_questions"], variant["num_images"]) == (20, 10)
    blind_first = {**grid, "variants": grid["variants"][::-1]}
    again = json.loads(run(blind_first, features)[0])["variants"]
    assert "images_shuffled" not in again["question_only"]["floors"], "it sees none"
    shuffled = again["none"]["floors"]["images_shuffled"]
    assert shuffled == report["variants"]["none"]["floors"]["images_shuffled"]
    assert f"{100 * shuffled['accuracy']:.2f}%" in run(blind_first, features, output="")[0]
    assert (features.parent / "runs/small/question_only-seed0-fold1of2").is_dir()


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"config": "jsonl"}, "variants"),
        ({"config": "jsonl", "variants": [{}], "fold": 3}, "fold"),
        ({"config": "jsonl", "variants": [{}], "folds": 2, "split": "val"}, "both folds and a split"),
        (
            {"config": "jsonl", "split": "val", "variants": [{"dataset.split_seed": 0}, {"dataset.split_seed": 1}]},
            "other questions than the first",
        ),
        ({"config": "jsonl", "variants": [{"model.question.cell": "lstm"}, {"model.question.cell": ["lstm"]}]}, "called lstm"),
        ({"config": "jsonl", "variants": [{"model.question.cell": "lst"}]}, "did you mean 'lstm'"),
        (
            {"config": "jsonl", "split": "val", "variants": [{"model.question.cell": ["gru", "elmann"]}]},
            "error: variant elmann: unknown value for model.question.cell 'elmann': did you mean 'elman'?",
        ),
        ({"config": "jsonl", "variants": [{"model.question.cell": []}]}, "variants: model.question.cell has an empty list"),
        ({"config": "jsonl", "variants": [{"model.question.cell": datetime.date(2020, 1, 1)}]}, "variants"),
        ({"config": "jsonl", "variants": [{"run.seed": [1, 2]}]}, "run.seed is given by the grid itself: set seeds"),
        ({"config": "jsonl", "overrides": ["dataset.folds=3"], "variants": [{}]}, "dataset.folds is given by the grid itself"),
        ({"config": 3, "variants": [{}]}, "config"),
        ({}, "config"),
    ],
)
def test_a_grid_that_is_wrong_gets_one_line(
    grid: dict[str, Any], words: str, features: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(features.parent)
    assert run_script(SCRIPT, [*written(grid, features), "--json", "--jobs", "1"], monkeypatch) == 2
    said = capsys.readouterr().err
    line = said.splitlines()[-1]
    assert line.startswith("error: ")
    assert "Traceback" not in said
    assert words in line
    if "variant elmann" in words:
        assert not Path(features.parent / "runs").exists(), "nothing is trained before all variants are checked"
