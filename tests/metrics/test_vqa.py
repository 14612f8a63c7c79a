"""The official VQA accuracy under both rules."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from vqa_rnn.answers import RULES, Rule, consensus_score
from vqa_rnn.metrics.vqa import consensus_scores, mean_by_type

ROOT = Path(__file__).parents[2]
GOLDENS = json.loads((ROOT / "tests" / "data" / "goldens_vqa.json").read_text(encoding="utf-8"))
ROW_OF_PERIODS = "." * 33 + "x"


def people(*counted: tuple[str, int]) -> list[str]:
    return [answer for answer, times in counted for _ in range(times)]


# answer, what people said, score under the rule of 2021, and of 2015
BY_HAND: list[tuple[str, list[str], float, float]] = [
    # all agree. 2021: nothing is normalised. 2015: the answer is, what people said is not
    ("red", people(("red", 10)), 1, 1),
    ("Red", people(("red", 10)), 0, 1),
    ("red", people(("Red", 10)), 0, 0),
    ("Red", people(("Red", 10)), 1, 0),
    ("two dogs", people(("2 dogs", 10)), 0, 1),
    ("2 dogs", people(("two dogs", 10)), 0, 0),
    ("two dogs", people(("two dogs", 10)), 1, 0),
    ("the", people(("the", 10)), 1, 0),
    ("", people(("the", 10)), 0, 0),
    ("the", people(("", 10)), 0, 1),
    ("red.", people(("red", 10)), 0, 1),
    ("red", people(("red.", 10)), 0, 0),
    ("t-shirt", people(("t-shirt", 10)), 1, 0),
    ("t-shirt", people(("t shirt", 10)), 0, 1),
    ("none", people(("0", 10)), 0, 1),
    ("dont", people(("don't", 10)), 0, 1),
    ("don't", people(("dont", 10)), 0, 0),
    ("don't", people(("don't", 10)), 1, 1),
    ("1,000", people(("1000", 10)), 0, 1),
    ("yes!", people(("yes", 10)), 0, 1),
    ("blue", people(("red", 10)), 0, 0),
    # blanks: in the answer always, in what people said under the rule of 2021
    (" red\n", people(("red", 10)), 1, 1),
    ("red\tball", people(("red ball", 10)), 1, 1),
    ("red", people((" red", 10)), 1, 0),
    ("red", people((" red", 5), ("red\n", 5)), 1, 0),
    ("red\nball", people(("red ball", 3), ("blue", 7)), 0.9, 0.9),
    ("red ball", people(("red\nball", 3), ("blue", 7)), 0.9, 0),
    # n of ten
    ("cat", people(("dog", 9), ("cow", 1)), 0, 0),
    ("cat", people(("cat", 1), ("dog", 9)), 0.3, 0.3),
    ("cat", people(("cat", 2), ("dog", 8)), 0.6, 0.6),
    ("cat", people(("cat", 3), ("dog", 7)), 0.9, 0.9),
    ("cat", people(("cat", 4), ("dog", 6)), 1, 1),
    ("cat", people(("cat", 9), ("dog", 1)), 1, 1),
    # people differ. 2021: both sides are normalised. 2015: what people said loses its punctuation alone
    ("2", people(("two", 9), ("2", 1)), 1, 0.3),
    ("two", people(("two", 9), ("2", 1)), 1, 0.3),
    ("cat", people(("the cat", 9), ("cat", 1)), 1, 0.3),
    ("The Cat!", people(("the cat", 9), ("dog", 1)), 1, 0),
    ("Cat", people(("Cat", 5), ("dog", 5)), 1, 0),
    ("cat", people(("cat", 4), ("Cat", 6)), 1, 1),
    ("cat", people(("cat", 2), ("Cat", 8)), 1, 0.6),
    ("0", people(("none", 1), ("0", 9)), 1, 1),
    ("none", people(("none", 3), ("nothing", 7)), 0.9, 0),
    ("ten", people(("10", 1), ("ten", 9)), 1, 0.3),
    ("eleven", people(("eleven", 2), ("11", 8)), 0.6, 0.6),
    ("dont know", people(("dont know", 4), ("unsure", 6)), 1, 0),
    ("don't know", people(("dont know", 4), ("unsure", 6)), 1, 0),
    ("dont know", people(("don't know", 3), ("unsure", 7)), 0.9, 0.9),
    ("a", people(("a", 4), ("the", 6)), 1, 0),
    ("", people(("", 1), ("no", 9)), 0.3, 0.3),
    ("?", people(("", 1), ("no", 9)), 0.3, 0.3),
    ("t - shirt", people(("t-shirt", 3), ("shirt", 7)), 0.9, 0.9),
    ("t shirt", people(("t - shirt", 3), ("shirt", 7)), 0.9, 0),  # 2015: two blanks stay
    ("1,000 feet", people(("1000 feet", 2), ("1000", 8)), 0.6, 0.6),
    ("1000 feet", people(("1,000 feet", 3), ("far", 7)), 0.9, 0.9),
    ("1 000", people(("1,000", 3), ("far", 7)), 0, 0),
    ("2.5", people(("2.5", 3), ("2", 7)), 0.9, 0.9),
    ("3.", people(("3", 3), ("4", 7)), 0.9, 0.9),
    ("3", people(("3.", 3), ("4", 7)), 0.9, 0.9),
    (".5", people((".5", 2), ("0.5", 8)), 0.6, 0.6),
    ("a.m.", people(("am", 3), ("pm", 7)), 0.9, 0.9),
    ("10:30", people(("10:30", 3), ("10 30", 7)), 0.9, 0.9),
    ("black & white", people(("black and white", 4), ("black & white", 6)), 1, 1),
    ("black/white", people(("black / white", 1), ("black white", 1), ("grey", 8)), 0.6, 0.3),
    ("yes, it is", people(("yes it is", 3), ("yes", 7)), 0.9, 0.9),
    ("yes,it is", people(("yes it is", 3), ("yes", 7)), 0.9, 0.9),
    ("its", people(("its", 3), ("it's", 7)), 0.9, 0.9),
    ("wont", people(("won't", 3), ("no", 7)), 0.9, 0.9),
    ("somebody'd", people(("somebodyd", 3), ("nobody", 7)), 0.9, 0.9),  # a reversed entry of the table
    ("somebodyd", people(("somebody'd", 3), ("nobody", 7)), 0.9, 0),
    ("Im", people(("im", 3), ("you", 7)), 0.9, 0.9),  # an entry that can never match
    ("[left]", people(("left", 3), ("right", 7)), 0.9, 0.9),
    ("garbage_bin", people(("garbage bin", 3), ("bin", 7)), 0.9, 0.9),
    ("-5", people(("5", 3), ("-5", 7)), 1, 0.9),  # 2015: " 5" keeps its blank
    (ROW_OF_PERIODS, people((ROW_OF_PERIODS, 3), ("x", 7)), 0.9, 0.9),  # 32 periods go, one stays
    ("x", people((ROW_OF_PERIODS, 3), ("y", 7)), 0, 0),
    ("青い", people(("青い", 3), ("赤", 7)), 0.9, 0.9),
    # other numbers of people
    ("cat", people(("cat", 1)), 0, 0),
    ("cat", people(("cat", 2)), 1 / 3, 1 / 3),
    ("cat", people(("cat", 3)), 2 / 3, 2 / 3),
    ("cat", people(("cat", 4)), 1, 1),
    ("cat", people(("cat", 1), ("dog", 1)), 1 / 6, 1 / 6),
    ("cat", people(("cat", 2), ("dog", 1)), 4 / 9, 4 / 9),
    ("dog", people(("cat", 2), ("dog", 1)), 2 / 9, 2 / 9),
    ("cat", people(("cat", 5), ("dog", 95)), 1, 1),
]


def scored(rule: Rule, cases: list[tuple[str, list[str]]]) -> list[float]:
    return consensus_scores([answer for answer, _ in cases], [humans for _, humans in cases], rule).tolist()


@pytest.mark.parametrize(("answer", "humans", "score_2021", "score_2015"), BY_HAND)
def test_scores_worked_by_hand(answer: str, humans: list[str], score_2021: float, score_2015: float):
    assert scored("2021", [(answer, humans)]) == pytest.approx([score_2021], abs=1e-12)
    assert scored("2015", [(answer, humans)]) == pytest.approx([score_2015], abs=1e-12)
    assert consensus_score(answer, humans) == pytest.approx(score_2021, abs=1e-12)
    assert consensus_score(answer, humans, "2015") == pytest.approx(score_2015, abs=1e-12)


@pytest.mark.parametrize(("rule", "column"), [("2021", 2), ("2015", 3)])
def test_questions_do_not_change_each_other(rule: Rule, column: int):
    assert scored(rule, [case[:2] for case in BY_HAND]) == pytest.approx([case[column] for case in BY_HAND], abs=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_scores_equal_the_official_script(rule: Rule):
    cases = [(case["answer"], case["human_answers"]) for case in GOLDENS["cases"]]
    assert len(cases) == 600
    assert np.abs(np.array(scored(rule, cases)) - [case[f"score_{rule}"] for case in GOLDENS["cases"]]).max() <= 1e-9


NONE = (None, None)


@pytest.mark.parametrize(
    ("answer", "humans", "identities", "score_2021", "score_2015"),
    [
        # equal records are all left out: nobody is left
        ("cat", people(("cat", 10)), [NONE] * 10, 0, 0),
        ("cat", people(("cat", 10)), [(1, "yes")] * 10, 0, 0),
        # confidence tells two halves apart
        ("cat", people(("cat", 10)), [(None, "yes")] * 5 + [(None, "no")] * 5, 1, 1),
        ("cat", people(("cat", 4)), [(None, "yes")] * 2 + [(None, "no")] * 2, 2 / 3, 2 / 3),
        # six others see four cats, the four cats see none
        ("cat", people(("cat", 4), ("dog", 6)), [NONE] * 10, 0.6, 0.6),
        # 2021: four equal records; 2015: two and two, and only two of them match
        ("cat", people(("the cat", 2), ("cat", 2), ("dog", 6)), [NONE] * 10, 0.6, 8 * (2 / 3) / 10),
        # two of three share a number: 2 x 1/3 + 1 x 2/3 + 7 x 1
        (
            "cat",
            people(("cat", 3), ("dog", 7)),
            [(1, "yes"), (1, "yes"), *((i, "yes") for i in range(2, 10))],
            25 / 30,
            25 / 30,
        ),
        # the same number, but unlike texts or confidences, so no two are equal
        ("cat", people(("cat", 1), ("dog", 1)), [(1, "yes"), (1, "yes")], 1 / 6, 1 / 6),
        ("cat", people(("cat", 2), ("dog", 8)), [(1, "yes"), (1, "no"), *((i, "yes") for i in range(2, 10))], 0.6, 0.6),
        # distinct numbers
        ("cat", people(("cat", 3), ("dog", 7)), [(i, "yes") for i in range(10)], 0.9, 0.9),
    ],
)
def test_equal_records_are_left_out_together(
    answer: str, humans: list[str], identities: list[tuple], score_2021: float, score_2015: float
):
    for rule, score in {"2021": score_2021, "2015": score_2015}.items():
        assert consensus_score(answer, humans, rule, identities) == pytest.approx(score, abs=1e-12)
        together = consensus_scores([answer, "x"], [humans, ["x"] * 4], rule, [identities, None])
        assert together.tolist() == pytest.approx([score, 1], abs=1e-12)


@pytest.mark.slow
def test_random_quirky_answers_score_as_the_rules_read_step_by_step():
    soak = runpy.run_path(str(ROOT / "scripts" / "soak" / "vqa_parity.py"))
    assert soak["find_differences"](20_000, seed=1) == []


def test_the_step_by_step_procedure_equals_the_official_script():
    literal = runpy.run_path(str(ROOT / "scripts" / "benchmarks" / "literal_vqa.py"))
    for case in GOLDENS["cases"][::6]:
        records = [{"answer": answer, "answer_id": i} for i, answer in enumerate(case["human_answers"], start=1)]
        for rule in RULES:
            assert literal["score_question"](case["answer"], records, rule) == pytest.approx(case[f"score_{rule}"], abs=1e-9)


def test_no_questions_and_no_people():
    assert consensus_scores([], []).shape == (0,)
    with pytest.raises(ValueError, match="without human answers"):
        consensus_scores(["cat", "cat"], [["cat"], []])
    with pytest.raises(ValueError, match="without human answers"):
        consensus_score("cat", [], "2015")


def test_what_was_given_is_left_as_it_was():
    humans = ["The Cat", "dog"]
    consensus_scores(["Cat"], [humans])
    assert humans == ["The Cat", "dog"]


def test_means_by_type_come_in_alphabetical_order():
    means = mean_by_type(np.array([1, 0.3, 0, 0.6]), ["what", "how", "what", "how"])
    assert means == pytest.approx({"how": 0.45, "what": 0.5})
    assert list(means) == ["how", "what"]
