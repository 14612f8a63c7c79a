"""Which questions follow from an answer."""

import pytest

from vqa_rnn.annotations.implied import implied_questions


@pytest.mark.parametrize(
    ("question", "answer", "other", "expected"),
    [
        ("What colour is the ball?", "red", None, [("Is the ball red?", "yes", "equivalent")]),
        (
            "what color are the two cats on it ?",
            "Black",
            "white",
            [("Are the two cats on it black?", "yes", "equivalent"), ("Are the two cats on it white?", "no", "exclusive")],
        ),
        ("What is the shape of the thing?", "cube", "yes", [("Is the shape of the thing cube?", "yes", "equivalent")]),
        (
            "How many chairs are there at the table?",
            "2",
            "3",
            [
                ("Are there 2 chairs at the table?", "yes", "equivalent"),
                ("Are there 3 chairs at the table?", "no", "exclusive"),
                ("Are there any chairs at the table?", "yes", "necessary"),
            ],
        ),
        ("How many dogs are in the picture?", "0", None, [
            ("Are there 0 dogs in the picture?", "yes", "equivalent"),
            ("Are there 1 dogs in the picture?", "no", "exclusive"),
        ]),
        ("How many dogs are there?", "many", None, []),
        ("Is it red?", "yes", "no", []),
        ("What colour is the ball?", "yes", None, []),
        ("What is on the table?", "lamp", "cup", []),
        ("What colour is there on the wall?", "red", None, []),
        ("", "red", None, []),
    ],
)  # fmt: skip
def test_patterns(question: str, answer: str, other: str | None, expected: list):
    assert [tuple(each) for each in implied_questions(question, answer, other)] == expected
