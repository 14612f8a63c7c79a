"""Drawn scenes: three to six flat things of clear shape, colour and size on a shaded ground.

A thing lies near the middle of one of 4 x 4 cells of 24 pixels, at most 3 pixels off, so that

- large neighbours may overlap a little, and all stay mostly visible;
- two things lie either clearly beside each other or clearly not: no relation hangs on a few pixels;
- a feature grid of 4 x 4 has one thing at most in each cell.

The ground is lighter at the top and warmer on the left, so that what a cell shows also tells where it is.

A scene depends on the seed, its split and its number alone.
"""

import math
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIDE = 96
"""Height and width of a picture, in pixels."""
MARGIN = 12
"""One thing is left of another if its middle is at least so many pixels further left."""
MOST_THINGS = 6
SHAPES = ("circle", "square", "triangle", "star", "cross")
COLOURS = {
    "red": (222, 32, 36),
    "green": (30, 150, 50),
    "blue": (36, 64, 225),
    "yellow": (246, 222, 40),
    "purple": (160, 40, 190),
    "cyan": (60, 215, 225),
    "white": (250, 250, 250),
    "black": (14, 14, 14),
}
SIZES = {"small": (6.0, 7.0), "large": (10.5, 12.0)}
"""Least and greatest distance from the middle to the edge, in pixels."""
ATTRIBUTES: dict[str, tuple[str, ...]] = {"size": tuple(SIZES), "colour": tuple(COLOURS), "shape": SHAPES}
"""What tells things apart, in the order in which it is said: a small red star."""
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1)}
OPPOSITES = {"left": "right", "right": "left", "above": "below", "below": "above"}

Pair = tuple[str, str]
"""A colour and a shape."""
PAIRS: tuple[Pair, ...] = tuple(product(COLOURS, SHAPES))
Values = tuple[tuple[str, str], ...]
"""Attributes with their values, in the order of ``ATTRIBUTES``: what a description says."""

