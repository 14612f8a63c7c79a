"""The run of a model that labels videos: its kind, and its model.

A run on features of frames has one more file, ``frames.json``: the size of the features, and what made them.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from vqa_rnn.config.video import FrameFiles, VideoConfig
from vqa_rnn.errors import UserError
from vqa_rnn.files import read_json, write_json
from vqa_rnn.sequences.run import Kind, SequenceRun, load_model
from vqa_rnn.sequences.video import FeatureEncoder, PixelEncoder, VideoModel

VIDEO = Kind("video", "a model of videos", "vqa-rnn video train", VideoConfig, ("data.path", "data.features.store"))
VideoRun = SequenceRun[VideoConfig]


@dataclass(frozen=True, slots=True)
class FrameSource:
    """The features of frames that a run was trained on.

    Attributes:
        feature_size: D.
        fingerprint: Identifies backbone, weights, layers and transform, as in a feature store.
        compute: How they were computed, as in a feature store.
    """

    feature_size: int
    fingerprint: str
    compute: dict[str, Any]

    def save(self, run: VideoRun) -> None:
        """Write ``frames.json`` into the run folder.

        Args:
            run: The run.
        """
        write_json(run.path / "frames.json", asdict(self))


def source_of(run: VideoRun) -> FrameSource | None:
    """Return what the frames of a run are read from.

    Args:
        run: The run.

    Returns:
        The features; None if the model reads pixels.

    Raises:
        UserError: ``frames.json`` is missing or damaged.
    """
    if not isinstance(run.config.data, FrameFiles):
        return None
    path = run.path / "frames.json"
    values = read_json(path, "description of the frames")
    try:
        return FrameSource(int(values["feature_size"]), str(values["fingerprint"]), dict(values["compute"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: it is not what vqa-rnn wrote") from error


def build_video_model(config: VideoConfig, entries: Sequence[str], source: FrameSource | None) -> VideoModel:
    """Build a model with random weights.

    Args:
        config: The config.
        entries: The labels.
        source: The features of frames; None for moving shapes.

    Returns:
        The model.
    """
    options = config.model
    encoder: nn.Module
    if isinstance(config.data, FrameFiles):
        assert source is not None, "its features are opened first"
        encoder = FeatureEncoder(source.feature_size, options.frame_size)
    else:
        encoder = PixelEncoder(config.data.image_size, options.frame_size)
    return VideoModel(
        encoder,
        options.frame_size,
        len(entries),
        options.cell,
        options.hidden_size,
        output=options.output,
        pooling=options.pooling,
        bidirectional=options.bidirectional,
        num_layers=options.num_layers,
        dropout=options.dropout,
        **options.start(),
    )


def load_video_model(run: VideoRun, device: torch.device | str = "cpu") -> VideoModel:
    """Build the model of a run with its trained weights.

    Args:
        run: The run.
        device: The device of the model.

    Returns:
        The model in evaluation mode.

    Raises:
        UserError: There are no weights yet, or a file is damaged or does not fit the config.
    """
    return load_model(run, build_video_model(run.config, run.entries, source_of(run)), device)
