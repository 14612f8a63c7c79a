"""``vqa-rnn video generate``: moving shapes as image files, with a file of their labels."""

import json
from pathlib import Path

from PIL import Image

from vqa_rnn.commands.video.data import clip_of
from vqa_rnn.config.video import MovingShapes
from vqa_rnn.errors import UserError
from vqa_rnn.files import atomic_path, write_text
from vqa_rnn.sequences.moving_shapes import SPLITS, Split

HELD_OUT: dict[int, Split] = {0: "test", 1: "val"}  # of every ten videos, counted from the end


def generate(folder: Path, count: int, split: Split, seed: int) -> tuple[Path, dict[Split, int]]:
    """Write videos as image files, and ``videos.jsonl`` with the labels of the videos and of their frames.

    They are the first videos of a split of moving shapes with the default options. The file has splits of its own: of every
    ten videos, counted from the end, the first is in ``test``, the second in ``val``, and the others are in ``train``. One or
    two videos are in ``train``.

    Args:
        folder: The folder; it must be empty or new.
        count: Number of videos.
        split: The split of moving shapes.
        seed: ``data.seed``.

    Returns:
        The file, and the number of its videos by split.

    Raises:
        UserError: The folder is not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not an empty folder: give another one")
    lines: list[str] = []
    counts = dict.fromkeys(SPLITS, 0)
    for number in range(count):
        clip = clip_of(MovingShapes(seed=seed), split, number)
        names = [f"{number:04d}/{frame:02d}.png" for frame in range(len(clip.frames))]
        for name, frame in zip(names, clip.frames, strict=True):
            with atomic_path(folder / name) as temporary:
                Image.fromarray(frame).save(temporary)
        part = HELD_OUT.get((count - 1 - number) % 10, "train") if count > 2 else "train"
        counts[part] += 1
        lines.append(json.dumps({"frames": names, "label": clip.label, "labels": clip.labels, "split": part}))
    write_text(folder / "videos.jsonl", "\n".join(lines) + "\n")
    return folder / "videos.jsonl", counts
