"""What scores without the image."""

import dataclasses

import numpy as np
import pytest

from vqa_rnn.metrics.floors import text_floors
from vqa_rnn.metrics.official import visdial_metrics
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
    ],
    ids=["best of the choices", "string falls back", "prefix falls back", "a coarser look-up breaks no tie of a finer"],
)
def test_choices_restrict_the_answer(text: str, choices: tuple[str, ...], frequent: str, prefix: str, string: str):
    found = floors(ask("q", text, choices=choices))
    expected = {"most_frequent_answer": frequent, "question_prefix": prefix, "question_string": string}
    assert {name: prediction.answer for name, prediction in found.items()} == expected
    for prediction in found.values():
        assert prediction.choice is not None
        assert choices[prediction.choice] == prediction.answer


def ranked(question: Question) -> dict[str, list[str]]:
    """The choices of each floor, best first."""
    found = floors(question)
    assert all(prediction.ranks is not None and prediction.ranks.dtype == np.int64 for prediction in found.values())
    assert all(sorted(prediction.ranks) == list(range(1, len(question.choices) + 1)) for prediction in found.values())
    assert all(prediction.ranks[prediction.choice] == 1 for prediction in found.values())
    return {name: [question.choices[i] for i in np.argsort(prediction.ranks)] for name, prediction in found.items()}


def test_choices_are_ranked_by_the_finest_look_up_first():
    """The bed is red, things of a colour are blue more often than red, and "yes" comes most often of all."""
    orders = ranked(ask("q", "what colour is the bed ?", choices=("2", "Blue", "yes", "red")))
    assert orders == {
        "most_frequent_answer": ["yes", "Blue", "red", "2"],
        "question_prefix": ["Blue", "red", "yes", "2"],
        "question_string": ["red", "Blue", "yes", "2"],
    }


def test_a_tie_of_a_finer_look_up_goes_by_the_coarser():
    train = [*TRAIN, ask("12", "is the bed red ?", "no"), ask("13", "is the bed red ?", "yes")]
    for order in (("no", "yes"), ("yes", "no")):
        found = text_floors(train, [ask("q", "is the bed red ?", choices=order)], 2)["question_string"]["q"]
        assert found.answer == "yes"
        assert found.probability == 0.5


def test_the_place_of_a_choice_does_not_decide():
    texts = ("ant", "bee", "cat", "dog", "elk")
    order = ranked(ask("q", "is it big ?", choices=texts))
    assert order == ranked(ask("q", "is it big ?", choices=texts[::-1]))
    assert len({tuple(choices) for choices in order.values()}) == 1


def test_unknown_choices_are_ordered_by_a_hash_of_the_question():
    """No text comes first more often than another, and no place: of a text that is a choice twice, either comes first."""
    choices = ("ant", "bee", "cat", "cat")
    asked = [ask(f"q{i}", "is it big ?", choices=choices) for i in range(2000)]
    found = text_floors(TRAIN, asked, 2)["question_string"].values()
    firsts = np.bincount([prediction.choice for prediction in found], minlength=4) / len(asked)
    assert firsts[:2] == pytest.approx(1 / 3, abs=0.05)  # texts are drawn, so the two cats share a third
    assert firsts[2:] == pytest.approx(1 / 6, abs=0.04)
    assert {prediction.probability for prediction in found} == {0.25}


def test_floors_have_every_metric_of_visual_dialog():
    choices = ("2", "blue", "yes", "red")
    judged = Question(
        question_id="q",
        image_id="q",
        question="what colour is the bed ?",
        split="val",
        human_answers=("blue",),
        choices=choices,
        correct_choice=1,
        relevance=(0, 1, 0, 0.5),
    )
    found = {name: visdial_metrics([judged], answers) for name, answers in text_floors(TRAIN, [judged], 2).items()}
    assert {name: (scores["r@1"][0], scores["mrr"][0], scores["mean_rank"][0]) for name, scores in found.items()} == {
        "most_frequent_answer": (0, 0.5, 2),
        "question_prefix": (1, 1, 1),
        "question_string": (0, 0.5, 2),
    }
    best = 1 + 0.5 / np.log2(3)
    assert found["question_prefix"]["ndcg"][0] == pytest.approx(1)
    assert found["question_string"]["ndcg"][0] == pytest.approx((0.5 + 1 / np.log2(3)) / best)


def test_open_ended_questions_have_no_ranks():
    assert {prediction.ranks for prediction in floors(ask("q", "is it big ?")).values()} == {None}


def test_answers_of_several_people_earn_fractions():
    train = [ask("1", "what ?", *["cat"] * 9 + ["dog"]), ask("2", "what ?", "dog")]
    found = text_floors(train, [ask("q", "what ?")], 2)["most_frequent_answer"]["q"]
    assert found.answer == "dog"
    assert found.probability == pytest.approx(1.3 / 2.3)


def test_choices_are_looked_up_as_several_people_answers_score():
    train = [ask(str(i), "where is it ?", *["in the sky"] * 6, *["up"] * 4) for i in range(5)]
    asked = Question(
        question_id="q", image_id="1", question="where is it ?", split="val", choices=("a dog", "in the sky", "t-shirt", "up")
    )
    found = text_floors(train, [asked], 2)["question_string"]["q"]
    assert (found.answer, found.choice) == ("in the sky", 1)
    assert found.ranks is not None
    assert found.ranks.tolist()[1::2] == [1, 2]
    single = [ask("1", "where is it ?", "sky"), ask("2", "where is it ?", "sky"), ask("3", "where is it ?", "up")]
    other = dataclasses.replace(asked, choices=("the sky", "up"))
    assert text_floors(single, [other], 2)["question_string"]["q"].answer == "up", "one person's words count as they are"


def test_without_training_questions_the_answer_is_empty():
    found = text_floors([], [ask("q", "what ?")], 2)
    assert {prediction["q"].answer for prediction in found.values()} == {""}
    assert {prediction["q"].probability for prediction in found.values()} == {0.0}


def test_every_question_is_answered():
    found = text_floors(TRAIN, TRAIN, 3)
    assert all(set(predictions) == {question.question_id for question in TRAIN} for predictions in found.values())
    assert [found["question_string"][q.question_id].answer for q in TRAIN[:4]] == ["red", "red", "blue", "blue"]


def test_the_order_of_the_training_questions_breaks_no_tie():
    # red earns 0.3 + 0.6 + 0.9, blue 0.9 + 0.3 + 0.6: equal, but for the last digit of a sum
    train = [
        ask("1", "what is it ?", "red", "red", *("green",) * 8),
        ask("2", "what is it ?", *("red",) * 3, *("green",) * 7),
        ask("3", "what is it ?", *("blue",) * 3, *("green",) * 7),
        ask("4", "what is it ?", "blue", "blue", *("green",) * 8),
    ]
    train += [ask("5", "what is it ?", "red"), ask("6", "what is it ?", "blue"), ask("7", "what is it ?", "red", *("x",) * 9)]
    train += [ask("8", "what is it ?", "blue", *("y",) * 9)]
    found = set()
    for seed in range(30):
        order = np.random.default_rng(seed).permutation(len(train))
        asked = ask("q", "what is it ?", choices=("red", "blue"))
        answer = text_floors([train[place] for place in order], [asked], 2)["question_string"]["q"]
        found.add((answer.answer, answer.probability))
    assert len(found) == 1
