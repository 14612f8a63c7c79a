"""The run folder, which holds everything that a trained model needs.

    run.json           format version, description of the features, sizes, precision, threads
    config.yaml        the resolved config, never changed        resumes.jsonl      what each resume changed
    environment.json   versions, git state, command, device      log.txt
    tokenizer.json     the vocabulary                            answers.json       classes of the classifier head
    model.safetensors  the weights used to answer                checkpoints/       full training states, to resume from
    metrics.jsonl      deterministic values                      timings.jsonl      throughput, waiting times
    tensorboard/       profile/                                  evaluation/
    calibration.json   from vqa-rnn calibrate                    loggers.json       ids of the MLflow and W&B runs
    questions/         encoded questions, memory-mapped by all processes; deleted when training is done
    lock               held by the training process

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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from omegaconf import OmegaConf
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.config import Config, run_path
from vqa_rnn.config.files import config_changes, config_yaml, validate_config
from vqa_rnn.errors import UserError
from vqa_rnn.files import atomic_path, file_hash, read_json, write_json, write_text
from vqa_rnn.models import ModelSizes, VqaModel
from vqa_rnn.records import Split
from vqa_rnn.text import SubwordTokenizer, WordTokenizer

log = logging.getLogger("vqa_rnn")

FORMAT_VERSION = 4  # 3: texts are split into words differently; 4: run.json has the number of threads
LOCK = "lock"
# Model options that fine-tuning may change: they do not affect the meaning of the weights.
MAY_DIFFER_FROM_START = ("target", "label_smoothing", "dropout", "word_dropout", "feature_dropout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An open run folder.

    Attributes:
        path: The folder.
        config: The resolved config.
        tokenizer: The tokenizer of all texts.
        answers: The classes of the classifier head; empty for other heads.
        sizes: The model sizes that follow from the data.
        features: The extractor's ``description`` with its ``fingerprint`` and how the features were computed.
        precision: The precision of training, fixed at its start.
        threads: Total number of threads of the training processes on one machine, fixed at the start.
        annotations: Hashes of the annotation files, from ``annotations.unchanged``.
        launcher: Identifies the launcher of the process that created the run.
        examples: Training questions, shown to users as examples.
    """

    path: Path
    config: Config
    tokenizer: WordTokenizer
    answers: AnswerVocabulary
    sizes: ModelSizes
    features: Mapping[str, Any]
    precision: str
    threads: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    launcher: str = ""
    examples: Sequence[str] = ()

    @property
    def model_path(self) -> Path:
        """The file of the weights that the run answers with."""
        return self.path / "model.safetensors"

    @property
    def checkpoints(self) -> list[Path]:
        """The files of the training states to resume from, the newest first."""
        return sorted((self.path / "checkpoints").glob("step-*.pt"), reverse=True)

    def questions_path(self, split: Split) -> Path:
        """Return the file in which training keeps the encoded questions of a split.

        Args:
            split: ``train`` or ``val``.

        Returns:
            The file.
        """
        return self.path / "questions" / f"{split}.h5"


def check_new_run(config: Config, *, overwrite: bool) -> Path:
    """Check that a run folder may be created, before anything is computed.

    Args:
        config: The config, which names the folder.
        overwrite: Whether an existing run may be replaced.

    Returns:
        The path of the folder.

    Raises:
        UserError: The folder exists and may not be replaced, or is not a run folder.
    """
    path = run_path(config)
    if not path.exists() or _is_new(path):
        return path
    if not (path / "run.json").is_file():
        raise UserError(f"{path} exists and is not a run folder: it is not overwritten; set run.name to another name")
    if not overwrite:
        raise UserError(f"{path} exists: continue it with --resume, replace it with --overwrite, or set run.name")
    return path


def _is_new(path: Path) -> bool:
    """Return whether the process that created a folder was stopped before it wrote ``run.json``."""
    names = {inside.name for inside in path.iterdir() if not inside.name.startswith(".")} if path.is_dir() else set()
    return LOCK in names <= {LOCK, "config.yaml", "tokenizer.json", "answers.json", "environment.json"}


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


