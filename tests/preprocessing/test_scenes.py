"""Drawn scenes."""

from itertools import combinations

import numpy as np
import pytest

from preprocessing.scenes import (
    ATTRIBUTES,
    COLOURS,
    DIRECTIONS,
    MARGIN,
    OPPOSITES,
    SHAPES,
    SIDE,
    Scene,
    Thing,
    draw_scene,
    is_beside,
    is_clear,
    noun_phrase,
    sample_scene,
)

SCENES = [sample_scene(0, "train", number) for number in range(40)]


def pixels(scene: Scene) -> np.ndarray:
    return np.asarray(draw_scene(scene), dtype=np.int64)


def test_a_scene_depends_on_seed_split_and_number_alone():
    assert [sample_scene(0, "train", number) for number in reversed(range(40))] == SCENES[::-1]
    assert (pixels(SCENES[3]) == pixels(sample_scene(0, "train", 3))).all()
    others = [sample_scene(1, "train", 3), sample_scene(0, "val", 3), sample_scene(0, "train", 4)]
    assert SCENES[3].things not in [other.things for other in others]


def test_scenes_have_three_to_six_things_no_two_of_a_kind():
    assert {len(scene.things) for scene in SCENES} == {3, 4, 5, 6}
    for scene in SCENES:
        assert len({(thing.size, thing.colour, thing.shape) for thing in scene.things}) == len(scene.things)
    for attribute, values in ATTRIBUTES.items():
        assert {getattr(thing, attribute) for scene in SCENES for thing in scene.things} == set(values)


def test_two_things_lie_clearly_beside_each_other_or_clearly_not():
    for scene in SCENES:
        for one, other in combinations(scene.things, 2):
            for off in (abs(one.x - other.x), abs(one.y - other.y)):
                assert off <= 6 or off >= MARGIN + 4
        assert all(min(abs(thing.x - SIDE / 2), abs(thing.y - SIDE / 2)) >= 6 for thing in scene.things)


def test_every_thing_stays_mostly_visible():
    for scene in SCENES:
        picture, ground = pixels(scene), pixels(Scene(scene.key, ()))
        for thing in scene.things:
            alone = pixels(Scene(scene.key, (thing,)))
            drawn = (abs(alone - ground) > 40).any(axis=2)
            seen = drawn & (abs(picture - alone) < 40).all(axis=2)
            assert drawn.sum() > 50
            assert seen.sum() > 0.7 * drawn.sum()


def test_a_thing_shows_its_colour_at_its_middle():
    for scene in SCENES:
        picture = pixels(scene)
        for thing in scene.things:
            shown = picture[thing.y - 1 : thing.y + 2, thing.x - 1 : thing.x + 2].mean(axis=(0, 1))
            assert min(COLOURS, key=lambda name: float(abs(shown - COLOURS[name]).sum())) == thing.colour


@pytest.mark.parametrize(
    ("direction", "x", "y", "beside"),
    [
        ("left", 38, 50, True),
        ("left", 39, 50, False),
        ("right", 62, 50, True),
        ("above", 50, 38, True),
        ("below", 38, 61, False),
    ],
)
def test_being_on_one_side_has_a_margin(direction: str, x: int, y: int, beside: bool):
    thing, other = Thing("star", "red", "small", x, y, 6), Thing("star", "blue", "small", 50, 50, 6)
    assert is_beside(thing, other, direction) is beside
    assert is_beside(other, thing, OPPOSITES[direction]) is beside
    assert is_clear(thing, other, direction) is beside
    assert not is_beside(thing, other, OPPOSITES[direction])
    assert set(DIRECTIONS) == set(OPPOSITES)


def test_words_of_descriptions():
    assert noun_phrase((("size", "small"), ("colour", "red"), ("shape", "star"))) == "small red star"
    assert noun_phrase((("colour", "red"),)) == "red thing"
    assert noun_phrase((), plural=True) == "things"
    assert noun_phrase((("size", "large"), ("shape", "cross")), plural=True) == "large crosses"


def test_only_the_pairs_wanted_come_together():
    pairs = [("red", "star"), ("blue", "cross"), ("white", "circle")]
    scenes = [sample_scene(0, "train", number, pairs) for number in range(20)]
    assert {(thing.colour, thing.shape) for scene in scenes for thing in scene.things} == set(pairs)
    assert len(SHAPES) * len(COLOURS) == 40
