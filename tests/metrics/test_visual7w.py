"""The official rule of Visual7W."""

import pytest

from vqa_rnn.metrics.visual7w import is_correct


@pytest.mark.parametrize(
    ("predicted", "answer", "correct"),
    [
        ("A cat.", "A cat.", True),
        ("a CAT.", "A cat.", True),
        ("A cat", "A cat.", False),
        (" A cat.", "A cat.", False),
        ("cat.", "A cat.", False),
        ("two", "2", False),
        ("ÉTÉ", "été", True),
        ("", "", True),
        # boxes, by id and as text
        (17, 17, True),
        ("17", 17, True),
        (17, "17", True),
        (17, 18, False),
        ("017", 17, False),
        ("17 ", 17, False),
    ],
)
def test_a_choice_is_right_where_its_text_is(predicted: str | int, answer: str | int, correct: bool):
    assert is_correct(predicted, answer) is correct
