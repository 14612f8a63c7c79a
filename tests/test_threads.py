"""How many threads compute, and how they wait."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import configure
from vqa_rnn import threads
from vqa_rnn.commands.train import train
from vqa_rnn.engines import Training
from vqa_rnn.errors import UserError
from vqa_rnn.threads import PRODUCTS_A_THREAD, choose_threads, wait_passively


def test_threads_wait_passively_for_openmp_of_either_make():
    environment: dict[str, str] = {}
    wait_passively(environment)
    assert environment == {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_a_policy_of_the_user_stays(name: str):
    environment = {name: "ACTIVE"}
    wait_passively(environment)
    assert environment == {name: "ACTIVE"}


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP tells its settings")
@pytest.mark.parametrize("module", ["vqa_rnn.cli", "vqa_rnn.models", "vqa_rnn.features.store"])
def test_the_policy_is_settled_before_torch_is_loaded(module: str):
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    code = f"import sys, {module}; import torch"
    result = subprocess.run(
        [sys.executable, "-c", code], env={**own, "OMP_DISPLAY_ENV": "verbose"}, capture_output=True, text=True, check=True
    )
    if "GOMP_SPINCOUNT" not in result.stderr:
        pytest.skip("another make of OpenMP")
    assert "GOMP_SPINCOUNT = '0'" in result.stderr
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in result.stderr


@pytest.mark.parametrize(
    ("products", "processors", "processes", "expected"),
    [
        (PRODUCTS_A_THREAD // 10, 8, 1, 1),
        (PRODUCTS_A_THREAD * 3, 8, 1, 3),
        (PRODUCTS_A_THREAD * 30, 8, 1, 8),
        (PRODUCTS_A_THREAD * 30, 8, 4, 2),
        (PRODUCTS_A_THREAD * 30, 8, 16, 1),
    ],
)
def test_threads_by_the_work(products: int, processors: int, processes: int, expected: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "num_cpus", lambda: processors)
    assert choose_threads(products, processes) == expected


def test_openmp_s_own_variable_comes_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5,2")
    assert choose_threads(0) == 5
    monkeypatch.setenv("OMP_NUM_THREADS", "none")
    assert choose_threads(0) == 1


def test_a_run_computes_with_its_threads_and_keeps_them_when_it_is_resumed(features: Path, monkeypatch: pytest.MonkeyPatch):
    seen = []
    run = Training.run

    def count(self: Training) -> None:
        seen.append(torch.get_num_threads())
        run(self)

    monkeypatch.setattr(Training, "run", count)
    before = torch.get_num_threads()
    trained = train(configure(features, "training.num_threads=3", "training.max_epochs=1"))
    assert trained.threads == 3
    assert json.loads((trained.path / "environment.json").read_text())["threads"] == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    (trained.path / "checkpoints" / trained.checkpoints[0].name).unlink()  # begins anew
    train(configure(features, "training.num_threads=3", "training.max_epochs=1"), resume=True)
    assert seen == [3, 3]
    assert torch.get_num_threads() == before
    with pytest.raises(UserError, match="num_threads"):
        train(configure(features, "training.num_threads=2", "training.max_epochs=1"), resume=True)
