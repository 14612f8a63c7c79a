"""A file of the user's own videos: one JSON object a line, with the files of the frames and their labels."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vqa_rnn.config.video import Output
from vqa_rnn.errors import UserError
from vqa_rnn.files import read_utf8, unknown_name
from vqa_rnn.progress import counted
from vqa_rnn.sequences.moving_shapes import SPLITS, Split

KEYS = ("frames", "label", "labels", "split")
EXAMPLE = '{"frames": ["a/0.png", "a/1.png"], "label": "left"}'
EXAMPLES = {"frames": '"frames": ["a/0.png", "a/1.png"]', "labels": '"labels": ["still", "left"]', "label": '"label": "left"'}


class Video(NamedTuple):
    """A video of the file.

    Attributes:
        where: ``FILE:LINE``.
        frames: The files of its frames as the line has them, in order.
        label: Its label, or None.
        labels: The label of each frame, or None.
        split: Its split.
    """

    where: str
    frames: tuple[str, ...]
    label: str | None
    labels: tuple[str, ...] | None
    split: Split

    def labels_of(self, output: Output) -> tuple[str, ...]:
        """Return the labels that a model needs.

        Args:
            output: Whether it labels videos or frames.

        Returns:
            The label of the video, or those of its frames.

        Raises:
            UserError: The line has no such label.
        """
        labels = self.labels if output == "frame" else None if self.label is None else (self.label,)
        if labels is None:
            needed = "'labels', one for each frame" if output == "frame" else "'label'"
            other = "sequence" if output == "frame" else "frame"
            has_other = (self.label if output == "frame" else self.labels) is not None
            advice = f"add it, or set model.output={other}" if has_other else "add it"
            raise UserError(f"{self.where}: model.output={output} needs {needed}: {advice}")
        return labels


def read_videos(path: Path) -> list[Video]:
    """Read a file of videos.

    Args:
        path: The file, UTF-8.

    Returns:
        Its videos, in order. Empty lines are left out.

    Raises:
        UserError: The file is missing, has no videos, or a line is wrong; the message names the line.
    """
    text = read_utf8(path, f"no file of videos at {path}")
    videos = [_parse(line, f"{path}:{number}") for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not videos:
        raise UserError(f"{path} has no videos: write one a line, such as {EXAMPLE}")
    return videos


def split_videos(videos: Sequence[Video], validation_share: float, seed: int) -> list[Video]:
    """Take some training videos for validation, if no video is in that split.

    Args:
        videos: All videos.
        validation_share: Share of the training videos to take; 0 takes none.
        seed: Seed of the choice.

    Returns:
        The videos in the same order, with their splits.

    Raises:
        UserError: No video is left for training.
    """
    train = [number for number, video in enumerate(videos) if video.split == "train"]
    taken: set[int] = set()
    if validation_share and not any(video.split == "val" for video in videos):
        count = max(1, round(validation_share * len(train)))
        taken = {train[place] for place in np.random.default_rng(seed).permutation(len(train))[:count].tolist()}
    if len(train) == len(taken):
        raise UserError(
            f"{videos[0].where.rpartition(':')[0]} leaves no video for training: it has {counted(len(videos), 'videos')}, "
            f"{len(train)} in the split train, of which validation takes {len(taken)}"
        )
    return [video._replace(split="val") if number in taken else video for number, video in enumerate(videos)]


def label_entries(videos: Sequence[Video], output: Output) -> tuple[str, ...]:
    """Collect the labels of the training videos, and check that the others have no other labels.

    Args:
        videos: All videos.
        output: Whether videos or frames have the labels.

    Returns:
        The sorted labels.

    Raises:
        UserError: A video has no labels of this kind, or one that no training video has; or there is only one label.
    """
    of_split = {split: [video for video in videos if video.split == split] for split in SPLITS}
    entries = sorted({label for video in of_split["train"] for label in video.labels_of(output)})
    for video in (*of_split["val"], *of_split["test"]):
        for label in video.labels_of(output):
            if label not in entries:
                raise UserError(f"{video.where}: {unknown_name('label', label, entries)}: no training video has it")
    if len(entries) < 2:
        raise UserError(f"all training videos have the label '{entries[0]}': at least two labels are needed")
    return tuple(entries)


def _parse(line: str, where: str) -> Video:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where}: not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{where}: an object such as {EXAMPLE} is needed, not {line.strip()[:40]}")
    if "frames" not in value:
        raise UserError(f"{where}: the key 'frames' is missing (there are: {', '.join(value)}): write a video as {EXAMPLE}")
    for key in value:
        if key not in KEYS:
            raise UserError(f"{where}: {unknown_name('key', key, KEYS)}")
    frames, labels, label, split = _texts(value, "frames", where), None, value.get("label"), value.get("split", "train")
    if value.get("labels") is not None:
        labels = _texts(value, "labels", where)
    if label is not None and not isinstance(label, str):
        raise UserError(f"{where}: 'label' is no text: write it as {EXAMPLES['label']}")
    if split not in SPLITS:
        raise UserError(f"{where}: {unknown_name('split', str(split), SPLITS)}")
    if not frames:
        raise UserError(f"{where}: 'frames' is empty: a video needs at least one frame")
    if labels is not None and len(labels) != len(frames):
        there_are = f"{counted(len(labels), 'labels')} and {counted(len(frames), 'frames')}"
        raise UserError(f"{where}: {there_are}: each frame needs one label")
    if "" in (label, *frames, *(labels or ())):
        raise UserError(f"{where}: a label or the name of a frame is empty")
    return Video(where, frames, label, labels, split)


def _texts(value: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    texts = value[key]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{where}: '{key}' is no list of texts: write it as {EXAMPLES[key]}")
    return tuple(texts)
