"""``vqa-rnn video preprocess``: the features of all frames of a file of videos."""

from preprocessing.extract_features import ExtractionReport, extract_features
from vqa_rnn.commands.video.data import frame_config, frames_of
from vqa_rnn.config.video import FrameFiles, VideoConfig
from vqa_rnn.engines import choose_device
from vqa_rnn.errors import UserError
from vqa_rnn.sequences.video_file import read_videos


def preprocess(config: VideoConfig) -> ExtractionReport:
    """Create or complete the feature store of the frames.

    Args:
        config: The config, with a file of videos.

    Returns:
        The report of the extraction.

    Raises:
        UserError: The file is wrong, or a frame is missing or cannot be read.
    """
    if not isinstance(config.data, FrameFiles):
        raise UserError("moving_shapes needs no features: its frames are read as pixels")
    whole = frame_config(config.data)
    assert config.data.path is not None
    frames = frames_of(config.data.path, read_videos(config.data.path))
    try:
        return extract_features(whole, frames, device=str(choose_device(config.run.device)))
    except UserError as error:
        advice = "; or set features.skip_damaged=true"  # of questions; a video needs all its frames
        if advice not in str(error):
            raise
        raise UserError(str(error).partition(advice)[0]) from error