_CELLS = 4
_CELL = SIDE // _CELLS
_JITTER = 3
_BORDER = 11
_FINER = 4  # shapes are drawn so many times larger and then reduced: smooth edges
_NOISE = 6
_EDGE = (45, 45, 45)


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing of a scene.

    Attributes:
        shape: One of ``SHAPES``.
        colour: One of ``COLOURS``.
        size: One of ``SIZES``.
        x: Its middle, in pixels from the left.
        y: Its middle, in pixels from the top.
        radius: From the middle to the edge, in pixels.
    """

    shape: str
    colour: str
    size: str
    x: int
    y: int
    radius: float

    @property
    def place(self) -> str:
        """The quarter of the picture that it lies in, such as ``top left``."""
        return f"{'top' if self.y < SIDE / 2 else 'bottom'} {'left' if self.x < SIDE / 2 else 'right'}"


@dataclass(frozen=True, slots=True)
class Scene:
    """Some things, no two of the same shape, colour and size.

    Attributes:
        key: What the scene depends on: seed, split and number.
        things: From the hindmost to the foremost.
    """

    key: str
    things: tuple[Thing, ...]


def sample_scene(seed: int, split: str, number: int, pairs: Sequence[Pair] = PAIRS) -> Scene:
    """Make up a scene.

    Args:
        seed: Of the data set.
        split: Its part of the data set.
        number: Its number there.
        pairs: The colours and shapes that may come together.

    Returns:
        Three to six things; every kind is as likely as any other.
    """
    key = f"{seed}/{split}/{number}"
    generator = random.Random(f"things of {key}")
    count = generator.randint(3, MOST_THINGS)
    kinds = generator.sample([(size, *pair) for size in SIZES for pair in pairs], count)
    cells = generator.sample(range(_CELLS * _CELLS), count)
    things = []
    for (size, colour, shape), cell in zip(kinds, cells, strict=True):
        x, y = (_somewhere_in(place, generator) for place in (cell % _CELLS, cell // _CELLS))
        things.append(Thing(shape, colour, size, x, y, radius=round(generator.uniform(*SIZES[size]), 1)))
    return Scene(key, tuple(things))


def draw_scene(scene: Scene) -> Image.Image:
    """Draw a scene.

    Args:
        scene: The scene.

    Returns:
        An RGB picture, ``SIDE`` pixels high and wide.
    """
    generator = random.Random(f"picture of {scene.key}")
    large = Image.fromarray(_ground(generator)).resize((SIDE * _FINER, SIDE * _FINER), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(large)
    for thing in scene.things:
        corners = [
            ((thing.x + 0.5 + x) * _FINER, (thing.y + 0.5 + y) * _FINER) for x, y in _OUTLINES[thing.shape](thing.radius)
        ]
        colour = tuple(min(255, max(0, part + generator.randint(-8, 8))) for part in COLOURS[thing.colour])
        pen.polygon(corners, fill=colour, outline=_EDGE, width=_FINER)
    picture = np.asarray(large.reduce(_FINER), dtype=np.int16)
    noise = np.frombuffer(generator.randbytes(picture.size), dtype=np.uint8).reshape(picture.shape) % (2 * _NOISE + 1)
    return Image.fromarray(np.clip(picture + noise - _NOISE, 0, 255).astype(np.uint8))


def matching(things: Iterable[Thing], values: Values) -> list[Thing]:
    """The things that a description is true of.

    Args:
        things: Those looked at.
        values: What the description says.

    Returns:
        Those of them, in order.
    """
    return [thing for thing in things if all(getattr(thing, attribute) == value for attribute, value in values)]


def values_of(thing: Thing, attributes: Collection[str]) -> Values:
    """Describe a thing.

    Args:
        thing: The thing.
        attributes: What is said of it.

    Returns:
        Those attributes with its values.
    """
    return tuple((attribute, getattr(thing, attribute)) for attribute in ATTRIBUTES if attribute in attributes)


def noun_phrase(values: Values, *, plural: bool = False) -> str:
    """Put a description into words.

    Args:
        values: What it says.
        plural: Of several things.

    Returns:
        Such as ``small red star`` or ``red things``, without an article.
    """
    said = dict(values)
    noun = said.get("shape", "thing")
    if plural:
        noun += "es" if noun.endswith("s") else "s"
    return " ".join([said[attribute] for attribute in ATTRIBUTES if attribute in said and attribute != "shape"] + [noun])


def is_beside(thing: Thing, other: Thing, direction: str) -> bool:
    """Whether a thing lies on one side of another, by a clear margin.

    Args:
        thing: The thing.
        other: The other.
        direction: The side of ``other``, one of ``DIRECTIONS``.

    Returns:
        True if it does.
    """
    x, y = DIRECTIONS[direction]
    return x * (thing.x - other.x) + y * (thing.y - other.y) >= MARGIN


def is_clear(thing: Thing, other: Thing, direction: str) -> bool:
    """Whether it can be said without doubt on which side a thing lies.

    Args:
        thing: The thing.
        other: The other.
        direction: One side of ``other``; its opposite is the other possibility.

    Returns:
        True if the thing lies on the one side or on the other.
    """
    return is_beside(thing, other, direction) or is_beside(thing, other, OPPOSITES[direction])


def describe_scene(scene: Scene) -> list[dict[str, Any]]:
    """A scene as plain values for a JSON file.

    Args:
        scene: The scene.

    Returns:
        For each thing its shape, colour, size and the pixel of its middle.
    """
    return [
        {"shape": thing.shape, "color": thing.colour, "size": thing.size, "pixel_coords": [thing.x, thing.y]}
        for thing in scene.things
    ]


def _somewhere_in(place: int, generator: random.Random) -> int:
    """A pixel near the middle of a row or column of cells; at the border not so near it that much of a thing is cut off."""
    pixel = _CELL * place + _CELL // 2 + generator.randint(-_JITTER, _JITTER)
    return min(max(pixel, _BORDER), SIDE - 1 - _BORDER)


def _ground(generator: random.Random) -> NDArray[np.uint8]:
    """Lighter at the top, warmer on the left; how light it is on the whole differs from picture to picture."""
    light = generator.randint(120, 150)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1) - 0.5
    shades = [light - 50 * y - 40 * x, light - 50 * y, light - 50 * y + 40 * x]
    return np.stack(shades, axis=-1).astype(np.uint8)


Outline = list[tuple[float, float]]


def _ring(radii: Sequence[float], turn: float = 0.0) -> Outline:
    """Corners at even angles around the middle, the first at the top."""
    angles = [2 * math.pi * i / len(radii) + turn for i in range(len(radii))]
    return [(radius * math.sin(angle), -radius * math.cos(angle)) for radius, angle in zip(radii, angles, strict=True)]


def _circle(radius: float) -> Outline:
    return _ring([radius] * 48)


def _square(radius: float) -> Outline:
    return _ring([radius * 1.27] * 4, turn=math.pi / 4)


def _triangle(radius: float) -> Outline:
    return [(x, y + 0.2 * radius) for x, y in _ring([radius * 1.22] * 3)]


def _star(radius: float) -> Outline:
    return _ring([radius * 1.2, radius * 0.5] * 5)


def _cross(radius: float) -> Outline:
    arm, long = radius * 0.36, radius * 1.02
    quarter = [(-arm, -long), (arm, -long), (arm, -arm)]
    turned = [quarter]
    for _ in range(3):
        turned.append([(-y, x) for x, y in turned[-1]])
    return [corner for corners in turned for corner in corners]


_OUTLINES: dict[str, Callable[[float], Outline]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
}
