"""The run folder: everything that a trained model needs, on its own.

    run.json           format version, what the features are, sizes, how training computes
    config.yaml        the resolved config, never changed        resumes.jsonl      what a resume changed
    environment.json   versions, command, device                log.txt
    tokenizer.json     words                                     answers.json       classes of the classifier head
    model.safetensors  the best weights so far                   checkpoints/       the full state, to resume
    metrics.jsonl      deterministic                             timings.jsonl      rates, waiting
    tensorboard/                                                 evaluation/

Weights are safetensors and checkpoints load with ``weights_only=True``: nothing here unpickles what a user downloads.
"""

import platform
import shutil
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.config import Config, run_path
from vqa_rnn.config_files import config_yaml, validate_config
from vqa_rnn.errors import UserError
from vqa_rnn.files import atomic_path, read_json, write_json, write_text
from vqa_rnn.models import ModelSizes, VqaModel
from vqa_rnn.text import WordTokenizer

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An open run folder.

    Attributes:
        path: The folder.
        config: The resolved config.
        tokenizer: For all texts.
        answers: The classes of the classifier head; empty for a choice head.
        sizes: What the data fixed about the model.
        features: The extractor's ``description`` with its ``fingerprint`` and ``precision``.
        precision: How training computes, settled when it began.
    """

    path: Path
    config: Config
    tokenizer: WordTokenizer
    answers: AnswerVocabulary
    sizes: ModelSizes
    features: Mapping[str, Any]
    precision: str

    @property
    def model_path(self) -> Path:
        """The best weights."""
        return self.path / "model.safetensors"

    @property
    def checkpoint_path(self) -> Path:
        """The state to resume from."""
        return self.path / "checkpoints" / "last.pt"


def check_new_run(config: Config, *, overwrite: bool) -> Path:
    """Look whether a run folder may be made, before anything is computed.

    Args:
        config: Names the folder.
        overwrite: An existing run may be replaced.

    Returns:
        The path of the folder.

    Raises:
        UserError: The folder exists and may not be replaced, or is no run folder.
    """
    path = run_path(config)
    if not path.exists():
        return path
    if not overwrite:
        raise UserError(f"{path} exists: continue it with --resume, replace it with --overwrite, or set run.name")
    if not (path / "run.json").is_file():
        raise UserError(f"{path} exists and is not a run folder: it is not overwritten; set run.name to another name")
    return path


def create_run(
    config: Config,
    tokenizer: WordTokenizer,
    answers: AnswerVocabulary,
    sizes: ModelSizes,
    features: Mapping[str, Any],
    precision: str,
    *,
    overwrite: bool,
) -> Run:
    """Make the run folder, complete but for weights.

    Args:
        config: The resolved config.
        tokenizer: For all texts.
        answers: The classes of the classifier head.
        sizes: What the data fixed about the model.
        features: The extractor's ``description`` with its ``fingerprint`` and ``precision``.
        precision: How training computes.
        overwrite: Replace an existing run.

    Returns:
        The run.
    """
    path = check_new_run(config, overwrite=overwrite)
    if path.exists():
        shutil.rmtree(path)
    run = Run(
        path=path,
        config=config,
        tokenizer=tokenizer,
        answers=answers,
        sizes=sizes,
        features=features,
        precision=precision,
    )
    write_text(path / "config.yaml", config_yaml(config))
    tokenizer.save(path / "tokenizer.json")
    answers.save(path / "answers.json")
    write_json(path / "environment.json", _environment())
    description = {
        "format_version": FORMAT_VERSION,
        "features": dict(features),
        "sizes": asdict(sizes),
        "precision": precision,
    }
    write_json(path / "run.json", description)  # last: a folder with it is a run folder
    return run


def load_run(path: Path) -> Run:
    """Open a run folder.

    Args:
        path: The folder.

    Returns:
        The run.

    Raises:
        UserError: It is missing, not a run folder, damaged, or of a newer format.
    """
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
    try:
        values = OmegaConf.to_container(OmegaConf.load(path / "config.yaml"))
    except Exception as error:  # a YAML error of any kind, or no file
        raise UserError(f"cannot read {path}/config.yaml: {' '.join(str(error).split())}") from error
    try:
        sizes = ModelSizes(**description["sizes"])
        features, precision = description["features"], description["precision"]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}/run.json is damaged: {error}") from error
    return Run(
        path=path,
        config=validate_config(values, f"{path}/config.yaml"),  # type: ignore[arg-type]
        tokenizer=WordTokenizer.load(path / "tokenizer.json"),
        answers=AnswerVocabulary.load(path / "answers.json"),
        sizes=sizes,
        features=features,
        precision=precision,
    )


def save_model(run: Run, model: VqaModel) -> None:
    """Write the weights as the run's best.

    Args:
        run: The run.
        model: The model.
    """
    with atomic_path(run.model_path) as temporary:
        save_file(_unshared(model), temporary)


def load_model(run: Run, device: torch.device | str = "cpu") -> VqaModel:
    """Build the run's model with its best weights, ready to answer.

    Args:
        run: The run.
        device: Where it should live.

    Returns:
        The model in evaluation mode.

    Raises:
        UserError: There are no weights yet, the file is not safetensors, or it does not fit the run's config.
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
    model.load_state_dict(weights, strict=False)  # what is missing is shared with what is there
    return model.to(device).eval()


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a full training state.

    Args:
        path: The file.

    Returns:
        State by name, on the CPU.

    Raises:
        UserError: The file is missing, or holds anything but tensors and plain values.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on pickles that are not its own; the error says enough
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"there is nothing to resume: no checkpoint at {path}") from None
    except Exception as error:  # pickle, zip and runtime errors: all mean that it is not ours
        raise UserError(f"{path} is not a checkpoint, or is damaged; it was not loaded") from error
    if not isinstance(state, dict) or "model" not in state or "trainer" not in state:
        raise UserError(f"{path} is not a checkpoint of a run")
    return state


def _unshared(model: VqaModel) -> dict[str, torch.Tensor]:
    """The state dict with each tensor once: modules may share a word embedding."""
    seen: set[int] = set()
    state = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            state[name] = tensor.detach().cpu().contiguous()
    return state


def _environment() -> dict[str, Any]:
    packages = ("vqa-rnn", "torch", "torchvision", "timm", "pytorch-ignite", "h5py", "numpy", "tokenizers")
    versions: dict[str, str | None] = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
    }
