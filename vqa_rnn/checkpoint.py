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

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.config import Config, run_path
from vqa_rnn.config.files import config_changes, config_yaml, validate_config
from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash, read_json, write_json, write_text
from vqa_rnn.models import ModelSizes, VqaModel
from vqa_rnn.records import Split
from vqa_rnn.run_folder import RunFolder, check_new_run, describe_environment, empty_run, load_weights
from vqa_rnn.text import SubwordTokenizer, WordTokenizer

FORMAT_VERSION = 4  # 3: texts are split into words differently; 4: run.json has the number of threads
# Model options that fine-tuning may change: they do not affect the meaning of the weights.
MAY_DIFFER_FROM_START = (
    "target",
    "label_smoothing",
    "dropout",
    "word_dropout",
    "feature_dropout",
    "objective",
    "coverage",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(RunFolder):
    """An open run folder of a model that answers questions.

    Attributes:
        config: The resolved config.
        tokenizer: The tokenizer of all texts.
        answers: The classes of the classifier head; empty for other heads.
        sizes: The model sizes that follow from the data.
        features: The extractor's ``description`` with its ``fingerprint`` and how the features were computed.
        annotations: Hashes of the annotation files, from ``annotations.unchanged``.
        launcher: Identifies the launcher of the process that created the run.
        examples: Training questions, shown to users as examples.
    """

    config: Config
    tokenizer: WordTokenizer
    answers: AnswerVocabulary
    sizes: ModelSizes
    features: Mapping[str, Any]
    annotations: Mapping[str, str] = field(default_factory=dict)
    launcher: str = ""
    examples: Sequence[str] = ()

    def questions_path(self, split: Split) -> Path:
        """Return the file in which training keeps the encoded questions of a split.

        Args:
            split: ``train`` or ``val``.

        Returns:
            The file.
        """
        return self.path / "questions" / f"{split}.h5"


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
    path = run_path(config)
    check_new_run(path, overwrite=overwrite)
    empty_run(path)
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
    write_json(path / "environment.json", describe_environment(device) | {"threads": threads, "start_from": _weights(start)})
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
    if isinstance(description, dict) and "kind" in description:
        command = str(description.get("command"))
        group = command.removesuffix(" train")
        raise UserError(
            f"{path} is a run of {command}, which answers no questions: {group} --help lists what can be done with it"
        )
    version = description.get("format_version") if isinstance(description, dict) else None
    if not isinstance(version, int):
        raise UserError(f"{path}/run.json does not describe a run: format_version is missing")
    if version > FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {version}; this program knows versions up to {FORMAT_VERSION}: install a newer vqa-rnn"
        )
    if version < FORMAT_VERSION:
        raise UserError(
            f"{path} was made by an older vqa-rnn (format version {version}; this one reads {FORMAT_VERSION}): train it again"
        )
    try:
        values = OmegaConf.to_container(OmegaConf.load(path / "config.yaml"))
    except Exception as error:  # a YAML error of any kind, or no file
        raise UserError(f"cannot read {path}/config.yaml: {' '.join(str(error).split())}") from error
    try:
        sizes = ModelSizes(**description["sizes"])
        features, precision, threads = description["features"], description["precision"], description["threads"]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}/run.json is damaged: {error}") from error
    config = validate_config(values, f"{path}/config.yaml", Config)  # type: ignore[arg-type]
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
    load_weights(run, model)
    return model.to(device).eval()


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
