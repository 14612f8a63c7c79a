"""The run of a language model: its kind, its vocabulary and its model."""

from collections.abc import Sequence

from vqa_rnn.config.language import LanguageConfig
from vqa_rnn.sequences.language_model import LanguageModel
from vqa_rnn.sequences.run import Kind, SequenceRun
from vqa_rnn.sequences.text_vocabulary import TextVocabulary

LANGUAGE = Kind("language_model", "a language model", "vqa-rnn lm train", LanguageConfig, ("text.path",))
LanguageRun = SequenceRun[LanguageConfig]


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
