"""``vqa-rnn video train``: videos to a run folder."""

from collections.abc import Sequence
from typing import Any

from vqa_rnn.commands.sequences.training import SequenceData, Task, train_sequences
from vqa_rnn.commands.video.data import read_data
from vqa_rnn.config.video import FrameFiles, VideoConfig
from vqa_rnn.engines import Examples
from vqa_rnn.engines.handlers import ACCURACY
from vqa_rnn.progress import counted
from vqa_rnn.sequences.batches import ExampleBatches
from vqa_rnn.sequences.video import VideoModel, accuracy, correct_sums
from vqa_rnn.sequences.video_data import VideoBatch, VideoSet
from vqa_rnn.sequences.video_run import VIDEO, FrameSource, VideoRun, build_video_model


def train(config: VideoConfig, *, resume: bool = False, overwrite: bool = False) -> VideoRun:
    """Train a model that labels videos or their frames, and choose the best epoch on the validation videos.

    Args:
        config: The config.
        resume: Continue an existing run from its last checkpoint.
        overwrite: Replace an existing run.

    Returns:
        The trained run.

    Raises:
        UserError: The videos or the features of their frames cannot be read, the run folder exists (or, to resume, does not),
            or the loss was not finite.
        Interrupted: A signal was received; the state is saved.
    """
    return train_sequences(_task(), config, resume=resume, overwrite=overwrite)


def batches_of(videos: VideoSet, config: VideoConfig, *, shuffle: bool) -> ExampleBatches[VideoBatch]:
    """Return the batches of a split.

    Args:
        videos: Its videos.
        config: Batch size and seed.
        shuffle: Whether to shuffle the videos in each epoch.

    Returns:
        The batches.
    """
    return ExampleBatches(len(videos.rows), config.training.batch_size, videos.collate, shuffle=shuffle, seed=config.run.seed)


def _task() -> Task:
    source: FrameSource | None = None

    def read(config: VideoConfig) -> SequenceData:
        nonlocal source
        data = read_data(config, ("train", "val"))
        source = data.source
        train, val = data.sets["train"], data.sets.get("val")
        num_frames = sum(map(len, train.rows))
        path = config.data.path if isinstance(config.data, FrameFiles) else None
        return SequenceData(
            train=batches_of(train, config, shuffle=True),
            val=None if val is None else batches_of(val, config, shuffle=False),
            entries=data.entries,
            examples=Examples(train.names, "videos", "check their frames", "videos"),
            steps_per_batch=config.training.batch_size * num_frames // len(train.rows),
            description=f"{counted(len(train.rows), 'training videos')}, "
            f"{counted(0 if val is None else len(val.rows), 'validation videos')}, {len(data.entries)} labels",
            file=None if path is None else f"{path}, or what made the features of its frames,",
            sha256=data.sha256,
        )

    def build(config: VideoConfig, entries: Sequence[str]) -> VideoModel:
        return build_video_model(config, entries, source)

    def keep_source(run: VideoRun, model: Any, epoch: int) -> None:
        if source is not None and epoch == 0:
            source.save(run)

    return Task(
        kind=VIDEO,
        read=read,
        build_model=build,
        measure=ACCURACY,
        sums=correct_sums,
        metrics=accuracy,
        after_epoch=keep_source,
    )
