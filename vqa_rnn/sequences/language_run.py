"""The run of a language model: its kind, its vocabulary and its model."""

from collections.abc import Sequence
from pathlib import Path

import torch

from vqa_rnn.config.language import LanguageConfig
from vqa_rnn.sequences.language_model import LanguageModel
from vqa_rnn.sequences.run import Kind, SequenceRun, load_model, load_run
from vqa_rnn.sequences.text_vocabulary import TextVocabulary

LANGUAGE = Kind("language_model", "a language model", "vqa-rnn lm train", LanguageConfig)
LanguageRun = SequenceRun[LanguageConfig]


def load_language_run(path: Path) -> LanguageRun:
    """Open the run folder of a language model.

    Args:
        path: The folder.

    Returns:
        The run.

    Raises:
        UserError: The folder is missing, not a run of a language model, damaged, or of another format version.
    """
    return load_run(path, LANGUAGE)


def vocabulary_of(run: LanguageRun) -> TextVocabulary:
    """Return the vocabulary of a run.

    Args:
        run: The run.

    Returns:
        Its characters or words.
    """
    return TextVocabulary(run.config.text.unit, run.entries)


def build_language_model(config: LanguageConfig, entries: Sequence[str]) -> LanguageModel:
    """Build a model with random weights.

    Args:
        config: The config.
        entries: The vocabulary.

    Returns:
        The model.
    """
    options = config.model
    return LanguageModel(
        len(entries),
        options.cell,
        options.hidden_size,
        embedding_size=options.embedding_size,
        num_layers=options.num_layers,
        dropout=options.dropout,
        **options.start(),
    )


def load_language_model(run: LanguageRun, device: torch.device | str = "cpu") -> LanguageModel:
    """Build the model of a run with its trained weights.

    Args:
        run: The run.
        device: The device of the model.

    Returns:
        The model in evaluation mode.

    Raises:
        UserError: There are no weights yet, or the file is damaged or does not fit the config.
    """
    return load_model(run, build_language_model(run.config, run.entries), device)
