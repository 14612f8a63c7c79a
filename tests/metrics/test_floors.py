"""What scores without the image."""

import pytest

from vqa_rnn.metrics.floors import text_floors
from vqa_rnn.records import Prediction, Question


def ask(question_id: str, text: str, *humans: str, choices: tuple[str, ...] = ()) -> Question:
    return Question(
        question_id=question_id,
        image_id=question_id,
        question=text,
        split="train",
        human_answers=humans,
        choices=choices,
    )


TRAIN = [
    ask("1", "what colour is the bed ?", "red"),
    ask("2", "what colour is the bed ?", "red"),
    ask("3", "what colour is the chair ?", "blue"),
    ask("4", "what colour is the table ?", "blue"),
    ask("5", "what colour is the lamp ?", "blue"),
    ask("6", "how many beds are there ?", "2"),
    ask("7", "how many chairs are there ?", "3"),
    ask("8", "is it big ?", "yes"),
    ask("9", "is it old ?", "yes"),
    ask("10", "are they big ?", "yes"),
    ask("11", "are they old ?", "yes"),
]


def floors(question: Question, prefix_words: int = 2) -> dict[str, Prediction]:
    return {name: found["q"] for name, found in text_floors(TRAIN, [question], prefix_words).items()}


@pytest.mark.parametrize(
    ("text", "frequent", "prefix", "string"),
    [
        ("what colour is the bed ?", "yes", "blue", "red"),
        ("What  COLOUR is the bed ?", "yes", "blue", "red"),
        ("what colour is the sofa ?", "yes", "blue", "blue"),
        ("how many sofas are there ?", "yes", "2", "2"),
        ("how many chairs are there ?", "yes", "2", "3"),
        ("where is it ?", "yes", "yes", "yes"),
    ],
    ids=["all met", "folded", "string not met", "a tie goes by the alphabet", "one string", "nothing met"],
)
def test_what_a_floor_has_not_met_the_coarser_one_answers(text: str, frequent: str, prefix: str, string: str):
    found = floors(ask("q", text))
    assert {name: prediction.answer for name, prediction in found.items()} == {
        "most_frequent_answer": frequent,
        "question_prefix": prefix,
        "question_string": string,
    }
    assert all(prediction.choice is None for prediction in found.values())


def test_probabilities_are_shares_of_what_was_earned():
    found = floors(ask("q", "what colour is the bed ?"))
    assert found["most_frequent_answer"].probability == pytest.approx(4 / 11)
    assert found["question_prefix"].probability == pytest.approx(3 / 5)
    assert found["question_string"].probability == 1.0


def test_the_prefix_is_as_long_as_asked_for():
    question = ask("q", "what colour is the door ?")
    assert floors(question, prefix_words=1)["question_prefix"].answer == "blue"
    assert floors(question, prefix_words=20)["question_prefix"].answer == "yes"


@pytest.mark.parametrize(
    ("text", "choices", "frequent", "prefix", "string"),
    [
        ("what colour is the bed ?", ("blue", "Red", "green"), "blue", "blue", "Red"),
        ("what colour is the bed ?", ("blue", "green"), "blue", "blue", "blue"),
        ("what colour is the bed ?", ("yes", "2"), "yes", "yes", "yes"),
        ("how many beds are there ?", ("3", "2"), "2", "2", "2"),
        ("is it big ?", ("purple", "brown"), "brown", "brown", "brown"),
    ],
    ids=[
        "best of the choices",
        "string falls back",
        "prefix falls back",
        "a tie goes by the alphabet",
        "nothing known",
    ],
)
def test_choices_restrict_the_answer(text: str, choices: tuple[str, ...], frequent: str, prefix: str, string: str):
    found = floors(ask("q", text, choices=choices))
    expected = {"most_frequent_answer": frequent, "question_prefix": prefix, "question_string": string}
    assert {name: prediction.answer for name, prediction in found.items()} == expected
    for prediction in found.values():
        assert prediction.choice is not None
        assert choices[prediction.choice] == prediction.answer


def test_the_order_of_choices_does_not_decide():
    one, other = (floors(ask("q", "is it big ?", choices=order)) for order in (("ant", "bee"), ("bee", "ant")))
    assert [p.answer for p in one.values()] == [p.answer for p in other.values()] == ["ant"] * 3


def test_answers_of_several_people_earn_fractions():
    train = [ask("1", "what ?", *["cat"] * 9 + ["dog"]), ask("2", "what ?", "dog")]
    found = text_floors(train, [ask("q", "what ?")], 2)["most_frequent_answer"]["q"]
    assert found.answer == "dog"
    assert found.probability == pytest.approx(1.3 / 2.3)


def test_without_training_questions_the_answer_is_empty():
    found = text_floors([], [ask("q", "what ?")], 2)
    assert {prediction["q"].answer for prediction in found.values()} == {""}
    assert {prediction["q"].probability for prediction in found.values()} == {0.0}


def test_every_question_is_answered():
    found = text_floors(TRAIN, TRAIN, 3)
    assert all(set(predictions) == {question.question_id for question in TRAIN} for predictions in found.values())
    assert [found["question_string"][q.question_id].answer for q in TRAIN[:4]] == ["red", "red", "blue", "blue"]
