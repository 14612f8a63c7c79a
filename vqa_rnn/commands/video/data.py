"""The videos of a config, generated or read from files."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.config import Config, JsonlDataset
from vqa_rnn.config.video import FrameFiles, MovingShapes, VideoConfig
from vqa_rnn.errors import UserError
from vqa_rnn.features.check import check_store
from vqa_rnn.features.find import find_store
from vqa_rnn.features.store import FeatureStore, open_store
from vqa_rnn.files import file_hash
from vqa_rnn.progress import counted
from vqa_rnn.records import Annotations
from vqa_rnn.sequences.moving_shapes import DIRECTIONS, SPLITS, STILL, Clip, Split, make_clip
from vqa_rnn.sequences.video_data import Rows, VideoSet, numbered, set_of_clips
from vqa_rnn.sequences.video_file import Video, label_entries, read_videos, split_videos
from vqa_rnn.sequences.video_run import FrameSource

log = logging.getLogger("vqa_rnn")


class Videos(NamedTuple):
    """Videos and their labels.

    Attributes:
        sets: The videos of each split; a split without videos is left out.
        entries: All labels.
        source: What made the features of the frames; None if they are pixels.
        sha256: Hash of the data file and of what made the features; None if the videos are generated.
    """

    sets: dict[Split, VideoSet]
    entries: tuple[str, ...]
    source: FrameSource | None = None
    sha256: str | None = None


def read_data(config: VideoConfig, splits: Sequence[Split]) -> Videos:
    """Generate or read videos.

    Args:
        config: The config.
        splits: The splits that are needed.

    Returns:
        The videos.

    Raises:
        UserError: The file is wrong, or features of frames are missing or were made with other settings.
    """
    if isinstance(config.data, FrameFiles):
        return _read_files(config, config.data, splits)
    return _generate(config, config.data, splits)


def clip_of(options: MovingShapes, split: Split, number: int) -> Clip:
    """Generate a video of a config.

    Args:
        options: The options.
        split: The split.
        number: Number of the video in its split.

    Returns:
        The video.
    """
    sizes = options.model_dump(include={"image_size", "min_frames", "max_frames", "num_still"})
    return make_clip(options.seed, split, number, **sizes)


def frame_config(data: FrameFiles) -> Config:
    """Return a config for the parts of the package that make, find and check features of images.

    Args:
        data: The options of the videos.

    Returns:
        The config: the file is its data set.

    Raises:
        UserError: The file is not given.
    """
    if data.path is None:
        raise UserError("data.path is missing: give the file of videos")
    return Config(dataset=JsonlDataset(path=data.path), features=data.features)


def frames_of(path: Path, videos: Sequence[Video]) -> Annotations:
    """List the frames of videos, for the parts of the package that make and find features of images.

    Args:
        path: The file of the videos.
        videos: Its videos.

    Returns:
        The frames, without questions. Their ids are the paths that the file has.
    """
    images = {frame: path.parent / frame for video in videos for frame in video.frames}
    named_at = {frame: video.where for video in reversed(videos) for frame in video.frames}
    return Annotations(questions=(), images=images, files=(path,), named_at=named_at)


def _generate(config: VideoConfig, options: MovingShapes, splits: Sequence[Split]) -> Videos:
    output = config.model.output
    entries = tuple(sorted(DIRECTIONS if output == "sequence" else (*DIRECTIONS, STILL)))
    counts = {"train": options.num_train, "val": options.num_val, "test": options.num_test}
    sets = {
        split: set_of_clips([clip_of(options, split, number) for number in range(counts[split])], output, entries, split)
        for split in splits
    }
    return Videos(sets, entries)


def _read_files(config: VideoConfig, data: FrameFiles, splits: Sequence[Split]) -> Videos:
    whole = frame_config(data)
    assert data.path is not None
    videos = split_videos(read_videos(data.path), data.validation_share, data.split_seed)
    entries = label_entries(videos, config.model.output)
    _warn_of_shared_frames(videos)
    images = frames_of(data.path, videos)
    path = find_store(whole, images.images)
    if not path.is_file():
        raise UserError(f"no features of the frames at {path}: run vqa-rnn video preprocess {data.path} with the same options")
    store = open_store(path)
    check_store(store, data.features)
    _check_frames(store, images, data.path)
    source = FrameSource(store.feature_size, store.fingerprint, store.attributes["compute"])
    sets = {
        split: _set_of_files([video for video in videos if video.split == split], store, config, entries)
        for split in splits
        if any(video.split == split for video in videos)
    }
    digest = hashlib.sha256(f"{file_hash(data.path)} {store.fingerprint}".encode()).hexdigest()
    return Videos(sets, entries, source, digest)


def _set_of_files(videos: Sequence[Video], store: FeatureStore, config: VideoConfig, entries: Sequence[str]) -> VideoSet:
    def read(rows: Rows) -> NDArray[Any]:
        """Return (M, D) float32, the mean of a frame's regions: an imported store may have several."""
        return store.read(rows).sum(axis=1, dtype=np.float32) / store.num_regions[rows, None].astype(np.float32)

    output = config.model.output
    return VideoSet(
        read=read,
        rows=[store.rows(video.frames) for video in videos],
        labels=[numbered(video.labels_of(output), entries) for video in videos],
        names=[video.where for video in videos],
        output=output,
    )


def _check_frames(store: FeatureStore, frames: Annotations, path: Path) -> None:
    missing = next((frame for frame in frames.images if frame not in store.row_of), None)
    if missing is None:
        return
    where, file = frames.named_at[missing], frames.images[missing]
    if not file.is_file():
        raise UserError(f"{where}: no image at {file}")
    advice = "import them too" if store.is_imported else f"run vqa-rnn video preprocess {path} with the same options"
    raise UserError(f"{where}: {store.path} has no features of the frame {missing}: {advice}")


def _warn_of_shared_frames(videos: Sequence[Video]) -> None:
    """Log a warning if a validation or test video has frames of training videos."""
    frames = {split: {frame for video in videos if video.split == split for frame in video.frames} for split in SPLITS}
    for split in SPLITS[1:]:
        shared = sorted(frames["train"] & frames[split])
        if shared:
            log.warning(
                "videos of train and of %s share %s, such as %s: results there are partly on training frames",
                split,
                counted(len(shared), "frames"),
                shared[0],
            )
