"""Captions of scenes whose things are known, and what a caption says about them.

A caption names two things and where one lies beside the other: "a small red star to the left of a large blue circle". The
things of a scene are objects as in CLEVR's scene files, with ``size``, ``color``, ``shape``, ``pixel_coords`` and, in CLEVR,
``material``.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ATTRIBUTES = ("size", "color", "material", "shape")
"""What is said of a thing, in this order."""
SIDES = {
    "to the left of": (-1, 0),
    "to the right of": (1, 0),
    "above": (0, -1),
    "below": (0, 1),
    "behind": (0, -1),
    "in front of": (0, 1),
}
"""Direction of each phrase in the image: x to the right, y downwards."""
DRAWN = ("to the left of", "to the right of", "above", "below")
RENDERED = ("to the left of", "to the right of", "behind", "in front of")

Thing = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Named:
    """A thing that a caption names.

    Attributes:
        values: What is said of it, by attribute.
        words: 0-based places of these words in the caption.
    """

    values: Mapping[str, str]
    words: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """What a caption says.

    Attributes:
        things: The things that it names, in order.
        side: Where the first thing lies beside the second, one of ``SIDES``; None if it does not say.
    """

    things: tuple[Named, ...]
    side: str | None


def describe(thing: Thing) -> str:
    """Describe a thing by all its attributes.

    Args:
        thing: The thing.

    Returns:
        A phrase such as ``a small red star``.
    """
    return " ".join(["a", *(thing[attribute] for attribute in ATTRIBUTES if attribute in thing)])


def write_captions(
    things: Sequence[Thing], count: int, margin: float, sides: Sequence[str], generator: random.Random
) -> list[str]:
    """Write different captions of a scene.

    Args:
        things: The things of the scene.
        count: Number of captions, at most.
        margin: A thing is beside another if its middle is at least so many pixels further in that direction.
        sides: The phrases that may be used, from ``SIDES``.
        generator: Draws the things.

    Returns:
        The captions; fewer if there are not so many pairs of things that lie beside each other.
    """
    captions = [
        f"{describe(one)} {side} {describe(other)}"
        for one in things
        for other in things
        for side in sides
        if one is not other and is_beside(one, other, side, margin)
    ]
    distinct = list(dict.fromkeys(captions))
    return generator.sample(distinct, min(count, len(distinct)))


def is_beside(one: Thing, other: Thing, side: str, margin: float = 0.0) -> bool:
    """Return whether a thing lies on one side of another.

    Args:
        one: The thing.
        other: The other.
        side: One of ``SIDES``.
        margin: By how many pixels, at least.

    Returns:
        True if it does.
    """
    x, y = SIDES[side]
    (one_x, one_y), (other_x, other_y) = one["pixel_coords"][:2], other["pixel_coords"][:2]
    return bool(x * (one_x - other_x) + y * (one_y - other_y) >= max(margin, 1e-9))


def read_caption(caption: str, values: Mapping[str, Sequence[str]]) -> Said:
    """Find the things that a caption names.

    Args:
        caption: A caption in lower case.
        values: The words for each attribute.

    Returns:
        What it says. A thing ends with its shape; attributes without a shape after them are left out.
    """
    attribute_of = {word: attribute for attribute, words in values.items() for word in words}
    things: list[Named] = []
    said: dict[str, str] = {}
    places: list[int] = []
    for place, word in enumerate(caption.split()):
        attribute = attribute_of.get(word)
        if attribute is None:
            said, places = {}, []
            continue
        said[attribute] = word
        places.append(place)
        if attribute == "shape":
            things.append(Named(said, tuple(places)))
            said, places = {}, []
    side = next((side for side in SIDES if f" {side} " in f" {caption} "), None)
    return Said(tuple(things), side)


def matching(named: Named, things: Sequence[Thing]) -> list[int]:
    """Return which things of a scene have all attributes that a caption names.

    Args:
        named: The named thing.
        things: The things of the scene.

    Returns:
        Their indices.
    """
    return [place for place, thing in enumerate(things) if all(thing.get(key) == value for key, value in named.values.items())]
