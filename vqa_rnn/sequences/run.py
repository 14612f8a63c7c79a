"""The run folder of a sequence model.

run.json           kind, format version, hash of the data file, precision, threads
config.yaml        the resolved config                       vocabulary.json    the characters, words or labels
environment.json   versions, git state, command, device      log.txt
model.safetensors  the weights                               checkpoints/       full training states, to resume from
metrics.jsonl      deterministic values                      timings.jsonl      throughput
samples/           what the model made before training and after each epoch, for models that make something
evaluation/        the report and the scores of single examples, by split
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from omegaconf import OmegaConf
from torch import nn

from vqa_rnn.config import Section, TrainableConfig
from vqa_rnn.config.files import config_yaml, validate_config
from vqa_rnn.errors import UserError
from vqa_rnn.files import read_json, write_json, write_text
from vqa_rnn.run_folder import RunFolder, describe_environment, empty_run, load_weights

FORMAT_VERSION = 1

ConfigT = TypeVar("ConfigT", bound=TrainableConfig)
ModelT = TypeVar("ModelT", bound=nn.Module)


class Kind(NamedTuple):
    """A kind of sequence model.

    Attributes:
        name: Its name in ``run.json``.
        noun: What messages call such a model, with its article.
        command: The command that trains one.
        config: Class of its config.
        may_move: Options that say where the data are.
    """

    name: str
    noun: str
    command: str
    config: type[Section]
    may_move: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceRun(RunFolder, Generic[ConfigT]):
    """An open run folder of a sequence model.

    Attributes:
        config: The resolved config.
        entries: What the numbers that the model reads or predicts stand for: characters, words or labels.
        data_sha256: Hash of the data file; None if the data are generated from the config.
    """

    config: ConfigT
    entries: tuple[str, ...]
    data_sha256: str | None


def create_run(run: SequenceRun[Any], kind: Kind, device: torch.device) -> None:
    """Create the run folder, complete except for the weights. Whatever is in it is deleted, except the lock.

    Args:
        run: The run.
        kind: Its kind.
        device: The device of training.
    """
    path = run.path
    empty_run(path)
    write_text(path / "config.yaml", config_yaml(run.config))
    write_json(path / "vocabulary.json", {"entries": list(run.entries)})
    write_json(path / "environment.json", describe_environment(device) | {"threads": run.threads})
    description = {
        "kind": kind.name,
        "command": kind.command,
        "format_version": FORMAT_VERSION,
        "data_sha256": run.data_sha256,
        "precision": run.precision,
        "threads": run.threads,
    }
    write_json(path / "run.json", description)  # last: it makes the folder a run folder


def load_run(path: Path, kind: Kind) -> SequenceRun[Any]:
    """Open the run folder of a sequence model.

    Args:
        path: The folder.
        kind: The expected kind.

    Returns:
        The run.

    Raises:
        UserError: The folder is missing, not a run of this kind, damaged, or of another format version.
    """
    if not (path / "run.json").is_file():
        raise UserError(f"no run folder at {path}: train {kind.noun} first, with {kind.command}")
    description = read_json(path / "run.json", "run description")
    if not isinstance(description, dict) or description.get("kind") != kind.name:
        raise UserError(f"{path} is not {kind.noun}: give a run of {kind.command}")
    if description.get("format_version") != FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {description.get('format_version')}, and this vqa-rnn reads {FORMAT_VERSION}: "
            "train it again"
        )
    vocabulary = read_json(path / "vocabulary.json", "vocabulary")
    try:
        values = OmegaConf.to_container(OmegaConf.load(path / "config.yaml"))
        data_sha256, precision, threads = (description[name] for name in ("data_sha256", "precision", "threads"))
        entries = tuple(map(str, vocabulary["entries"]))
    except Exception as error:  # a YAML error of any kind, a missing file or a missing key
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())}") from error
    return SequenceRun(
        path=path,
        config=validate_config(values, f"{path}/config.yaml", kind.config),  # type: ignore[arg-type]
        entries=entries,
        data_sha256=data_sha256,
        precision=precision,
        threads=threads,
    )


def load_model(run: SequenceRun[Any], model: ModelT, device: torch.device | str = "cpu") -> ModelT:
    """Load the trained weights of a run into a model.

    Args:
        run: The run.
        model: A model with random weights, as built for training.
        device: The device of the model.

    Returns:
        The model in evaluation mode.

    Raises:
        UserError: There are no weights yet, or the file is damaged or does not fit the config.
    """
    load_weights(run, model)
    return model.to(device).eval()
