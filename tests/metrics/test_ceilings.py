"""The best that any answer can score."""

from typing import Any

import pytest

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.metrics.ceilings import ceilings
from vqa_rnn.records import Question


def ask(*human_answers: str, **more: Any) -> Question:
    return Question(question_id="1", image_id="A", question="what", split="val", human_answers=human_answers, **more)


@pytest.mark.parametrize(
    ("human_answers", "best"),
    [
        (("cat",), 1),
        (("cat", "cat"), 1 / 3),  # whoever is left out, one other agrees
        (("cat", "cat", "cat"), 2 / 3),
        (("cat",) * 4, 1),
        (("cat", "dog"), 1 / 6),  # 0 where the one who said it is left out, else 1/3
        (("cat",) * 3 + ("dog",) * 7, 1),
        (("a", "b", "c", "d", "e", "f", "g", "h", "i", "j"), 0.3),
    ],
)
def test_few_people_and_people_who_differ_leave_less_than_one(human_answers: tuple[str, ...], best: float):
    found = ceilings([ask(*human_answers)], None)
    assert set(found) == {"best_answer"}
    assert found["best_answer"].tolist() == pytest.approx([best])


def test_a_classifier_reaches_what_its_vocabulary_has():
    questions = [ask("cat"), ask("zebra"), ask(*["zebra"] * 6, *["cat"] * 2, *["dog"] * 2)]
    found = ceilings(questions, AnswerVocabulary(["cat", "dog"]))
    assert found["best_answer"].tolist() == [1, 1, 1]
    assert found["best_known_answer"].tolist() == pytest.approx([1, 0, 0.6])


def test_of_choices_the_best_counts():
    choosing = ask(*["red"] * 2, *["blue"] * 8, choices=("red", "green"))
    found = ceilings([choosing, ask("red", choices=("red", "green"))], AnswerVocabulary(["green", "blue"]))
    assert found["best_answer"].tolist() == pytest.approx([0.6, 1])
    assert found["best_known_answer"].tolist() == pytest.approx([0, 0])
