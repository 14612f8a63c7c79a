"""All sections of the config of a reader of glimpses: `GlimpsesConfig`."""

from pathlib import Path

from pydantic import Field, model_validator

from vqa_rnn.config.digits import DIGIT_SIZES, DigitSource, check_folder
from vqa_rnn.config.section import Section
from vqa_rnn.config.text import RecurrentOptions
from vqa_rnn.config.training import Optimisation
from vqa_rnn.config.whole import RunConfig


class ScenesConfig(Section):
    """The scenes: images of several digits."""

    source: DigitSource = "sklearn"
    """The single digits. `sklearn`: 1,797 digits of 8 x 8 pixels that come with scikit-learn (`pip install
    "vqa-rnn[digits]"`); `mnist`: those of 28 x 28 pixels in the four files in `folder`."""
    folder: Path | None = None
    """`mnist` only: the folder with its four official files, such as `train-images-idx3-ubyte.gz`."""
    num_digits: int = Field(2, ge=1, le=3)
    """Most digits of a scene."""
    fewest_digits: int | None = Field(None, ge=1)
    """Fewest digits of a scene; null gives all scenes `num_digits`."""
    canvas_size: int = Field(24, ge=8)
    """Side of a scene in pixels."""
    num_train: int = Field(20_000, ge=1)
    """Training scenes of an epoch. Each epoch has new ones."""
    num_val: int = Field(2000, ge=1)
    """Validation scenes. They are the same in all runs with the same options of this section."""

    @property
    def digit_size(self) -> int:
        """Side of a digit in pixels."""
        return DIGIT_SIZES[self.source]

    @model_validator(mode="after")
    def _check_folder(self) -> "ScenesConfig":
        check_folder(self.source, self.folder)
        return self

    @model_validator(mode="after")
    def _check_digits(self) -> "ScenesConfig":
        if self.fewest_digits is not None and self.fewest_digits > self.num_digits:
            raise ValueError(f"fewest_digits={self.fewest_digits} is more than num_digits={self.num_digits}")
        if self.canvas_size < self.num_digits * self.digit_size:
            raise ValueError(
                f"canvas_size={self.canvas_size} is too small for {self.num_digits} digits of {self.digit_size} pixels side by "
                f"side: at least {self.num_digits * self.digit_size}"
            )
        return self


class GlimpsesModelConfig(RecurrentOptions):
    """The network."""

    hidden_size: int = Field(128, ge=1)
    """Size of the states of both recurrent networks, and of what is seen."""
    glimpse_size: int = Field(8, ge=2)
    """Side of a glimpse in pixels."""
    num_scales: int = Field(2, ge=1, le=4)
    """Patches of a glimpse: each covers twice the side of the one before it, with the same number of pixels."""
    glimpses_per_digit: int = Field(2, ge=1)
    """Glimpses before each digit, and before the end, is read."""
    context_size: int | None = Field(12, ge=1)
    """Side of the coarse view of the scene, from which the first place is chosen; null starts without a view of it."""
    location_std: float = Field(0.2, gt=0)
    """Standard deviation of the places that are tried in training. The scene is 2 wide and 2 high."""


class GlimpsesTrainingConfig(Optimisation):
    """The optimisation."""

    batch_size: int = Field(128, ge=1)
    """Scenes per optimizer step."""
    max_epochs: int = Field(20, ge=1)
    """Passes of `data.num_train` scenes."""
    reinforce_weight: float = Field(1.0, ge=0)
    """Weight of the REINFORCE gradient beside that of the cross-entropy; 0 does not learn where to look."""


class GlimpsesConfig(Section):
    """All options of a reader of glimpses."""

    data: ScenesConfig = ScenesConfig()
    """The scenes."""
    model: GlimpsesModelConfig = GlimpsesModelConfig()
    """The network."""
    training: GlimpsesTrainingConfig = GlimpsesTrainingConfig()
    """How the model is trained."""
    run: RunConfig = RunConfig()
    """Where the run is saved, the seed and the device."""

    @model_validator(mode="after")
    def _check_sizes(self) -> "GlimpsesConfig":
        widest = self.model.glimpse_size * 2 ** (self.model.num_scales - 1)
        if widest > 2 * self.data.canvas_size:
            raise ValueError(
                f"the widest patch of a glimpse has {widest} pixels, more than twice data.canvas_size={self.data.canvas_size}: "
                "lower model.glimpse_size or model.num_scales"
            )
        if self.model.context_size is not None and self.model.context_size > self.data.canvas_size:
            raise ValueError(
                f"model.context_size={self.model.context_size} is more than data.canvas_size={self.data.canvas_size}"
            )
        return self
