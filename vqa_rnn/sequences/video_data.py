"""Videos as batches: only frames that exist are kept, one behind the other.

Shape letters: N videos, M frames of all videos, S image size, D feature size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqa_rnn.config.video import Output
from vqa_rnn.sequences.moving_shapes import Clip

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class VideoBatch:
    """Some videos.

    Attributes:
        frames: (M, S, S, 3) uint8 pixels or (M, D) float features, video by video.
        lengths: (N,) int64 on the CPU, the number of frames of each video, at least 1.
        labels: (N,) int64, the label of each video; or (M,) int64, of each frame.
        example_index: (N,) int64 on the CPU, the numbers of the videos in their set.
    """

    frames: Tensor
    lengths: Tensor
    labels: Tensor
    example_index: Tensor

    @property
    def num_examples(self) -> int:
        """Number of videos."""
        return len(self.lengths)

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "VideoBatch":
        """Copy to a device.

        Args:
            device: The device.
            non_blocking: Copy asynchronously, where the memory is pinned.

        Returns:
            The batch there.
        """
        frames, labels = (part.to(device, non_blocking=non_blocking) for part in (self.frames, self.labels))
        return VideoBatch(frames, self.lengths, labels, self.example_index)


class VideoSet(NamedTuple):
    """The videos of a split.

    Attributes:
        read: Returns the frames of some rows: (M, S, S, 3) uint8 or (M, D) float.
        rows: The rows of each video's frames, in order.
        labels: The labels of each video: (1,) int64, or one for each frame.
        names: What each video is called in messages.
        output: Which labels these are: of the videos, or of their frames.
    """

    read: Callable[[Rows], NDArray[Any]]
    rows: Sequence[Rows]
    labels: Sequence[NDArray[np.int64]]
    names: Sequence[str]
    output: Output

    def collate(self, videos: NDArray[np.int64]) -> VideoBatch:
        """Make a batch.

        Args:
            videos: (N,) numbers of videos.

        Returns:
            The batch.
        """
        numbers = videos.tolist()
        rows = [self.rows[number] for number in numbers]
        labels = np.concatenate([self.labels[number] for number in numbers])
        return VideoBatch(
            frames=torch.from_numpy(self.read(np.concatenate(rows))),
            lengths=torch.tensor([len(each) for each in rows]),
            labels=torch.from_numpy(labels),
            example_index=torch.from_numpy(videos),
        )

    def shuffled(self, seed: int) -> "VideoSet":
        """Return the same videos with their frames in a random order. The label of a frame goes with it.

        Args:
            seed: Seed of the order.

        Returns:
            The videos.
        """
        random = np.random.default_rng(seed)
        orders = [random.permutation(len(rows)) for rows in self.rows]
        labels = self.labels
        if self.output == "frame":
            labels = [each[order] for each, order in zip(self.labels, orders, strict=True)]
        return self._replace(rows=[rows[order] for rows, order in zip(self.rows, orders, strict=True)], labels=labels)

    def of_one_frame(self) -> "VideoSet":
        """Return videos of one frame.

        Returns:
            The last frame of each video; or, where each frame has a label, each frame as a video.
        """
        if self.output == "sequence":
            return self._replace(rows=[rows[-1:] for rows in self.rows])
        names = [name for name, rows in zip(self.names, self.rows, strict=True) for _ in rows]
        rows, labels = ([each for part in parts for each in np.split(part, len(part))] for parts in (self.rows, self.labels))
        return VideoSet(self.read, rows, labels, names, self.output)


def numbered(labels: Sequence[str], entries: Sequence[str]) -> NDArray[np.int64]:
    """Number labels.

    Args:
        labels: The labels.
        entries: All labels in order.

    Returns:
        (len(labels),) their places.
    """
    return np.array([entries.index(label) for label in labels], dtype=np.int64)


def set_of_clips(clips: Sequence[Clip], output: Output, entries: Sequence[str], name: str) -> VideoSet:
    """Keep generated videos in memory.

    Args:
        clips: The videos.
        output: Which labels are used: of the videos or of their frames.
        entries: The labels.
        name: What the set is called in messages.

    Returns:
        The videos.
    """
    ends = np.cumsum([len(clip.frames) for clip in clips])
    labels = [(clip.label,) if output == "sequence" else clip.labels for clip in clips]
    return VideoSet(
        read=np.concatenate([clip.frames for clip in clips]).__getitem__,
        rows=[np.arange(end - len(clip.frames), end) for clip, end in zip(clips, ends.tolist(), strict=True)],
        labels=[numbered(each, entries) for each in labels],
        names=[f"{name}/{number}" for number in range(len(clips))],
        output=output,
    )
