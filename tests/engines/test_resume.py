"""A run that was stopped, anywhere and by anything, and resumed is the run that was not."""

import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from tests.conftest import configure
from vqa_rnn.checkpoint import load_model, load_run
from vqa_rnn.cli import main
from vqa_rnn.commands.train import train
from vqa_rnn.config import Config
from vqa_rnn.data.columns import EncodedQuestions
from vqa_rnn.engines import handlers
from vqa_rnn.engines.interruption import Interruption
from vqa_rnn.errors import Interrupted, UserError
from vqa_rnn.run_folder import lock_run

# 18 training questions, 5 steps an epoch, 15 in all; every kind of randomness is on, and the state is saved after each step
RANDOM = (
    "training.batch_size=4",
    "training.max_epochs=3",
    "training.log_steps=2",
    "training.checkpoint_minutes=1e-9",
    "model.fusion.dropout=0.5",
    "model.feature_dropout=0.2",
    "model.question.word_dropout=0.2",
)


class Killed(BaseException):
    """Stands for a kill, where the process has to live on."""


def stop_at(monkeypatch: pytest.MonkeyPatch, method: str, step: int, *, before: bool) -> None:
    """Make a part of the training stop the process, before or after it did its work at a step."""
    original = getattr(handlers.Training, method)

    def stopping(self: handlers.Training, engine: Any) -> None:
        if before and engine.state.iteration == step:
            raise Killed
        original(self, engine)
        if engine.state.iteration == step:
            raise Killed

    monkeypatch.setattr(handlers.Training, method, stopping)


def assert_a_resume_equals_the_whole(features: Path, options: Sequence[str], method: str, step: int, *, before: bool) -> None:
    whole = train(configure(features, *RANDOM, *options, "run.name=whole"))
    stopped = configure(features, *RANDOM, *options, "run.name=stopped")
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, method, step, before=before)
        with pytest.raises(Killed):
            train(stopped)
    resumed = train(stopped, resume=True)
    assert equal(result(resumed.path), result(whole.path))


def result(path: Path) -> dict[str, Any]:
    """Everything that has to be equal in the end."""
    run = load_run(path)
    state = torch.load(run.checkpoints[0], weights_only=True)
    return {"state": state, "metrics": (path / "metrics.jsonl").read_bytes(), "best": run.model_path.read_bytes()}


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


@pytest.mark.parametrize(
    "extra",
    [
        (),
        ("training.ema_decay=0.9",),
        ("training.accumulation=2", "training.optimizer.name=sgd", "training.schedule.name=steps"),
        ("training.precision=bfloat16",),
        ("training.group_by_image=false",),
    ],
    ids=["plain", "average", "accumulation", "bfloat16", "shuffled"],
)
@pytest.mark.parametrize(
    ("method", "step", "before"),
    [
        ("_finish_step", 1, True),  # before anything was saved
        ("_finish_step", 8, True),  # inside an epoch, the step not saved
        ("_finish_step", 8, False),
        ("_finish_epoch", 10, True),  # the epoch's steps done, not validated
        ("_finish_epoch", 10, False),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    features: Path, extra: tuple[str, ...], method: str, step: int, before: bool
) -> None:
    assert_a_resume_equals_the_whole(features, extra, method, step, before=before)


def test_patience_and_the_best_score_survive_a_resume(features: Path) -> None:
    patient = (*RANDOM, "training.patience=1", "training.max_epochs=9", "training.learning_rate=1e-9")
    whole = train(configure(features, *patient, "run.name=whole"))
    assert len((whole.path / "timings.jsonl").read_text().splitlines()) == 2
    stopped = configure(features, *patient, "run.name=stopped")
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "_finish_step", 7, before=False)
        with pytest.raises(Killed):
            train(stopped)
    assert equal(result(train(stopped, resume=True).path), result(whole.path))


