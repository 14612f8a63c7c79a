"""``vqa-rnn video generate``: moving shapes as image files, with a file of their labels."""

import json
from pathlib import Path

from PIL import Image

from vqa_rnn.commands.video.data import clip_of
from vqa_rnn.config.video import MovingShapes
from vqa_rnn.errors import UserError
from vqa_rnn.files import atomic_path, write_text
from vqa_rnn.sequences.moving_shapes import Split


def generate(folder: Path, count: int, split: Split, seed: int) -> Path:
    """Write videos as image files, and ``videos.jsonl`` with the labels of the videos and of their frames.

    They are the first videos of a split of moving shapes with the default options. Of ten videos in the file
    the ninth is in its split ``val``, the tenth in ``test`` and the others in ``train``.

    Args:
        folder: The folder; it must be empty or new.
        count: Number of videos.
        split: The split of moving shapes.
        seed: ``data.seed``.

    Returns:
        The file.

    Raises:
        UserError: The folder is not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not an empty folder: give another one")
    lines = []
    for number in range(count):
        clip = clip_of(MovingShapes(seed=seed), split, number)
        names = [f"{number:04d}/{frame:02d}.png" for frame in range(len(clip.frames))]
        for name, frame in zip(names, clip.frames, strict=True):
            with atomic_path(folder / name) as temporary:
                Image.fromarray(frame).save(temporary)
        part = {8: "val", 9: "test"}.get(number % 10, "train")
        lines.append(json.dumps({"frames": names, "label": clip.label, "labels": clip.labels, "split": part}))
    write_text(folder / "videos.jsonl", "\n".join(lines) + "\n")
    return folder / "videos.jsonl"
