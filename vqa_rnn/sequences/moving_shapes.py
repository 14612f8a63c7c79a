"""Moving shapes: generated videos with a question that only the order of the frames answers.

One shape stands, moves straight, may stand again, turns by 90 degrees, moves straight and stands. Others stand still. The label
of the video is the direction in which the shape moved last; the label of a frame is how it moved since the frame before.

A video that is shown backwards has another label, and it is exactly as likely as the video itself: the lengths of the two
straight parts are exchangeable, and so are the pauses before and after them. So whoever sees the frames without their order is
right at most half the time, even knowing the whole path. A single frame tells little: a shape that moved to the right is more
often on the right.

Shape letters: T frames, S image size.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "val", "test"]

SPLITS: tuple[Split, ...] = ("train", "val", "test")
DIRECTIONS = ("up", "right", "down", "left")  # clockwise
STILL = "still"
SHAPES = ("circle", "square", "triangle")
COLOURS = {
    "red": (220, 50, 47),
    "green": (60, 180, 75),
    "blue": (50, 110, 230),
    "yellow": (240, 210, 40),
    "purple": (170, 60, 200),
    "white": (245, 245, 245),
}
BACKGROUND = 40

_STEPS = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}  # rows, columns
_LEAST_MOVES, _MOST_MOVES = 2, 4  # frames of a straight part


class Clip(NamedTuple):
    """A video.

    Attributes:
        frames: (T, S, S, 3) uint8.
        label: The direction in which the shape moved last, from ``DIRECTIONS``.
        labels: (T) how it moved since the frame before: one of ``DIRECTIONS``, or ``STILL``, as in the first frame.
    """

    frames: NDArray[np.uint8]
    label: str
    labels: tuple[str, ...]


def make_clip(
    seed: int,
    split: Split,
    number: int,
    *,
    image_size: int = 32,
    min_frames: int = 8,
    max_frames: int = 12,
    num_still: int = 2,
) -> Clip:
    """Generate a video. It depends only on the arguments.

    Args:
        seed: Seed of the data set.
        split: The split.
        number: Number of the video in its split.
        image_size: S.
        min_frames: Fewest frames, at least 5.
        max_frames: Most frames.
        num_still: Number of shapes that stand still.

    Returns:
        The video.
    """
    random = np.random.default_rng([seed, SPLITS.index(split), number])
    num_frames = int(random.integers(min_frames, max_frames + 1))
    label, labels = _draw_moves(random, num_frames)
    radius = image_size // 8
    step = int(random.integers(image_size // 16, image_size * 3 // 32 + 1))
    moves_T2 = np.array([_STEPS.get(each, (0, 0)) for each in labels]) * step
    path_T2 = moves_T2.cumsum(axis=0)
    low, high = radius - path_T2.min(axis=0), image_size - 1 - radius - path_T2.max(axis=0)
    path_T2 = path_T2 + random.integers(low, high + 1)
    colours = random.permutation(list(COLOURS.values()))
    canvas = np.full((image_size, image_size, 3), BACKGROUND, dtype=np.uint8)
    for colour in colours[1 : 1 + num_still]:
        place = random.integers(radius, image_size - radius, 2)
        canvas[_mask(str(random.choice(SHAPES)), place, radius, image_size)] = colour
    shape = str(random.choice(SHAPES))
    frames = np.repeat(canvas[None], num_frames, axis=0)
    for frame, place in zip(frames, path_T2, strict=True):
        frame[_mask(shape, place, radius, image_size)] = colours[0]
    return Clip(frames, label, labels)


def _draw_moves(random: np.random.Generator, num_frames: int) -> tuple[str, tuple[str, ...]]:
    """Draw the last direction, and how the shape moves in each frame."""
    first = int(random.integers(4))
    last = (first + int(random.choice([-1, 1]))) % 4
    most = min(_MOST_MOVES, (num_frames - 1) // 2)
    before, after = random.integers(_LEAST_MOVES, most + 1, 2)
    pauses = random.multinomial(num_frames - 1 - before - after, [1 / 3] * 3)
    parts = [(STILL, 1 + pauses[0]), (DIRECTIONS[first], before), (STILL, pauses[1]), (DIRECTIONS[last], after)]
    labels = tuple(name for name, count in (*parts, (STILL, pauses[2])) for _ in range(count))
    return DIRECTIONS[last], labels


def _mask(shape: str, place: NDArray[np.int64], radius: int, image_size: int) -> NDArray[np.bool_]:
    """Return the (S, S) pixels of a shape around a place."""
    rows_SS, columns_SS = np.ogrid[:image_size, :image_size]
    down_SS, right_SS = rows_SS - place[0], columns_SS - place[1]
    if shape == "circle":
        return down_SS**2 + right_SS**2 <= radius**2
    side = 0.85 * radius
    if shape == "square":
        return np.maximum(abs(down_SS), abs(right_SS)) <= side
    return (abs(down_SS) <= radius) & (2 * abs(right_SS) <= down_SS + radius)
