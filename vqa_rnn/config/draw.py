"""All sections of the config of a model that draws digits: `DrawConfig`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from vqa_rnn.config.digits import DIGIT_SIZES, DigitSource, check_folder
from vqa_rnn.config.section import Section
from vqa_rnn.config.text import RecurrentOptions
from vqa_rnn.config.training import Optimisation
from vqa_rnn.config.whole import RunConfig


class DrawDataConfig(Section):
    """The digits."""

    source: DigitSource = "sklearn"
    """`sklearn`: the 1,797 digits of 8 x 8 pixels in scikit-learn; `mnist`: the 70,000 digits of 28 x 28 pixels, read from
    `folder`."""
    folder: Path | None = None
    """`mnist` only: the folder with the four files of MNIST."""
    scale: int = Field(2, ge=1, le=8)
    """Enlarge the images this many times, bilinearly. A bound in nats is only comparable with others at the same size."""

    @property
    def side(self) -> int:
        """Height and width of an image."""
        return self.scale * DIGIT_SIZES[self.source]

    @model_validator(mode="after")
    def _check_folder(self) -> "DrawDataConfig":
        check_folder(self.source, self.folder)
        return self


class GaussianWindow(Section):
    """Read and write through a grid of Gaussian filters."""

    name: Literal["gaussian"] = "gaussian"
    read_size: int = Field(5, ge=2)
    """Filters along each side of the grid that reads."""
    write_size: int = Field(5, ge=2)
    """Filters along each side of the grid that writes."""


class NoWindow(Section):
    """Read and write the whole image at every step."""

    name: Literal["none"] = "none"


Window = Annotated[GaussianWindow | NoWindow, Field(discriminator="name")]


class DrawModelConfig(RecurrentOptions):
    """The network. Encoder and decoder have the same cell and sizes."""

    hidden_size: int = Field(128, ge=1)
    """Size of the state of the encoder, and of the decoder."""
    first_state: Literal["zero", "learned"] = "learned"
    """Initial states of encoder and decoder: zeros, or learned vectors."""
    steps: int = Field(10, ge=1)
    """Steps in which an image is drawn."""
    latent_size: int = Field(10, ge=1)
    """Size of the latent vector of each step."""
    attention: Window = GaussianWindow()
    """How the network reads the image and writes on the canvas."""


class DrawTrainingConfig(Optimisation):
    """The optimisation."""

    batch_size: int = Field(64, ge=1)
    """Images per optimizer step."""
    max_epochs: int = Field(150, ge=1)
    """Passes over the training images."""
    learning_rate: float = Field(3e-3, gt=0)
    """Peak learning rate."""
    clip_norm: float | None = Field(5.0, gt=0)
    """Clip the gradient to this norm; null switches it off."""


class DrawConfig(Section):
    """All options of a model that draws digits."""

    data: DrawDataConfig = DrawDataConfig()
    """The digits."""
    model: DrawModelConfig = DrawModelConfig()
    """The network."""
    training: DrawTrainingConfig = DrawTrainingConfig()
    """How the model is trained."""
    run: RunConfig = RunConfig()
    """Where the run is saved, the seed and the device."""

    @model_validator(mode="after")
    def _check_grids(self) -> "DrawConfig":
        window = self.model.attention
        if window.name == "none":
            return self
        for name in ("read_size", "write_size"):
            size = getattr(window, name)
            if size > self.data.side:
                raise ValueError(
                    f"model.attention.{name}={size} is larger than the image, which is {self.data.side} pixels wide"
                )
        return self
