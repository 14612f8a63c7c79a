"""Drawn scenes: three to six flat things of clear shape, colour and size on a shaded background.

A thing lies near the middle of one of 4 x 4 cells of 24 pixels, at most 3 pixels off. Therefore

- large neighbours may overlap a little, but all things stay mostly visible;
- two things are either clearly beside each other or clearly not: no relation depends on a few pixels;
- a 4 x 4 feature grid has at most one thing in each cell.

The background is lighter at the top and warmer on the left, so that the content of a cell also shows its position.

A scene depends only on the seed, its split and its number.
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
_FINER = 4  # shapes are drawn this many times larger and then reduced, for smooth edges
_NOISE = 6
_EDGE = (45, 45, 45)


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing of a scene.

    Attributes:
        shape: One of ``SHAPES``.
        colour: One of ``COLOURS``.
        size: One of ``SIZES``.
        x: Centre, in pixels from the left.
        y: Centre, in pixels from the top.
        radius: Distance from the centre to the edge, in pixels.
    """

    shape: str
    colour: str
    size: str
    x: int
    y: int
    radius: float

    @property
    def place(self) -> str:
        """The quarter of the picture that its centre lies in, such as ``top left``."""
        return f"{'top' if self.y < SIDE / 2 else 'bottom'} {'left' if self.x < SIDE / 2 else 'right'}"


@dataclass(frozen=True, slots=True)
class Scene:
    """Several things, no two of the same shape, colour and size.

    Attributes:
        key: Seed, split and number, which determine the scene.
        things: The things, from back to front.
    """

    key: str
    things: tuple[Thing, ...]


def sample_scene(seed: int, split: str, number: int, pairs: Sequence[Pair] = PAIRS) -> Scene:
    """Generate a scene.

    Args:
        seed: Seed of the data set.
        split: Split of the scene.
        number: Number of the scene in its split.
        pairs: The pairs of colour and shape that may occur.

    Returns:
        A scene of three to six things. All combinations of size, colour and shape are equally likely.
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
    """Return the things that a description is true of.

    Args:
        things: The things to choose from.
        values: The description.

    Returns:
        The matching things, in the same order.
    """
    return [thing for thing in things if all(getattr(thing, attribute) == value for attribute, value in values)]


def values_of(thing: Thing, attributes: Collection[str]) -> Values:
    """Describe a thing.

    Args:
        thing: The thing.
        attributes: The attributes to describe.

    Returns:
        These attributes with their values.
    """
    return tuple((attribute, getattr(thing, attribute)) for attribute in ATTRIBUTES if attribute in attributes)


def noun_phrase(values: Values, *, plural: bool = False) -> str:
    """Put a description into words.

    Args:
        values: The description.
        plural: Use the plural.

    Returns:
        A phrase without an article, such as ``small red star`` or ``red things``.
    """
    said = dict(values)
    noun = said.get("shape", "thing")
    if plural:
        noun += "es" if noun.endswith("s") else "s"
    return " ".join([said[attribute] for attribute in ATTRIBUTES if attribute in said and attribute != "shape"] + [noun])


def is_beside(thing: Thing, other: Thing, direction: str) -> bool:
    """Return whether a thing lies on one side of another, by at least ``MARGIN``.

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
    """Return whether it is clear on which of two opposite sides of another thing a thing lies.

    Args:
        thing: The thing.
        other: The other.
        direction: One side of ``other``; the second one is its opposite.

    Returns:
        True if the thing lies on one of the two sides, by at least ``MARGIN``.
    """
    return is_beside(thing, other, direction) or is_beside(thing, other, OPPOSITES[direction])


def describe_scene(scene: Scene) -> list[dict[str, Any]]:
    """Convert a scene to plain values for a JSON file.

    Args:
        scene: The scene.

    Returns:
        The shape, colour, size and centre pixel of each thing.
    """
    return [
        {"shape": thing.shape, "color": thing.colour, "size": thing.size, "pixel_coords": [thing.x, thing.y]}
        for thing in scene.things
    ]


def _somewhere_in(place: int, generator: random.Random) -> int:
    """Draw a pixel near the middle of a row or column of cells, not so close to the border that much of a thing is cut off."""
    pixel = _CELL * place + _CELL // 2 + generator.randint(-_JITTER, _JITTER)
    return min(max(pixel, _BORDER), SIDE - 1 - _BORDER)


def _ground(generator: random.Random) -> NDArray[np.uint8]:
    """Return a background that is lighter at the top and warmer on the left. Its mean brightness is random."""
    light = generator.randint(120, 150)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1) - 0.5
    shades = [light - 50 * y - 40 * x, light - 50 * y, light - 50 * y + 40 * x]
    return np.stack(shades, axis=-1).astype(np.uint8)


Outline = list[tuple[float, float]]


def _ring(radii: Sequence[float], turn: float = 0.0) -> Outline:
    """Return corners at equal angles around the centre. The first is at the top, plus ``turn`` radians clockwise."""
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
