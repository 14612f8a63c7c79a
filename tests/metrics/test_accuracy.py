"""Scores of single questions and their means by type."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vqa_rnn.metrics.accuracy import by_type, chance, question_scores
from vqa_rnn.metrics.official import visdial_metrics
from vqa_rnn.records import Prediction, Question


def ask(question_id: str, *humans: str, **more: Any) -> Question:
    return Question(question_id=question_id, image_id="A", question="what ?", split="test", human_answers=humans, **more)


def say(question_id: str, answer: str, choice: int | None = None) -> Prediction:
    return Prediction(question_id=question_id, answer=answer, probability=0.5, choice=choice)


@pytest.mark.parametrize(
    ("question", "prediction", "score"),
    [
        (ask("1", "Red"), say("1", " red"), 1.0),
        (ask("1", "red"), say("1", "blue"), 0.0),
        (ask("1", *["cat"] * 2 + ["dog"] * 8), say("1", "the cat"), 0.6),
        (ask("1", "cat", choices=("dog", "cat"), correct_choice=1), say("1", "cat", 1), 1.0),
        (ask("1", "cat", choices=("dog", "cat"), correct_choice=1), say("1", "dog", 0), 0.0),
        (ask("1", "cat", choices=("cat", "Cat"), correct_choice=1), say("1", "cat", 0), 0.0),
        (ask("1", choice_regions=(4, 7), correct_choice=0), say("1", "", 0), 1.0),
    ],
    ids=["folded", "wrong", "consensus", "right choice", "wrong choice", "by place and not by text", "pointing"],
)
def test_the_score_of_a_question(question: Question, prediction: Prediction, score: float):
    scores = question_scores([question], {"1": prediction})
    assert scores.dtype == np.float64
    assert scores.tolist() == pytest.approx([score])


def test_scores_come_in_the_order_of_the_questions():
    questions = [ask("b", "red"), ask("a", "red"), ask("c", "red")]
    predictions = {"a": say("a", "red"), "b": say("b", "blue"), "c": say("c", "red")}
    assert question_scores(questions, predictions).tolist() == [0.0, 1.0, 1.0]


def test_a_withheld_truth_cannot_be_scored():
    with pytest.raises(ValueError, match="question 7 is withheld"):
        question_scores([ask("7", choices=("cat", "dog"))], {"7": say("7", "cat", 0)})
    with pytest.raises(ValueError, match="human answers"):
        question_scores([ask("7")], {"7": say("7", "cat")})
    ranked = replace(say("7", "cat", 0), ranks=np.array([1, 2]))
    with pytest.raises(ValueError, match="question 7 is withheld"):
        visdial_metrics([ask("7", choices=("cat", "dog"))], {"7": ranked})


def test_means_by_type():
    questions = [
        ask("1", "yes", answer_type="yes/no", question_type="is it", choices=("yes", "no")),
        ask("2", "no", answer_type="yes/no", choices=("yes", "no")),
        ask("3", "red", answer_type="colour", question_type="is it", choices=("a", "b", "c", "d")),
        ask("4", "red", question_type="what"),
    ]
    assert by_type(questions, {"accuracy": np.array([1.0, 0.0, 0.25, 0.5])}) == {
        "answer_type": {
            "colour": {"accuracy": 0.25, "num_questions": 1, "chance": 0.25},
            "yes/no": {"accuracy": 0.5, "num_questions": 2, "chance": 0.5},
        },
        "question_type": {
            "is it": {"accuracy": 0.625, "num_questions": 2, "chance": 0.375},
            "what": {"accuracy": 0.5, "num_questions": 1},
        },
    }


def test_a_benchmark_without_types_has_no_rows():
    assert by_type([ask("1", "red")], {"accuracy": np.array([1.0])}) == {}


def test_rounds_count_from_one_and_ten_comes_after_two():
    questions = [ask(str(i), "red", round_index=i) for i in (9, 1, 0)] + [ask("x", "red")]
    rows = by_type(questions, {"accuracy": np.array([0.5, 1.0, 0.0, 1.0])})["round"]
    assert list(rows) == ["1", "2", "10"]
    assert rows["10"] == {"accuracy": 0.5, "num_questions": 1}


def test_what_a_round_needs_and_how_far_back_it_refers():
    said = [(True, 10), (True, 2), (False, 0), (True, 0), (None, None)]
    questions = [ask(str(i), "a", needs_history=need, coreference_distance=far) for i, (need, far) in enumerate(said)]
    report = by_type(questions, {"r@1": np.array([1.0, 0.0, 1.0, 0.5, 0.0])})
    assert {field: {kind: row["r@1"] for kind, row in rows.items()} for field, rows in report.items()} == {
        "needs_history": {"false": 1.0, "true": 0.5},
        "coreference_distance": {"none": 0.75, "2": 0.0, "10": 1.0},
    }
    assert list(report["coreference_distance"]) == ["none", "2", "10"]


def test_relational_questions():
    questions = [ask("1", "a", relational=True), ask("2", "a", relational=False), ask("3", "a", relational=True)]
    rows = by_type(questions, {"accuracy": np.array([0.0, 1.0, 1.0])})["relational"]
    assert rows == {"false": {"accuracy": 1.0, "num_questions": 1}, "true": {"accuracy": 0.5, "num_questions": 2}}


def test_each_metric_is_a_mean_over_the_questions_it_applies_to():
    questions = [ask(str(i), "a", round_index=i // 3) for i in range(4)]
    scores = {"r@1": np.array([1.0, 0.0, 0.5, 1.0]), "ndcg": np.array([np.nan, 0.25, 0.75, np.nan])}
    assert by_type(questions, scores)["round"] == {
        "1": {"r@1": 0.5, "ndcg": 0.5, "num_questions": 3},
        "2": {"r@1": 1.0, "num_questions": 1},
    }
    assert list(by_type(questions, scores)["round"]["1"]) == ["r@1", "ndcg", "num_questions"]


def test_chance():
    assert chance(ask("1", choices=("a", "b", "c"))) == pytest.approx(1 / 3)
    assert chance(ask("1", choice_regions=(1, 2))) == 0.5
    assert chance(ask("1", "red")) == 0.0
    said = ["yes"] * 5 + ["no"] * 3 + ["maybe"] * 2
    assert chance(ask("1", *said, choices=("yes", "no", "maybe", "red"))) == pytest.approx((1.0 + 0.9 + 0.6) / 4)
