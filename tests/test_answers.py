"""The official normalisation, scores by consensus, and the answer vocabulary."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_rnn.answers import (
    RULES,
    AnswerVocabulary,
    Rule,
    answer_scores,
    consensus_score,
    fold_answer,
    leave_one_out,
    most_frequent_answer,
    normalise_vqa,
    score_answer,
)
from vqa_rnn.errors import UserError

GOLDENS = json.loads((Path(__file__).parent / "data" / "goldens_vqa.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize(
    ("answer", "normalised"),
    [
        ("Red", "red"),
        ("", ""),
        ("  spaced \n  out ", "spaced out"),
        # marks: a space in their place, or nothing where one of the same kind stands beside a space
        ("t-shirt", "t shirt"),
        ("t - shirt", "t shirt"),
        ("x- y-z", "x yz"),
        ("black/white", "black white"),
        ("black / white", "black white"),
        ("(left)", "left"),
        ("x+y=z", "x y z"),
        ("yes,no", "yes no"),
        ("yes, it is", "yes it is"),
        ("e-mail, t-shirt", "e mail t shirt"),
        ("what?!", "what"),
        ("garbage_bin", "garbage bin"),
        ("-5", "5"),
        # a comma between digits: every mark vanishes without a space
        ("1,000 feet", "1000 feet"),
        ("1,000-2,000", "10002000"),
        ("t-shirt 1,0", "tshirt 10"),
        # marks that are not in the list
        ("10:30", "10:30"),
        ("$5 & 50% #1 *", "$5 & 50% #1 *"),
        # periods: gone unless a digit follows, at most 32 of them
        ("3.", "3"),
        (".5", ".5"),
        ("2.5", "2.5"),
        ("v1.0.", "v1.0"),
        ("a.m.", "am"),
        ("mr. smith", "mr smith"),
        ("." * 40 + "x", "." * 8 + "x"),
        # number words, articles, contractions
        ("none", "0"),
        ("Zero", "0"),
        ("Two dogs", "2 dogs"),
        ("ten", "10"),
        ("eleven", "eleven"),
        ("the", ""),
        ("a an the", ""),
        ("The cat", "cat"),
        ("the-cat", "cat"),
        ("one,two", "1 2"),
        ("Dont know", "don't know"),
        ("wont", "won't"),
        ("its", "its"),
        ("let's", "let's"),
        # quirks of the table: keys with capitals never match, one entry is reversed
        ("Im", "im"),
        ("Ive", "ive"),
        ("somebody'd", "somebodyd"),
    ],
)
def test_normalisation(answer: str, normalised: str):
    assert normalise_vqa(answer) == normalised


def people(**counts: int) -> list[str]:
    return [answer.replace("_", " ") for answer, times in counts.items() for _ in range(times)]


@pytest.mark.parametrize(
    ("answer", "humans", "score"),
    [
        # n of ten people agree
        ("cat", people(dog=10), 0.0),
        ("cat", people(cat=1, dog=9), 0.3),
        ("cat", people(cat=2, dog=8), 0.6),
        ("cat", people(cat=3, dog=7), 0.9),
        ("cat", people(cat=4, dog=6), 1.0),
        ("cat", people(cat=9, dog=1), 1.0),
        ("cat", people(cat=10), 1.0),
        # all agree: nothing is normalised
        ("Red", people(red=10), 0.0),
        ("Red", ["Red"] * 10, 1.0),
        ("two dogs", ["2 dogs"] * 10, 0.0),
        ("red", ["red."] * 10, 0.0),
        ("", people(the=10), 0.0),
        # but white space at the ends, tabs and line ends
        (" red\n", people(red=10), 1.0),
        ("red\tball", people(red_ball=10), 1.0),
        ("red", [" red", "red\n"] * 5, 1.0),
        # somebody differs: both sides are normalised
        ("2", ["two"] * 9 + ["2"], 1.0),
        ("cat", ["the cat"] * 9 + ["cat"], 1.0),
        ("The Cat!", ["the cat"] * 9 + ["dog"], 1.0),
        ("", ["the"] * 9 + ["a"], 1.0),
        ("t - shirt", ["t-shirt"] * 3 + ["shirt"] * 7, 0.9),
        # other numbers of people
        ("cat", people(cat=2), 1 / 3),
        ("cat", people(cat=1, dog=1), 1 / 6),
        ("cat", people(cat=2, dog=1), 4 / 9),
        ("dog", people(cat=2, dog=1), 2 / 9),
        ("cat", people(cat=4), 1.0),
        ("cat", people(cat=5, dog=95), 1.0),
        # one person: equal after folding
        ("red  BALL", ["Red ball"], 1.0),
        ("2", ["two"], 0.0),
        ("ball", ["the ball"], 0.0),
        ("garbage bin", ["garbage_bin"], 0.0),
    ],
)
def test_the_score_of_one_answer(answer: str, humans: list[str], score: float):
    assert score_answer(answer, humans) == pytest.approx(score, abs=1e-12)


def test_an_answer_without_people_cannot_be_scored():
    with pytest.raises(ValueError, match="human answers"):
        score_answer("cat", [])
    assert answer_scores([]) == {}


def test_one_person_is_scored_by_comparison_for_training_and_by_the_rule_officially():
    assert score_answer("Red", ["red"]) == 1
    assert consensus_score("red", ["red"]) == consensus_score("red", ["red"], "2015") == 0  # there are no others


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_people_does_not_matter(rule: Rule):
    humans = ["the cat", "cat", "Cat", "cat.", "dog"] * 2
    assert consensus_score("Cat", humans, rule) == consensus_score("Cat", humans[::-1], rule)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", GOLDENS[::60], ids=lambda case: str(case["question_id"]))
def test_distinct_records_score_as_if_they_were_not_named(case: dict, rule: Rule):
    numbered = consensus_score(case["answer"], case["human_answers"], rule, range(10))
    assert numbered == pytest.approx(consensus_score(case["answer"], case["human_answers"], rule), abs=1e-12)
    assert numbered == pytest.approx(case[f"score_{rule}"], abs=1e-9)


@pytest.mark.parametrize(
    ("matches", "people", "score"),
    [(0, 10, 0), (1, 10, 0.3), (2, 10, 0.6), (3, 10, 0.9), (4, 10, 1), (10, 10, 1), (1, 1, 0), (0, 1, 0), (3, 3, 2 / 3)],
)
def test_the_closed_form(matches: int, people: int, score: float):
    assert leave_one_out(matches, people) == pytest.approx(score, abs=1e-12)


def test_folding_keeps_punctuation():
    assert fold_answer("  Two\tRed  Balls. ") == "two red balls."


def test_scores_equal_the_official_script():
    assert len(GOLDENS) == 600
    wrong = [
        case["question_id"]
        for case in GOLDENS
        if abs(score_answer(case["answer"], case["human_answers"]) - case["score_2021"]) > 1e-9
    ]
    assert wrong == []


SAID = st.sampled_from(
    [
        "yes",
        "Yes",
        "no",
        "2",
        "two",
        "the cat",
        "cat",
        "cat.",
        "t-shirt",
        "t - shirt",
        " red",
        "red",
        "a",
        "the",
        "",
        "1,0",
    ]
)


def step_by_step(answer: str, humans: list[str]) -> float:
    """The official rule of 2021 word by word."""
    humans = [human.replace("\n", " ").replace("\t", " ").strip() for human in humans]
    answer = answer.replace("\n", " ").replace("\t", " ").strip()
    if len(set(humans)) > 1:
        humans = [normalise_vqa(human) for human in humans]
        answer = normalise_vqa(answer)
    accuracies = []
    for left_out in range(len(humans)):
        others = humans[:left_out] + humans[left_out + 1 :]
        accuracies.append(min(1.0, sum(other == answer for other in others) / 3))
    return sum(accuracies) / len(accuracies)


@given(SAID | st.text(max_size=6), st.lists(SAID, min_size=2, max_size=12))
def test_the_score_is_the_mean_over_leaving_one_person_out(answer: str, humans: list[str]):
    assert score_answer(answer, humans) == pytest.approx(step_by_step(answer, humans), abs=1e-12)


@given(st.lists(SAID | st.text(max_size=6), min_size=1, max_size=12))
def test_listed_scores_are_those_that_scoring_gives(humans: list[str]):
    listed = answer_scores(humans)
    assert all(score > 0 for score in listed.values())
    for answer, score in listed.items():
        assert score_answer(answer, humans) == pytest.approx(score, abs=1e-12)
    for human in humans:
        if score_answer(human, humans) > 0:
            flat = human.replace("\n", " ").replace("\t", " ").strip()
            assert any(listed.get(form) for form in (flat, fold_answer(human), normalise_vqa(flat)))


@pytest.mark.parametrize("case", GOLDENS[::40], ids=lambda case: str(case["question_id"]))
def test_listed_scores_agree_with_the_official_script(case: dict):
    listed = answer_scores(case["human_answers"])
    for answer, score in listed.items():
        assert score == pytest.approx(score_answer(answer, case["human_answers"]), abs=1e-12)
    assert max(listed.values(), default=0.0) >= case["score_2021"] - 1e-12


def test_listed_answers_come_in_the_order_of_first_mention_and_normalised():
    humans = ["the dog"] * 3 + ["two", "2"] + ["Cat"] * 5
    assert answer_scores(humans) == pytest.approx({"dog": 0.9, "2": 0.6, "cat": 1.0})
    assert list(answer_scores(humans)) == ["dog", "2", "cat"]
    assert answer_scores(["  Red Ball"]) == {"red ball": 1.0}
    assert answer_scores(["Red"] * 10) == {"Red": 1.0}


def test_classes_are_ordered_by_their_questions_and_then_by_the_alphabet():
    vocabulary = AnswerVocabulary.build([["red"], ["blue"], ["red"], ["green"], ["Blue "], ["ant"], []])
    assert vocabulary.answers == ("blue", "red", "ant", "green")
    assert len(vocabulary) == 4


def test_the_most_frequent_answer_of_a_question_counts_and_no_other():
    humans = ["cat"] * 6 + ["dog"] * 4
    assert AnswerVocabulary.build([humans] * 9).answers == ("cat",), "nine times .9 of a score for the dog are no class"
    assert AnswerVocabulary.build([humans, humans, ["dog"]]).answers == ("cat", "dog")
    assert AnswerVocabulary.build([humans] * 8 + [["cat"]], min_count=9).answers == ("cat",)
    assert AnswerVocabulary.build([humans] * 8, min_count=9).answers == ()


def test_the_most_frequent_answer_is_in_normal_form_and_of_equals_the_first_said():
    assert most_frequent_answer(["two"] * 2 + ["2"] * 2 + ["cat"] * 3 + ["Dog"] * 3) == "2"
    assert most_frequent_answer(["dog"] * 5 + ["cat"] * 5) == "dog"
    assert most_frequent_answer(["cat"] * 5 + ["dog"] * 5) == "cat"
    assert most_frequent_answer(["Red"] * 10) == "Red", "where all agree, as the official script compares"
    assert most_frequent_answer([" Red  Ball "]) == "red ball"


def test_rare_answers_and_the_rest_are_left_out():
    answers = [["red"]] * 3 + [["blue"]] * 2 + [["green"]]
    assert AnswerVocabulary.build(answers, min_count=2).answers == ("red", "blue")
    assert AnswerVocabulary.build(answers, max_answers=1).answers == ("red",)
    assert AnswerVocabulary.build(answers, min_count=9).answers == ()


def test_targets_are_the_classes_that_score():
    vocabulary = AnswerVocabulary(["cat", "dog", "2"])
    assert vocabulary.targets(["dog"]) == {1: 1.0}
    assert vocabulary.targets(["DOG "]) == {1: 1.0}
    assert vocabulary.targets(["the dog"] * 3 + ["two"] + ["cow"] * 6) == pytest.approx({1: 0.9, 2: 0.3})
    assert vocabulary.targets(["zebra"]) == {}
    assert vocabulary.targets([]) == {}


def test_a_choice_is_known_in_any_form_in_which_an_answer_scores():
    humans = ["the dog"] * 3 + ["two"] + ["in the sky"] * 4 + ["T-shirt"] * 2
    vocabulary = AnswerVocabulary([*answer_scores(humans), "red", "a cat"])
    assert {"dog", "2", "in sky", "t shirt", "red", "a cat"} <= set(vocabulary.answers)
    known = {
        text: vocabulary.class_of(text) for text in ("the dog", "A Dog", "two", "2", "in the sky", "t-shirt", "RED", "a cat")
    }
    said = {text: None if number is None else vocabulary.answers[number] for text, number in known.items()}
    assert said == {
        "the dog": "dog",
        "A Dog": "dog",
        "two": "2",
        "2": "2",
        "in the sky": "in sky",
        "t-shirt": "t shirt",
        "RED": "red",
        "a cat": "a cat",
    }
    assert vocabulary.class_of("zebra") is None


def test_saving_and_loading_keeps_every_class(tmp_path: Path):
    vocabulary = AnswerVocabulary(["rot", "grün", "青い", '"quoted"', ""])
    vocabulary.save(tmp_path / "answers.json")
    loaded = AnswerVocabulary.load(tmp_path / "answers.json")
    assert loaded.answers == vocabulary.answers
    assert loaded.targets(["grün"]) == {1: 1.0}


@pytest.mark.parametrize("content", ["", "{", '{"a": 1}', "[1, 2]", '["a", null]', '"abc"'])
def test_a_bad_file_is_refused_by_name(tmp_path: Path, content: str):
    path = tmp_path / "answers.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"answers\.json"):
        AnswerVocabulary.load(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path):
    with pytest.raises(UserError, match=r"no answer vocabulary at .*answers\.json"):
        AnswerVocabulary.load(tmp_path / "answers.json")