def create_run(
    config: Config,
    tokenizer: WordTokenizer,
    answers: AnswerVocabulary,
    sizes: ModelSizes,
    features: Mapping[str, Any],
    precision: str,
    threads: int,
    *,
    annotations: Mapping[str, str],
    device: torch.device,
    launcher: str,
    examples: Sequence[str],
    start: Run | None = None,
    overwrite: bool,
) -> Run:
    """Create a run folder, complete except for the weights.

    Args:
        config: The resolved config.
        tokenizer: The tokenizer of all texts.
        answers: The classes of the classifier head.
        sizes: The model sizes that follow from the data.
        features: The extractor's ``description`` with its ``fingerprint`` and how the features were computed.
        precision: The precision of training.
        threads: Total number of threads of the training processes on one machine.
        annotations: Hashes of the annotation files.
        device: The device of training.
        launcher: Identifies the launcher of this process, to distinguish its restart from another job.
        examples: Training questions, shown to users as examples.
        start: The run whose weights training starts from.
        overwrite: Whether to replace an existing run.

    Returns:
        The run.
    """
    path = check_new_run(config, overwrite=overwrite)
    _empty(path)
    run = Run(
        path=path,
        config=config,
        tokenizer=tokenizer,
        answers=answers,
        sizes=sizes,
        features=features,
        precision=precision,
        threads=threads,
        annotations=annotations,
        launcher=launcher,
        examples=tuple(examples),
    )
    write_text(path / "config.yaml", config_yaml(config))
    tokenizer.save(path / "tokenizer.json")
    answers.save(path / "answers.json")
    write_json(path / "environment.json", _environment(device) | {"threads": threads, "start_from": _weights(start)})
    description = {
        "format_version": FORMAT_VERSION,
        "launcher": launcher,
        "annotations": dict(annotations),
        "features": dict(features),
        "sizes": asdict(sizes),
        "precision": precision,
        "threads": threads,
        "examples": list(examples),
    }
    write_json(path / "run.json", description)  # last: it makes the folder a run folder
    return run


def _empty(path: Path) -> None:
    """Delete everything in a run folder except its lock; ``run.json`` first, so that a partly deleted run is no run folder."""
    (path / "run.json").unlink(missing_ok=True)
    for inside in path.iterdir() if path.exists() else ():
        if inside.is_dir() and not inside.is_symlink():
            shutil.rmtree(inside)
        elif inside.name != LOCK:
            inside.unlink()


def load_run(path: str | Path) -> Run:
    """Open a run folder.

    Args:
        path: The folder.

    Returns:
        The run.

    Raises:
        UserError: The folder is missing, not a run folder, damaged, or of another format version.
    """
    path = Path(path)
    if not path.is_dir():
        inside = Path("runs") / path
        hint = f"did you mean {inside}?" if inside.is_dir() else "train one first, such as vqa-rnn train easy_vqa"
        raise UserError(f"no run folder at {path}: {hint}")
    if not (path / "run.json").is_file():
        raise UserError(f"{path} is not a run folder: it has no run.json")
    description = read_json(path / "run.json", "run description")
    version = description.get("format_version") if isinstance(description, dict) else None
    if not isinstance(version, int):
        raise UserError(f"{path}/run.json does not describe a run: format_version is missing")
    if version > FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {version}; this program knows versions up to {FORMAT_VERSION}: install a newer vqa-rnn"
        )
    if version < FORMAT_VERSION:
        raise UserError(f"{path} was made by an older vqa-rnn (format version {version}; this one reads {FORMAT_VERSION}): train it again")
    try:
        values = OmegaConf.to_container(OmegaConf.load(path / "config.yaml"))
    except Exception as error:  # a YAML error of any kind, or no file
        raise UserError(f"cannot read {path}/config.yaml: {' '.join(str(error).split())}") from error
    try:
        sizes = ModelSizes(**description["sizes"])
        features, precision, threads = description["features"], description["precision"], description["threads"]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}/run.json is damaged: {error}") from error
    config = validate_config(values, f"{path}/config.yaml")  # type: ignore[arg-type]
    tokenizer_kind = SubwordTokenizer if config.model.question.name == "transformer" else WordTokenizer
    return Run(
        path=path,
        config=config,
        tokenizer=tokenizer_kind.load(path / "tokenizer.json"),
        answers=AnswerVocabulary.load(path / "answers.json"),
        sizes=sizes,
        features=features,
        precision=precision,
        threads=threads,
        annotations=description.get("annotations", {}),
        launcher=description.get("launcher", ""),
        examples=tuple(description.get("examples", ())),
    )


