"""The complete config: all sections."""

from pathlib import Path
from typing import Any, Protocol

from pydantic import Field, model_validator

from vqa_rnn.config.dataset import Dataset, EasyVqaDataset
from vqa_rnn.config.features import FeaturesConfig
from vqa_rnn.config.model import ModelConfig
from vqa_rnn.config.section import Section
from vqa_rnn.config.text import TextConfig
from vqa_rnn.config.training import Optimisation, TrainingConfig


class EvaluationConfig(Section):
    """How a model is evaluated."""

    batch_size: int = Field(1024, ge=1)
    """Questions per forward pass."""
    bootstrap_samples: int = Field(1000, ge=10)
    """Number of bootstrap resamples of the images for the 95% intervals."""
    prefix_words: int = Field(3, ge=1)
    """Number of words that the question-prefix floor looks at."""


class RunConfig(Section):
    """Where a run is saved, and what makes it reproducible."""

    name: str | None = None
    """Name of the run folder; by default the name of the config."""
    folder: Path = Path("runs")
    """Folder that contains the run folders."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of the initial weights, the order of the batches and dropout."""
    device: str = "auto"
    """`auto`: a GPU if there is one; or `cpu`, `cuda`, `cuda:1`, … Under torchrun or SLURM each process takes its own GPU."""
    deterministic: bool = False
    """Use only deterministic algorithms, so that a run on a GPU is reproducible bit for bit; slower. Runs on a CPU always
    are."""


class TrainableConfig(Protocol):
    """The config of any kind of model that is trained into a run folder."""

    @property
    def training(self) -> Optimisation:
        """How the model is trained."""
        ...

    @property
    def run(self) -> RunConfig:
        """Where the run is saved, the seed and the device."""
        ...

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """Return all options as plain values."""
        ...


class Config(Section):
    """All options of a run."""

    dataset: Dataset = EasyVqaDataset()
    """The data set: questions and images."""
    features: FeaturesConfig = FeaturesConfig()
    """How image features are extracted."""
    text: TextConfig = TextConfig()
    """The word vocabulary and the answer vocabulary."""
    model: ModelConfig = ModelConfig()
    """The network, from features and tokens to scores."""
    training: TrainingConfig = TrainingConfig()
    """How the model is trained."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """How the model is evaluated."""
    run: RunConfig = RunConfig()
    """Where the run is saved, the seed and the device."""

    @model_validator(mode="after")
    def _check_word_vectors(self) -> "Config":
        if self.text.vectors is not None and self.model.question.name == "transformer":
            raise ValueError("text.vectors and model.question.name=transformer both bring word vectors: leave text.vectors out")
        if self.text.vectors is not None and self.training.start_from is not None:
            raise ValueError("text.vectors and training.start_from both set the initial word vectors: leave one out")
        return self

    @model_validator(mode="after")
    def _check_mirror(self) -> "Config":
        if self.training.mirror and self.features.library in ("none", "imported"):
            raise ValueError(
                f"training.mirror needs features of mirrored images, and features.library={self.features.library} makes none"
            )
        return self

    @model_validator(mode="after")
    def _check_single_region(self) -> "Config":
        pooled = self.features.output == "pooled"
        if not pooled and self.features.library != "none":
            return self
        source = "features.output=pooled" if pooled else "features.library=none"
        if self.model.attention.name != "none":
            raise ValueError(
                f"{source} gives one region per image: there is nothing to attend to; set model.attention.name=none "
                f"(given: {self.model.attention.name})"
            )
        if self.model.reasoning.name != "none":
            raise ValueError(
                f"{source} gives one region per image: there is nothing to reason about; set model.reasoning.name=none "
                f"(given: {self.model.reasoning.name})"
            )
        if self.model.geometry:
            raise ValueError(f"{source} gives one region per image: set model.geometry=false (given: true)")
        return self
