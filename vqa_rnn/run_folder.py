"""A run folder, whatever was trained: its lock, its weights, its checkpoints and what training wrote.

Weights are safetensors files and checkpoints are loaded with ``weights_only=True``: loading a downloaded run executes no code
from its files.
"""

import json
import logging
import os
import platform
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import nn

from vqa_rnn.errors import UserError
from vqa_rnn.files import atomic_path

log = logging.getLogger("vqa_rnn")

LOCK = "lock"
# A folder with only these files was left by a process that stopped before it wrote run.json.
FIRST_FILES = {LOCK, "config.yaml", "tokenizer.json", "vocabulary.json", "answers.json", "environment.json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """An open run folder.

    Attributes:
        path: The folder.
        precision: The precision of training, fixed at its start.
        threads: Total number of threads of the training processes on one machine, fixed at the start.
    """

    path: Path
    precision: str
    threads: int

    @property
    def model_path(self) -> Path:
        """The file of the weights that the run answers with."""
        return self.path / "model.safetensors"

    @property
    def checkpoints(self) -> list[Path]:
        """The files of the training states to resume from, the newest first."""
        return sorted((self.path / "checkpoints").glob("step-*.pt"), reverse=True)


def check_new_run(path: Path, *, overwrite: bool) -> None:
    """Check that a run folder may be created, before anything is computed.

    Args:
        path: The folder.
        overwrite: Whether an existing run may be replaced.

    Raises:
        UserError: The folder exists and may not be replaced, or is not a run folder.
    """
    if not path.exists() or _is_new(path):
        return
    if not (path / "run.json").is_file():
        raise UserError(f"{path} exists and is not a run folder: it is not overwritten; set run.name to another name")
    if not overwrite:
        raise UserError(f"{path} exists: continue it with --resume, replace it with --overwrite, or set run.name")


def _is_new(path: Path) -> bool:
    """Return whether the process that created a folder was stopped before it wrote ``run.json``."""
    names = {inside.name for inside in path.iterdir() if not inside.name.startswith(".")} if path.is_dir() else set()
    return LOCK in names <= FIRST_FILES


def lock_run(path: Path) -> FileLock:
    """Lock a run folder for this process, until the lock is released or the process ends in any way.

    Args:
        path: The folder; created if it does not exist.

    Returns:
        The acquired lock.

    Raises:
        UserError: Another process holds the lock, or the folder cannot be written.
    """
    lock = FileLock(path / LOCK)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(f"another process is training in {path}: wait for it, or set run.name to another name") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    return lock


def empty_run(path: Path) -> None:
    """Delete everything in a run folder except its lock; ``run.json`` first, so that a partly deleted run is no run folder.

    Args:
        path: The folder; it may not exist.
    """
    (path / "run.json").unlink(missing_ok=True)
    for inside in path.iterdir() if path.exists() else ():
        if inside.is_dir() and not inside.is_symlink():
            shutil.rmtree(inside)
        elif inside.name != LOCK:
            inside.unlink()


def best_validation(path: Path) -> tuple[float, int] | None:
    """Read the best validation score of a run's training.

    Args:
        path: The run folder.

    Returns:
        The best score and its epoch; None if no epoch was evaluated.
    """
    scores = [(score, line["epoch"]) for line in read_metrics(path) for name, score in line.items() if name.startswith("val_")]
    return max(scores, default=None)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the metrics that a run logged during training.

    Args:
        path: The run folder.

    Returns:
        The lines of ``metrics.jsonl``; empty if the file does not exist.
    """
    return _read_lines(path / "metrics.jsonl")


def read_timings(path: Path) -> list[dict[str, Any]]:
    """Read the speed and memory use of a run's training.

    Args:
        path: The run folder.

    Returns:
        The lines of ``timings.jsonl``, one per epoch; empty if the file does not exist.
    """
    return _read_lines(path / "timings.jsonl")


def _read_lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # training may be writing the last one
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from error


def save_weights(run: RunFolder, model: nn.Module) -> None:
    """Write the weights that the run answers with.

    Args:
        run: The run.
        model: The model.
    """
    with atomic_path(run.model_path) as temporary:
        temporary.write_bytes(to_safetensors(_unshared(model)))


def load_weights(run: RunFolder, model: nn.Module) -> None:
    """Load the weights that the run answers with into a model.

    Args:
        run: The run.
        model: The model of its config.

    Raises:
        UserError: There are no weights yet, the file is not safetensors, or the weights do not fit the run's config.
    """
    try:
        weights = load_file(run.model_path)
    except FileNotFoundError:
        raise UserError(f"{run.path} has no model.safetensors yet: its training has not finished an epoch") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{run.model_path} is not a safetensors file, or is damaged: {error}") from error
    expected = _unshared(model)
    if set(weights) != set(expected) or any(weights[name].shape != expected[name].shape for name in weights):
        odd = sorted(set(weights) ^ set(expected)) or [n for n in weights if weights[n].shape != expected[n].shape]
        raise UserError(f"{run.model_path} does not fit {run.path}/config.yaml: {len(odd)} entries differ, such as {odd[0]}")
    model.load_state_dict(weights, strict=False)  # missing tensors are shared with others


def save_checkpoint(run: RunFolder, state: Mapping[str, Any], step: int, keep: int) -> None:
    """Write a full training state, then delete the older ones.

    Args:
        run: The run.
        state: State by name: tensors and plain values.
        step: The step after which the state was taken.
        keep: Number of states to keep, including this one.

    Raises:
        UserError: The file cannot be written; the older states are kept.
    """
    path = run.path / "checkpoints" / f"step-{step:08d}.pt"
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # torch hides the OSError
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
    newest = run.checkpoints
    place = newest.index(path)  # states of later steps are unreadable, or training would have resumed from them
    for other in newest[:place] + newest[place + keep :]:
        other.unlink()
    for half_written in path.parent.glob(".step-*.tmp.pt"):  # left by a killed process
        half_written.unlink()


def load_checkpoint(run: RunFolder) -> dict[str, Any] | None:
    """Read the newest full training state that is readable.

    Args:
        run: The run.

    Returns:
        State by name, on the CPU; None if no state was saved yet.

    Raises:
        UserError: There are states, but each is damaged or has objects other than tensors and plain values.
    """
    paths = run.checkpoints
    for path in paths:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch warns about foreign pickles; the error is enough
                state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception:  # pickle, zip and runtime errors: the file is not one of ours
            state = None
        if isinstance(state, dict) and "model" in state and "trainer" in state:
            return state
        if path != paths[-1]:
            log.warning("%s is not a checkpoint, or is damaged; it was not loaded: trying an older one", path)
    if paths:
        raise UserError(
            f"{paths[-1]} is not a checkpoint, or is damaged; it was not loaded, and there is no older one: "
            "train anew with --overwrite"
        )
    return None


def _unshared(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the state dict with each tensor once: modules may share a word embedding."""
    seen: set[int] = set()
    state = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            state[name] = tensor.detach().cpu().contiguous()
    return state


@contextmanager
def log_to_file(run: RunFolder) -> Iterator[None]:
    """Also write log messages to the run's ``log.txt`` while the block runs.

    Args:
        run: The run.

    Yields:
        Nothing.
    """
    handler = logging.FileHandler(run.path / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Describe the program, the machine and the command, for ``environment.json``.

    Args:
        device: The device of training.

    Returns:
        Plain values by name.
    """
    packages = ("vqa-rnn", "torch", "torchvision", "timm", "pytorch-ignite", "h5py", "numpy", "tokenizers")
    versions: dict[str, str | None] = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "command": sys.argv,
        "git": _git_state(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine(),
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "processes": int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_STEP_NUM_TASKS", 1))),
    }


def _git_state() -> dict[str, Any] | None:
    """Return the commit of the git checkout of this code, and whether tracked files have changed; None outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if not git("ls-files", Path(__file__).name):
            return None  # installed in a folder of another project's checkout
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None
