"""The benchmarks still run, at a size where their figures mean nothing."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "scripts" / "benchmarks"
SMALL = {
    "cells": ["--batch", "4", "--input", "4", "--hidden", "4", "--rounds", "1"],
    "dialog": ["--dialogs", "20", "--hidden", "8", "--only", "evaluation"],
    "dropout": ["--rounds", "1"],
    "encode": ["--dialogs", "5"],
    "parts": ["--only", "none", "sum", "film", "--questions", "2", "--rounds", "1"],
    "loader": ["--images", "60", "--workers", "0"],
    "score_captions": ["--images", "6", "--references", "2", "--rounds", "1"],
    "score_visdial": ["--dialogs", "4"],
    "score_vqa": ["--questions", "200", "--rounds", "1"],
}


def test_the_benchmark_of_language_models(tmp_path: Path):
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog\n" * 400)
    options = ["--minutes", "0.001", "--hidden", "4", "--layers", "1", "--rounds", "1", "--seconds", "0.01", "--json"]
    command = [sys.executable, FOLDER / "language_model.py", text, *options]
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert 0 < result["package_bits"] < 10
    assert 0 < result["loop_bits"] < 10


@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_runs_and_prints_one_object(name: str, tmp_path: Path):
    command = [sys.executable, FOLDER / f"{name}.py", *SMALL[name], "--json"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)


def test_every_part_can_be_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    script = runpy.run_path(str(FOLDER / "parts.py"))
    assert {"bilinear", "mfh", "mfb_attention", "mac", "word_attention"} <= set(script["NAMES"])
    for name in script["NAMES"]:
        script["config_of"](name)


def test_one_of_the_trainings_side_by_side():
    command = [sys.executable, FOLDER / "side_by_side.py", "--train", "easy_vqa", "--seconds", "0.1"]
    found = subprocess.run(command, input="go\n", capture_output=True, text=True, check=True)
    said, rate = found.stdout.split()
    assert said == "ready"
    assert float(rate) > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="for where there is no GPU")
def test_the_check_of_a_gpu_says_that_there_is_none():
    found = subprocess.run([sys.executable, FOLDER.parent / "gpu" / "check.py"], capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert found.stderr == "torch finds no GPU here: this check needs one\n"
    assert found.stdout == ""
