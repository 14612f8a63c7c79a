"""The pointing game: which thing a question asks about, and which one a map points at."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import pointing_game

from vqa_rnn.errors import UserError
from vqa_rnn.records import Question

THINGS = [
    {"shape": "star", "color": "red", "pixel_coords": [10, 10]},
    {"shape": "star", "color": "blue", "pixel_coords": [80, 10]},
    {"shape": "cross", "color": "red", "pixel_coords": [40, 80]},
]


def step(function: str, *inputs: int, value: str | None = None) -> dict:
    return {"function": function, "inputs": list(inputs), "value_inputs": [] if value is None else [value]}


def test_a_program_is_run_to_the_thing_that_is_asked_about():
    blue = [step("scene"), step("filter_color", 0, value="blue"), step("unique", 1), step("query_shape", 2)]
    assert pointing_game.asked_thing(blue, THINGS) == 1
    right = [
        *(step("scene"), step("filter_shape", 0, value="cross"), step("unique", 1), step("relate", 2, value="right")),
        *(step("filter_shape", 3, value="star"), step("unique", 4), step("query_color", 5)),
    ]
    assert pointing_game.asked_thing(right, THINGS) == 1
    assert pointing_game.asked_thing([step("scene"), step("count", 0)], THINGS) is None
    assert pointing_game.asked_thing([], THINGS) is None
    with pytest.raises(UserError, match="the step same_size, without _output"):
        pointing_game.asked_thing([step("scene"), step("same_size", 0), step("query_size", 1)], THINGS)
    known = [{"type": "same_size", "inputs": [], "value_inputs": [], "_output": 2}, step("query_size", 0)]
    assert pointing_game.asked_thing(known, THINGS) == 2


def test_each_cell_points_at_the_thing_nearest_to_its_middle():
    assert pointing_game.nearest_thing(THINGS, (96, 96), 2).tolist() == [0, 1, 2, 2]
    assert pointing_game.nearest_thing(THINGS, (96, 96), 1).tolist() == [2]


def test_a_hit_is_the_largest_weight():
    maps = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]], dtype=np.float32)
    is_hit = np.array([[False, True, False], [False, True, True]])
    assert pointing_game.hits(maps, is_hit).tolist() == [1, 0]


def test_questions_are_exchanged_within_an_image():
    questions = [Question(question_id=str(n), image_id=image, question="?", split="val") for n, image in enumerate("aababc")]
    assert pointing_game.exchange(questions).tolist() == [1, 3, 4, 0, 2, 5]