def test_lines_of_steps_after_the_checkpoint_are_taken_back(features: Path) -> None:
    config = configure(features, *RANDOM, "training.checkpoint_minutes=null", "run.name=late")
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "_finish_step", 9, before=False)
        with pytest.raises(Killed):
            train(config)
    run = load_run(config.run.folder / "late")
    assert [path.name for path in run.checkpoints] == ["step-00000005.pt"]
    assert json.loads((run.path / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 8
    train(config, resume=True)
    steps = [json.loads(line)["step"] for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 5, 6, 8, 10, 10, 12, 14, 15]


def in_a_process(config: Config, lines: str = "", *, resume: bool = False) -> subprocess.Popen[str]:
    """Train in a process of its own, after some lines of Python."""
    code = f"""
import os, pickle, signal, sys
from vqa_rnn.cli import main
from vqa_rnn.engines import handlers
finish_step, finish_epoch = handlers.Training._finish_step, handlers.Training._finish_epoch
{lines}
import vqa_rnn.config.files
config = pickle.loads({pickle.dumps(config)!r})
vqa_rnn.config.files.load_config = lambda source, overrides: config
sys.exit(main(["train", "jsonl"{', "--resume"' if resume else ""}]))
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=environment)


AT_STEP = """
def stop(self, engine):
    finish_step(self, engine)
    if engine.state.iteration == {step}:
        os.kill(os.getpid(), signal.{number})
handlers.Training._finish_step = stop
"""
IN_CHECKPOINT = """
import torch
save = torch.save
def stop(state, file):
    save(state, file)
    if state["trainer"]["iteration"] == 8:
        os.truncate(file.fileno(), 1000)
        os.kill(os.getpid(), signal.SIGKILL)
torch.save = stop
"""


@pytest.mark.parametrize(
    "lines",
    [AT_STEP.format(step=3, number="SIGKILL"), AT_STEP.format(step=10, number="SIGKILL"), IN_CHECKPOINT],
    ids=["inside the first epoch", "at an epoch's last step", "while a checkpoint is written"],
)
def test_a_killed_process_goes_on(features: Path, lines: str) -> None:
    whole = train(configure(features, *RANDOM, "run.name=whole"))
    killed = configure(features, *RANDOM, "run.name=killed")
    process = in_a_process(killed, lines)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    resumed = train(killed, resume=True).path
    assert equal(result(resumed), result(whole.path))
    assert [path.name for path in resumed.rglob(".*")] == [], "nothing half-written stays"


@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_saves_the_state_and_says_how_to_go_on(features: Path, number: str, code: int) -> None:
    rarely = (*RANDOM, "training.checkpoint_minutes=null")
    whole = train(configure(features, *rarely, "run.name=whole"))
    told = configure(features, *rarely, "run.name=told")
    process = in_a_process(told, AT_STEP.format(step=7, number=number))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code
    said = "stopped after step 8 and saved: run the same command again to continue (for train, add --resume)"
    assert errors.splitlines()[-1] == said
    assert load_run(told.run.folder / "told").checkpoints[0].name == "step-00000008.pt"
    assert equal(result(train(told, resume=True).path), result(whole.path))


def test_a_signal_during_validation_is_obeyed_before_it_ends(features: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configure(features, *RANDOM, "evaluation.batch_size=1", "run.name=told")
    original = handlers.Training._look_for_signals
    looks = []

    def look(self: handlers.Training, evaluator: Any) -> None:
        looks.append(evaluator.state.iteration)
        signal.raise_signal(signal.SIGTERM)
        original(self, evaluator)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handlers.Training, "_look_for_signals", look)
        with pytest.raises(Interrupted, match="after step 5"):
            train(config)
    assert looks == [1]
    whole = train(configure(features, *RANDOM, "evaluation.batch_size=1", "run.name=whole"))
    assert equal(result(train(config, resume=True).path), result(whole.path))
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_after_a_sigterm_a_loader_process_may_end() -> None:
    before = signal.getsignal(signal.SIGCHLD)
    with Interruption() as interruption:
        batches = iter(DataLoader(range(8), batch_size=None, num_workers=1))  # type: ignore[arg-type]
        next(batches)
        signal.raise_signal(signal.SIGTERM)
        worker = batches._workers[0]  # type: ignore[attr-defined]
        worker.kill()
        worker.join()
        time.sleep(0.1)  # torch's handler would have raised here
        assert interruption.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGCHLD) not in (signal.SIG_DFL, None)
    signal.signal(signal.SIGCHLD, before)


def test_a_run_goes_on_though_its_questions_were_moved(features: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = configure(features, *RANDOM)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "_finish_step", 7, before=False)
        with pytest.raises(Killed):
            train(config)
    moved = tmp_path / "moved"
    moved.mkdir()
    (features.parent / "images").rename(moved / "images")
    features.rename(moved / "questions.jsonl")
    elsewhere = [*RANDOM, f"run.folder={config.run.folder}"]
    run = train(configure(moved / "questions.jsonl", *elsewhere), resume=True)
    assert run.checkpoints


def test_a_run_does_not_go_on_after_its_questions_were_edited(features: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = configure(features, *RANDOM)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "_finish_step", 7, before=False)
        with pytest.raises(Killed):
            train(config)
    as_it_was = features.read_text()
    features.write_text(as_it_was.replace('"red"', '"blue"'))
    expected = rf"^{features} has changed since {config.run.folder}/jsonl began: put it back as it was, or train anew with"
    with pytest.raises(UserError, match=expected):
        train(config, resume=True)
    features.unlink()
    train(config, resume=True)  # the encoded questions are in the run folder
    assert f"{features} is gone: continuing with the questions saved in {config.run.folder}/jsonl" in caplog.messages
    assert not (config.run.folder / "jsonl/questions").exists()


def test_a_second_process_is_refused(features: Path) -> None:
    config = configure(features, *RANDOM)
    run = train(config)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    lock = lock_run(run.path)
    for options in ({"overwrite": True}, {"resume": True}):
        with pytest.raises(UserError, match=r"another process is training in .*runs/jsonl"):
            train(config, **options)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before
    lock.release()
    train(config, overwrite=True)


def test_a_folder_that_was_only_begun_is_taken(features: Path) -> None:
    config = configure(features, *RANDOM, "training.max_epochs=1")
    folder = config.run.folder / "jsonl"
    lock_run(folder).release()
    (folder / ".config.123.tmp.yaml").write_text("half")
    (folder / "answers.json").write_text("[]")
    assert train(config).path == folder
    mine = config.run.folder / "mine"
    lock_run(mine).release()
    (mine / "letter.txt").write_text("my own")
    with pytest.raises(UserError, match="is not a run folder"):
        train(configure(features, *RANDOM, "run.name=mine"), overwrite=True)
    assert (mine / "letter.txt").read_text() == "my own"


def failing(number: int) -> Callable[..., Any]:
    def fail(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("name", ["ENOSPC", "EROFS"])
@pytest.mark.parametrize("at", ["torch.save", "os.replace", "os.fsync"])
def test_a_disk_that_fails_leaves_the_last_state(features: Path, monkeypatch: pytest.MonkeyPatch, name: str, at: str) -> None:
    import errno

    config = configure(features, *RANDOM, "run.name=full")
    step = handlers.Training._finish_step

    def break_disk(self: handlers.Training, engine: Any) -> None:
        if engine.state.iteration == 7:
            patch.setattr(at, failing(getattr(errno, name)))
        step(self, engine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handlers.Training, "_finish_step", break_disk)
        with pytest.raises(UserError, match=rf"cannot write .*step-00000007\.pt: {os.strerror(getattr(errno, name))}"):
            train(config)
    run = load_run(config.run.folder / "full")
    assert [path.name for path in (run.path / "checkpoints").iterdir() if path.name.startswith(".")] == []
    assert [path.name for path in run.checkpoints] == ["step-00000006.pt", "step-00000005.pt"]
    whole = train(configure(features, *RANDOM, "run.name=whole"))
    assert equal(result(train(config, resume=True).path), result(whole.path))


def test_a_file_size_limit_is_one_clear_line(features: Path) -> None:
    config = configure(features, *RANDOM, "run.name=limited")
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))"
    _, errors = in_a_process(config, limit).communicate(timeout=120)
    assert errors.splitlines()[-1].startswith("error: cannot write")
    assert "step-00000001.pt: File too large" in errors.splitlines()[-1]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_damaged_checkpoint_gives_way_to_the_one_before(features: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = train(configure(features, *RANDOM, "run.name=whole"))
    config = configure(features, *RANDOM, "run.name=damaged")
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "_finish_step", 8, before=False)
        with pytest.raises(Killed):
            train(config)
    newest, older = load_run(config.run.folder / "damaged").checkpoints
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    resumed = train(config, resume=True)
    assert f"{newest} is not a checkpoint, or is damaged; it was not loaded: trying an older one" in caplog.messages
    assert f"{resumed.path} continues after step 7" in caplog.messages
    assert older.name == "step-00000007.pt"
    assert equal(result(resumed.path), result(whole.path))


def test_nan_in_an_image_stops_at_its_step_and_leaves_the_checkpoint_before(
    features: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vqa_rnn.data import loader

    config = configure(features, *RANDOM, "training.max_epochs=9", "run.name=nan")
    make_batch = loader.make_batch
    names: list[str] = []
    steps = []

    def plant(encoded: EncodedQuestions, *arguments: Any, **options: Any) -> Any:
        batch = make_batch(encoded, *arguments, **options)
        if len(encoded) == 18:  # the training questions
            steps.append(len(batch.question_index))
            if len(steps) == 30:
                batch.features[0, 0, 0] = torch.nan
                names.extend(encoded.question_ids[int(i)] for i in batch.question_index[batch.image_index == 0])
        return batch

    monkeypatch.setattr(loader, "make_batch", plant)
    with pytest.raises(UserError) as raised:
        train(config)
    assert str(raised.value).startswith("the loss is nan at step 30: training stopped before the weights changed")
    assert f"the questions with a non-finite loss are {', '.join(names)};" in str(raised.value)
    assert 1 <= len(names) < steps[-1] or steps[-1] <= 2
    assert load_run(config.run.folder / "nan").checkpoints[0].name == "step-00000029.pt"
    monkeypatch.setattr(loader, "make_batch", make_batch)
    whole = train(configure(features, *RANDOM, "training.max_epochs=9", "run.name=whole"))
    assert equal(result(train(config, resume=True).path), result(whole.path))


def test_a_restarted_job_goes_on_by_itself(features: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(configure(features, *RANDOM, "run.name=whole"))
    config = configure(features, *RANDOM, "run.name=job")
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "_finish_step", 8, before=False)
        with pytest.raises(Killed):
            train(config)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert equal(result(train(config, overwrite=True).path), result(whole.path))
    monkeypatch.setenv("SLURM_JOB_ID", "another job")
    with pytest.raises(UserError, match="exists: continue it with --resume"):
        train(config)


def test_what_may_change_does_and_is_recorded(features: Path) -> None:
    config = configure(features, *RANDOM)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "_finish_step", 8, before=False)
        with pytest.raises(Killed):
            train(config)
    changed = configure(features, *RANDOM, "training.keep_checkpoints=4", "training.num_workers=1")
    run = train(changed, resume=True)
    assert len(run.checkpoints) == 4
    record = json.loads((run.path / "resumes.jsonl").read_text().splitlines()[-1])
    assert record["changes"] == {"training.keep_checkpoints": [2, 4], "training.num_workers": [None, 1]}
    assert "keep_checkpoints: 2" in (run.path / "config.yaml").read_text()
    with pytest.raises(UserError, match=r"training\.batch_size=4, not 5: a resume may only change evaluation\.\*, "):
        train(configure(features, *RANDOM, "training.batch_size=5"), resume=True)


def test_a_profile_of_some_steps(features: Path) -> None:
    run = train(configure(features, *RANDOM, "training.profile_steps=[2,3]"))
    assert {path.name for path in (run.path / "profile").iterdir()} == {"steps-2-3.json", "steps-2-3.txt"}
    trace = json.loads((run.path / "profile/steps-2-3.json").read_text())
    assert any("addmm" in str(event.get("name")) for event in trace["traceEvents"])


NO_OTHERS = ("model.attention.name=none", "model.fusion.name=none")


@pytest.mark.parametrize(
    "parts",
    [
        (
            "model.attention={name: bilinear, hidden_size: 8, dropout: 0.2}",
            "model.fusion={name: mfh, hidden_size: 8, dropout: 0.2}",
        ),
        ("model.attention={name: co_attention, hidden_size: 8}", "model.fusion={name: mcb, hidden_size: 16, dropout: 0.2}"),
        ("model.attention={name: recurrent, hidden_size: 8}", "model.fusion={name: gated, hidden_size: 8, weight_norm: true}"),
        ("model.attention={name: recurrent, hidden_size: 8, hard: true}",),
        (*NO_OTHERS, "model.reasoning={name: mac, hidden_size: 8, kernel_size: 1, dropout: 0.2, gate: true}"),
        (*NO_OTHERS, "model.reasoning={name: film, hidden_size: 8, kernel_size: 1, joint_size: 8, dropout: 0.2}"),
        (*NO_OTHERS, "model.reasoning={name: relation, hidden_size: 8, dropout: 0.2}"),
        (*NO_OTHERS, "model.reasoning={name: mcan, hidden_size: 8, num_heads: 2, num_layers: 1, joint_size: 8}"),
    ],
    ids=lambda parts: parts[-1].partition("name: ")[2].partition(",")[0],
)
def test_a_run_with_other_parts_resumes_bit_for_bit(features: Path, parts: tuple[str, ...]) -> None:
    assert_a_resume_equals_the_whole(features, parts, "_finish_step", 8, before=False)


@pytest.mark.parametrize(("steps", "name"), [("[14,99]", "steps-14-15"), ("[1,99]", "steps-1-15")])
def test_a_profile_ends_with_the_training(features: Path, steps: str, name: str) -> None:
    run = train(configure(features, *RANDOM, f"training.profile_steps={steps}"))
    assert {path.stem for path in (run.path / "profile").iterdir()} == {name}


def test_compiled_parts_train_alike(features: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_module = torch.nn.Module.compile
    compiled = []

    def with_eager_backend(self: torch.nn.Module, **options: Any) -> None:  # what is captured, without a C++ compiler
        compiled.append(type(self).__name__)
        compile_module(self, backend="eager", **options)

    monkeypatch.setattr(torch.nn.Module, "compile", with_eager_backend)
    top_down = (*RANDOM, "model.attention.name=top_down")
    plain = train(configure(features, *top_down, "run.name=plain"))
    fast = train(configure(features, *top_down, "training.compile=true", "run.name=fast"))
    assert compiled == ["TopDownAttention", "ProductFusion"]
    assert (fast.path / "metrics.jsonl").read_text() == (plain.path / "metrics.jsonl").read_text()
    assert load_model(fast).state_dict().keys() == load_model(plain).state_dict().keys()


def test_deterministic_algorithms_are_asked_for(features: Path) -> None:
    train(configure(features, *RANDOM, "run.deterministic=true", "run.name=one"))
    assert torch.are_deterministic_algorithms_enabled()
    train(configure(features, *RANDOM, "run.name=two"))
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_place_that_may_not_be_looked_into_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied", "/home/somebody/runs")

    monkeypatch.setattr("vqa_rnn.commands.train.train", refused)
    assert main(["train", "easy_vqa"]) == 2
    assert capsys.readouterr().err == "error: /home/somebody/runs: Permission denied\n"


def test_the_command_line_gives_the_code_of_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        raise Interrupted("stopped after step 3", signal.SIGTERM)

    monkeypatch.setattr("vqa_rnn.commands.train.train", interrupted)
    assert main(["train", "easy_vqa"]) == 143


def test_the_weights_of_the_last_epoch_are_kept_where_that_is_wanted(features: Path) -> None:
    options = (*RANDOM, "training.keep_checkpoints=9", "training.learning_rate=0.5", "run.seed=6")
    last = train(configure(features, *options, "training.keep=last", "run.name=last"))
    best = train(configure(features, *options, "run.name=best"))
    weights = torch.load(last.checkpoints[0], weights_only=True)["model"]
    kept = load_model(last).state_dict()
    assert all(torch.equal(kept[name], weights[name]) for name in kept)
    scores = [
        json.loads(line)["val_accuracy"] for line in (best.path / "metrics.jsonl").read_text().splitlines() if "val_acc" in line
    ]
    assert scores[-1] < max(scores), "the case needs a last epoch that is not the best"
    assert last.model_path.read_bytes() != best.model_path.read_bytes()
