"""Several processes do together what one does alone."""

import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import configure, draw_questions
from tests.engines.test_resume import equal, result
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.commands.train import train
from vqa_rnn.config import Config
from vqa_rnn.data.loader import build_loader
from vqa_rnn.data.sampler import QuestionSampler
from vqa_rnn.data.sources import MemoryFeatures
from vqa_rnn.engines import processes
from vqa_rnn.errors import UserError

# 18 questions about 9 images; batches of 5 leave 3 over, cut images in two, and give the processes unlike parts
EXACT = (
    "training.batch_size=5",
    "training.max_epochs=13",
    "training.precision=float64",
    "training.log_steps=1",
    "training.learning_rate=0.003",
    "evaluation.batch_size=3",
    "model.fusion.dropout=0",
    "model.feature_dropout=0",
    "model.question.dropout=0",
    "model.question.word_dropout=0",
    "model.head.dropout=0",
)

DRIVER = """
import os, pickle, signal, sys
from pathlib import Path
from vqa_rnn.cli import main
from vqa_rnn.engines import handlers
finish_step = handlers.Training._finish_step
{lines}
import vqa_rnn.config.files
config = pickle.loads({config!r})
vqa_rnn.config.files.load_config = lambda source, overrides: config
sys.exit(main({arguments!r}))
"""


def launch(
    folder: Path,
    config: Config | None,
    lines: str = "",
    *arguments: str,
    restarts: int = 0,
) -> subprocess.Popen[str]:
    """Start two processes with torchrun."""
    driver = folder / "driver.py"
    command = ["train", "jsonl"] if config else []
    driver.write_text(DRIVER.format(lines=lines, config=pickle.dumps(config), arguments=[*command, *arguments]))
    # without a folder for its logs torchrun leaves one in the temporary directory for good
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", f"--log-dir={folder / 'torchrun'}"]
    torchrun.append(f"--max-restarts={restarts}")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *torchrun, str(driver)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    _, errors = process.communicate(timeout=180)
    assert process.returncode == code, errors
    return errors


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


FILM = "model.reasoning={name: film, hidden_size: 8, kernel_size: 1, joint_size: 8}"


@pytest.mark.parametrize(
    ("extra", "tolerance"),
    [
        pytest.param((), 1e-10, id="float64", marks=pytest.mark.slow),
        pytest.param(
            ("training.accumulation=2", "training.ema_decay=0.9", "model.attention.name=top_down"), 1e-10, id="float64 in parts"
        ),
        pytest.param(("training.group_by_image=false",), 1e-10, id="float64 shuffled", marks=pytest.mark.slow),
        pytest.param(("model.attention.name=none", "model.fusion.name=none", FILM), 1e-8, id="film", marks=pytest.mark.slow),
        # the order of float32 sums differs, and Adam's first steps make much of little: about 1e-6 a step
        pytest.param(("training.precision=float32",), 1e-3, id="float32", marks=pytest.mark.slow),
    ],
)
def test_two_processes_equal_one(features: Path, extra: tuple[str, ...], tolerance: float) -> None:
    logs_before = set(Path(tempfile.gettempdir()).glob("torchelastic_*"))
    alone = train(configure(features, *EXACT, *extra, "run.name=alone"))
    together = configure(features, *EXACT, *extra, "run.name=together")
    errors = finish(launch(features.parent, together))
    assert set(Path(tempfile.gettempdir()).glob("torchelastic_*")) == logs_before, "nothing stays in the temporary directory"
    path = together.run.folder / "together"
    one, two = lines_of(alone.path), lines_of(path)
    assert len([line for line in one if "loss" in line]) == 52
    assert [line["step"] for line in one] == [line["step"] for line in two]
    for key in ("loss", "train_loss", "gradient_norm"):
        ours, theirs = ([line[key] for line in lines if key in line] for lines in (two, one))
        assert ours == pytest.approx(theirs, rel=tolerance, abs=tolerance)
    assert [line.get("val_accuracy") for line in two] == [line.get("val_accuracy") for line in one]
    ours, theirs = load_file(path / "model.safetensors"), load_file(alone.model_path)
    theirs.pop("attention.score.bias", None)  # moves all regions alike: its gradient is rounding error, which Adam blows up
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=tolerance, atol=tolerance)
    assert errors.count("* marks the best") == 1, "only the first process talks"
    assert json.loads((path / "environment.json").read_text())["processes"] == 2


@pytest.mark.slow
def test_two_processes_share_the_choices_of_a_split(features: Path) -> None:
    lines = [json.loads(line) for line in features.read_text().splitlines()]
    for line in lines:
        line["choices"] = sorted({"red", "green", "blue", "yellow", "circle", "square"})
    features.write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = [option for option in EXACT if "head" not in option]
    options += ["model.head.name=choice", "training.max_epochs=4"]
    alone = train(configure(features, *options, "run.name=alone"))
    together = configure(features, *options, "run.name=together")
    finish(launch(features.parent, together))
    one, two = lines_of(alone.path), lines_of(together.run.folder / "together")
    for key in ("train_loss", "gradient_norm"):
        ours, theirs = ([line[key] for line in lines if key in line] for lines in (two, one))
        assert ours == pytest.approx(theirs, rel=1e-10)
    assert [line.get("val_accuracy") for line in two] == [line.get("val_accuracy") for line in one]


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")
@pytest.mark.parametrize("num_workers", [0, 1, 4])
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_every_step_has_the_same_questions(features: Path, world_size: int, num_workers: int) -> None:
    from tests.data.test_columns import encode

    encoded = encode([f"image{i % 11}" for i in range(41)])
    source = MemoryFeatures(np.zeros((11, 2, 3), dtype=np.float16))

    def steps(rank: int, world_size: int, num_workers: int) -> list[list[int]]:
        batches = QuestionSampler(encoded.image, 7, shuffle=True, seed=2, rank=rank, world_size=world_size)
        batches.epoch = 3
        return [parts[0].example_index.tolist() for parts in build_loader(encoded, source, batches, num_workers=num_workers)]

    whole = steps(0, 1, 0)
    shared = [steps(rank, world_size, num_workers) for rank in range(world_size)]
    assert [list(itertools.chain(*parts)) for parts in zip(*shared, strict=True)] == whole


