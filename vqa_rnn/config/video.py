"""All sections of the config of a model that labels videos: `VideoConfig`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from vqa_rnn.config.features import FeaturesConfig
from vqa_rnn.config.section import Section, Share
from vqa_rnn.config.text import RecurrentOptions
from vqa_rnn.config.training import Optimisation
from vqa_rnn.config.whole import RunConfig

Output = Literal["sequence", "frame"]


class MovingShapes(Section):
    """Generated videos: a shape moves, turns once and moves on, among shapes that stand still."""

    name: Literal["moving_shapes"] = "moving_shapes"
    num_train: int = Field(8000, ge=1)
    """Training videos."""
    num_val: int = Field(500, ge=1)
    """Validation videos."""
    num_test: int = Field(1000, ge=1)
    """Test videos."""
    image_size: int = Field(32, ge=24, le=128)
    """Height and width of a frame, in pixels."""
    min_frames: int = Field(8, ge=5)
    """Fewest frames of a video."""
    max_frames: int = Field(12, ge=5)
    """Most frames of a video."""
    num_still: int = Field(2, ge=0, le=5)
    """Number of shapes that stand still. All shapes of a video have different colours."""
    seed: int = Field(0, ge=0)
    """Seed of the videos."""

    @model_validator(mode="after")
    def _check_frames(self) -> "MovingShapes":
        if self.min_frames > self.max_frames:
            raise ValueError(f"min_frames={self.min_frames} is more than max_frames={self.max_frames}")
        return self


class FrameFeatures(FeaturesConfig):
    """The network that turns a frame into a vector; the options of `features` in other configs."""

    library: Literal["timm", "torchvision", "transformers", "imported"] = "timm"
    """Where the backbone comes from, as in other configs. `imported`: `store` was written by `vqa-rnn features import`."""
    output: Literal["pooled"] = "pooled"
    """A frame is one vector, the mean of the grid."""
    skip_damaged: Literal[False] = False
    """A frame that cannot be read stops the job: without it the order of the frames would change."""

    @model_validator(mode="after")
    def _check_grid(self) -> "FrameFeatures":
        for name in ("grid_size", "box_method"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}={getattr(self, name)} does nothing: a frame is one vector, the mean of the grid")
        return self


class FrameFiles(Section):
    """Your own videos, as files of frames."""

    name: Literal["frames"] = "frames"
    path: Path | None = None
    """The file: one JSON object a line, with `frames`, a list of image files in order, and `label` or, with one for each frame,
    `labels`. `split` can be `train` (the default), `val` or `test`. Image paths are relative to the file's folder."""
    features: FrameFeatures = FrameFeatures()
    """How frames become vectors."""
    validation_share: Share = 0.1
    """Share of the training videos that is used for validation where no line has the split `val`; 0 trains on all of them and
    keeps the last weights."""
    split_seed: int = Field(0, ge=0)
    """Seed of that choice."""


VideoData = Annotated[MovingShapes | FrameFiles, Field(discriminator="name")]


class VideoModelConfig(RecurrentOptions):
    """The network."""

    output: Output = "sequence"
    """`sequence`: one label for a video (many to one); `frame`: one for each of its frames (many to many)."""
    frame_size: int = Field(128, ge=1)
    """Size of the vector of a frame."""
    hidden_size: int = Field(128, ge=1)
    """Size of the recurrent state."""
    bidirectional: bool = False
    """Read the video in both directions, each with a state of size `hidden_size`."""
    pooling: Literal["last", "mean", "max"] = "last"
    """With `output=sequence`, what is classified: the last state, or the mean or the maximum of all states."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the frame vectors, between layers and before the output layer."""

    @model_validator(mode="after")
    def _check_pooling(self) -> "VideoModelConfig":
        if self.output == "frame" and self.pooling != "last":
            raise ValueError(f"pooling={self.pooling} is for output=sequence: with output=frame no states are pooled")
        return self


class VideoTrainingConfig(Optimisation):
    """The optimisation."""

    batch_size: int = Field(32, ge=1)
    """Videos per optimizer step."""
    max_epochs: int = Field(20, ge=1)
    """Passes over the training videos."""


class VideoConfig(Section):
    """All options of a model that labels videos."""

    data: VideoData = MovingShapes()
    """The videos."""
    model: VideoModelConfig = VideoModelConfig()
    """The network."""
    training: VideoTrainingConfig = VideoTrainingConfig()
    """How the model is trained."""
    run: RunConfig = RunConfig()
    """Where the run is saved, the seed and the device."""