def best_validation(path: Path) -> tuple[float, int] | None:
    """Read the best validation score of a run's training.

    Args:
        path: The run folder.

    Returns:
        The best score and its epoch; None if no epoch was evaluated.
    """
    lines = read_metrics(path)
    return max(((line["val_accuracy"], line["epoch"]) for line in lines if "val_accuracy" in line), default=None)


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


def save_model(run: Run, model: VqaModel) -> None:
    """Write the weights that the run answers with.

    Args:
        run: The run.
        model: The model.
    """
    with atomic_path(run.model_path) as temporary:
        temporary.write_bytes(to_safetensors(_unshared(model)))


def load_model(run: Run, device: torch.device | str = "cpu") -> VqaModel:
    """Build a run's model with the weights that it answers with.

    Args:
        run: The run.
        device: The device of the model.

    Returns:
        The model in evaluation mode.

    Raises:
        UserError: There are no weights yet, the file is not safetensors, or the weights do not fit the run's config.
    """
    model = VqaModel(run.config.model, run.sizes)
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
    return model.to(device).eval()


def save_checkpoint(run: Run, state: Mapping[str, Any], step: int, keep: int) -> None:
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


def load_checkpoint(run: Run) -> dict[str, Any] | None:
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


def _unshared(model: VqaModel) -> dict[str, torch.Tensor]:
    """Return the state dict with each tensor once: modules may share a word embedding."""
    seen: set[int] = set()
    state = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            state[name] = tensor.detach().cpu().contiguous()
    return state


def open_start(config: Config) -> Run | None:
    """Open the run whose weights training starts from (``training.start_from``).

    Args:
        config: The config.

    Returns:
        The run; None if training starts from random weights.

    Raises:
        UserError: It is not a run, has no weights, or its model or text options differ from the config's.
    """
    if config.training.start_from is None:
        return None
    start = load_run(config.training.start_from)
    if not start.model_path.is_file():
        raise UserError(f"{start.path} has no model.safetensors yet: its training has not finished an epoch")
    for key, (before, now) in config_changes(start.config, config).items():
        section, _, option = key.rpartition(".")
        if section.startswith(("model", "text")) and option not in MAY_DIFFER_FROM_START:
            raise UserError(
                f"training.start_from={start.path}: {key} is {before} in that run and {now} here; a run that starts from its "
                f"weights may change only these options of a model: {', '.join(MAY_DIFFER_FROM_START)}"
            )
    return start


def load_start(run: Run, start: Run, model: VqaModel) -> None:
    """Load the weights and the feature statistics that training starts from.

    Args:
        run: The new run.
        start: The run whose weights it starts from.
        model: The model of ``run``.

    Raises:
        UserError: The weights are damaged, or have changed since ``run`` was created.
    """
    recorded = read_json(run.path / "environment.json", "environment").get("start_from")
    if recorded != _weights(start):
        raise UserError(
            f"{start.model_path} has changed since {run.path} began with it, and there is no checkpoint yet: begin anew with "
            "--overwrite"
        )
    model.load_state_dict(load_model(start).state_dict())


def _weights(start: Run | None) -> dict[str, str] | None:
    """Describe the weights that a run starts from; None for random weights."""
    if start is None:
        return None
    return {"run": str(start.path), "weights_sha256": file_hash(start.model_path)}


def _environment(device: torch.device) -> dict[str, Any]:
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