RANDOM = (
    "training.batch_size=4",
    "training.max_epochs=3",
    "training.log_steps=2",
    "model.fusion.dropout=0.5",
    "model.question.word_dropout=0.2",
)
KILL_ONE = """
def stop(self, engine):
    finish_step(self, engine)
    first_time = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if engine.state.iteration == 8 and os.environ["RANK"] == "1" and first_time:
        os.kill(os.getpid(), signal.SIGKILL)
handlers.Training._finish_step = stop
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two processes end with that nothing disturbs."""
    questions = draw_questions(tmp_path_factory.mktemp("undisturbed"))
    config = configure(questions, *RANDOM, f"features.store={questions.parent / 'features.h5'}")
    preprocess(config)
    finish(launch(questions.parent, config))
    assert not (config.run.folder / "jsonl/resumes.jsonl").exists()
    return result(config.run.folder / "jsonl")


@pytest.mark.slow
def test_a_worker_that_dies_is_restarted_and_the_run_is_the_same(features: Path, undisturbed: dict[str, Any]) -> None:
    disturbed = configure(features, *RANDOM, "run.name=disturbed")
    finish(launch(features.parent, disturbed, KILL_ONE, restarts=1))
    folder = disturbed.run.folder
    assert len((folder / "disturbed/resumes.jsonl").read_text().splitlines()) == 1
    assert equal(result(folder / "disturbed"), undisturbed)
    states = result(folder / "disturbed")["state"]["random"]
    assert len(states) == 2
    assert not torch.equal(states[0]["cpu"], states[1]["cpu"]), "each process has its own dropout"


SLOW = """
import time
def stop(self, engine):
    finish_step(self, engine)
    if engine.state.iteration == 8:
        Path("at_step_8").touch()
    time.sleep(0.2)
handlers.Training._finish_step = stop
"""


@pytest.mark.slow
def test_a_preempted_job_saves_leaves_and_goes_on(features: Path, undisturbed: dict[str, Any]) -> None:
    told = configure(features, *RANDOM, "run.name=told")
    process = launch(features.parent, told, SLOW)
    while not Path("at_step_8").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=180)
    assert "and saved: run the same command again" in errors
    finish(launch(features.parent, told, "", "--resume"))
    assert equal(result(told.run.folder / "told"), undisturbed)


def test_one_gpu_cannot_be_named_for_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    expected = "run.device=cuda:1 names one GPU, and each of 2 processes takes its own: set run.device=cuda"
    with pytest.raises(UserError, match=f"^{expected}$"), processes("cuda:1"):
        pass


@pytest.mark.slow
def test_a_mistake_is_said_once(features: Path) -> None:
    errors = finish(launch(features.parent, configure(features, "features.store=none.h5")), code=1)
    assert errors.count("error: no feature store at none.h5") == 1


@pytest.mark.slow
def test_two_processes_evaluate_together(features: Path) -> None:
    run = train(configure(features, "training.max_epochs=2", "evaluation.batch_size=3"))
    report = finish_report(launch(features.parent, None, "", "evaluate", str(run.path), "--split", "train", "--json"))
    predictions = json.loads((run.path / "evaluation/train_predictions.json").read_text())
    from vqa_rnn.commands.evaluate import evaluate

    assert evaluate(run.path, "train") == report
    alone = json.loads((run.path / "evaluation/train_predictions.json").read_text())
    for line, together in zip(alone, predictions, strict=True):
        assert line == {**together, "probability": pytest.approx(together["probability"], rel=1e-5)}


def finish_report(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    (line,) = out.splitlines()
    return json.loads(line)


@pytest.mark.slow
def test_srun_starts_processes_too(features: Path, undisturbed: dict[str, Any]) -> None:
    """What srun puts into the environment, as no cluster is at hand."""
    config = configure(features, *RANDOM, "run.name=slurm")
    folder = features.parent
    (folder / "driver.py").write_text(DRIVER.format(lines="", config=pickle.dumps(config), arguments=["train", "jsonl"]))
    slurm = {
        "SLURM_JOB_ID": str(20_000 + os.getpid() % 10_000),
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_JOB_NUM_NODES": "1",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, str(folder / "driver.py")],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **slurm, "SLURM_PROCID": rank, "SLURM_LOCALID": rank, "OMP_NUM_THREADS": "1"},
        )
        for rank in ("0", "1")
    ]
    for process in processes:
        finish(process)
    assert equal(result(config.run.folder / "slurm"), undisturbed)
