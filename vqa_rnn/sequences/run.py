"""The run folder of a language model.

run.json           format version, hash of the text, precision, threads
config.yaml        the resolved config                       vocabulary.json    the characters or words
environment.json   versions, git state, command, device      log.txt
model.safetensors  the weights                               checkpoints/       full training states, to resume from
metrics.jsonl      deterministic values                      timings.jsonl      throughput
samples/           a sample before training and after each epoch
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import OmegaConf

from vqa_rnn.config.files import config_yaml, validate_config
from vqa_rnn.config.language import LanguageConfig, LanguageModelConfig
from vqa_rnn.errors import UserError
from vqa_rnn.files import read_json, write_json, write_text
from vqa_rnn.run_folder import RunFolder, describe_environment, empty_run, load_weights
from vqa_rnn.sequences.language_model import LanguageModel
from vqa_rnn.sequences.text_vocabulary import TextVocabulary

KIND = "language_model"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageRun(RunFolder):
    """An open run folder of a language model.

    Attributes:
        config: The resolved config.
        vocabulary: The entries of the text.
        text_sha256: Hash of the text file.
    """

    config: LanguageConfig
    vocabulary: TextVocabulary
    text_sha256: str


def create_run(run: LanguageRun, device: torch.device) -> None:
    """Create the run folder, complete except for the weights. Whatever is in it is deleted, except the lock.

    Args:
        run: The run.
        device: The device of training.
    """
    path = run.path
    empty_run(path)
    write_text(path / "config.yaml", config_yaml(run.config))
    run.vocabulary.save(path / "vocabulary.json")
    write_json(path / "environment.json", describe_environment(device) | {"threads": run.threads})
    description = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "text_sha256": run.text_sha256,
        "precision": run.precision,
        "threads": run.threads,
    }
    write_json(path / "run.json", description)  # last: it makes the folder a run folder


def load_run(path: Path) -> LanguageRun:
    """Open the run folder of a language model.

    Args:
        path: The folder.

    Returns:
        The run.

    Raises:
        UserError: The folder is missing, not a run of a language model, damaged, or of another format version.
    """
    if not (path / "run.json").is_file():
        raise UserError(f"no run folder at {path}: train a language model first, with vqa-rnn lm train FILE")
    description = read_json(path / "run.json", "run description")
    if not isinstance(description, dict) or description.get("kind") != KIND:
        raise UserError(f"{path} is not a language model: vqa-rnn lm needs a run of vqa-rnn lm train")
    if description.get("format_version") != FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {description.get('format_version')}, and this vqa-rnn reads {FORMAT_VERSION}: "
            "train it again"
        )
    try:
        values = OmegaConf.to_container(OmegaConf.load(path / "config.yaml"))
        text_sha256, precision, threads = (description[name] for name in ("text_sha256", "precision", "threads"))
    except Exception as error:  # a YAML error of any kind, a missing file or a missing key
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())}") from error
    return LanguageRun(
        path=path,
        config=validate_config(values, f"{path}/config.yaml", LanguageConfig),  # type: ignore[arg-type]
        vocabulary=TextVocabulary.load(path / "vocabulary.json"),
        text_sha256=text_sha256,
        precision=precision,
        threads=threads,
    )


def build_model(options: LanguageModelConfig, vocabulary_size: int) -> LanguageModel:
    """Build a model with random weights.

    Args:
        options: The network.
        vocabulary_size: Number of entries of the vocabulary.

    Returns:
        The model.
    """
    return LanguageModel(
        vocabulary_size,
        options.cell,
        options.hidden_size,
        embedding_size=options.embedding_size,
        num_layers=options.num_layers,
        dropout=options.dropout,
        **options.start(),
    )


def load_model(run: LanguageRun, device: torch.device | str = "cpu") -> LanguageModel:
    """Build the model of a run with its trained weights.

    Args:
        run: The run.
        device: The device of the model.

    Returns:
        The model in evaluation mode.

    Raises:
        UserError: There are no weights yet, or the file is damaged or does not fit the config.
    """
    model = build_model(run.config.model, len(run.vocabulary))
    load_weights(run, model)
    return model.to(device).eval()
