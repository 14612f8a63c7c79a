"""Mirrored images and the texts that go with them."""

from pathlib import Path

import numpy as np
import pytest

from vqa_rnn.annotations.mirrored import exchange_sides, is_mirrored, with_mirrored
from vqa_rnn.records import Annotations, Question, Round


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is left of the Right door?", "What is right of the Left door?"),
        ("LEFT, leftmost and right-hand", "RIGHT, rightmost and left-hand"),
        ("a bright, upright leftover", "a bright, upright leftover"),
        ("on the left's side, leftward", "on the right's side, rightward"),
        ("左边有几把椅子？右", "右边有几把椅子？左"),
        ("nothing", "nothing"),
    ],
)
def test_left_and_right_are_exchanged_in_words(text: str, expected: str):
    assert exchange_sides(text) == expected
    assert exchange_sides(expected) == text


def test_every_text_of_a_question_is_exchanged_and_the_rest_stays():
    question = Question(
        question_id="7",
        image_id="a",
        question="Left of it?",
        split="train",
        human_answers=("left", "no"),
        choices=("left", "right"),
        correct_choice=0,
        caption="A cat on the right.",
        history=(Round("Is it left?", "right side"),),
        dialog_id="d",
    )
    held_back = Question(question_id="8", image_id="b", question="Left?", split="val", human_answers=("yes",))
    boxes = {"a": np.zeros((1, 4), dtype=np.float32)}
    before = Annotations(questions=(question, held_back), images={"a": Path("a.png"), "b": Path("b.png")}, boxes=boxes)
    found = with_mirrored(before, ("train",))
    assert found.questions[:2] == before.questions
    (mirrored,) = found.questions[2:]
    assert (mirrored.question_id, mirrored.image_id, mirrored.dialog_id) == ("7 (mirrored)", "a (mirrored)", "d (mirrored)")
    assert (mirrored.question, mirrored.human_answers, mirrored.choices) == ("Right of it?", ("right", "no"), ("right", "left"))
    assert (mirrored.correct_choice, mirrored.split) == (0, "train")
    assert (mirrored.caption, mirrored.history) == ("A cat on the left.", (Round("Is it right?", "left side"),))
    assert found.images == {**before.images, "a (mirrored)": Path("a.png")}
    assert found.boxes["a (mirrored)"] is boxes["a"]
    assert is_mirrored(mirrored.image_id)
    assert not is_mirrored("a")
