"""All sections of a language model's config: `LanguageConfig`."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from vqa_rnn.config.section import Section, Share
from vqa_rnn.config.text import RecurrentOptions
from vqa_rnn.config.training import Optimisation
from vqa_rnn.config.whole import RunConfig


class LanguageTextConfig(Section):
    """The text and its vocabulary."""

    path: Path | None = None
    """The text file, UTF-8."""
    unit: Literal["characters", "words"] = "characters"
    """What the model reads and predicts. A word keeps the space before it; punctuation marks and line ends are words."""
    min_count: int = Field(2, ge=1)
    """Words that occur less often in the training part are replaced by the unknown word. Every character is kept."""
    validation_share: Share = 0.05
    """Share of the text, at its end, that is used for validation; 0 trains on the whole text and keeps the last weights."""


class LanguageModelConfig(RecurrentOptions):
    """The network."""

    hidden_size: int = Field(512, ge=1)
    """Size of the recurrent state."""
    embedding_size: int | None = Field(None, ge=1)
    """Size of the input vectors, which are learned; null feeds one-hot vectors."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout between layers and before the output layer."""


class LanguageTrainingConfig(Optimisation):
    """The optimisation."""

    batch_size: int = Field(64, ge=1)
    """Number of streams: the text is cut into this many parts of equal length, which are read in parallel."""
    chunk_length: int = Field(100, ge=1)
    """Steps per optimizer step. The state is carried on to the next chunk, the gradient is not (truncated backpropagation
    through time)."""
    max_epochs: int = Field(20, ge=1)
    """Passes over the text."""
    sample_length: int = Field(200, ge=0)
    """Length of the sample that is written before training and after each epoch to `samples/` in the run folder; 0 writes
    none."""


class LanguageConfig(Section):
    """All options of a language model."""

    text: LanguageTextConfig = LanguageTextConfig()
    """The text and its vocabulary."""
    model: LanguageModelConfig = LanguageModelConfig()
    """The network."""
    training: LanguageTrainingConfig = LanguageTrainingConfig()
    """How the model is trained."""
    run: RunConfig = RunConfig()
    """Where the run is saved, the seed and the device."""
