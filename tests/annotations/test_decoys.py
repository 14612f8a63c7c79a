from collections import Counter

import numpy as np
import pytest

from vqa_rnn.annotations.decoys import draw_choices
from vqa_rnn.errors import UserError
from vqa_rnn.records import Question


def question(number: int, text: str, answer: str, image: int, kind: str) -> Question:
    return Question(
        question_id=str(number),
        image_id=f"image{image}",
        question=text,
        split="train",
        human_answers=(answer,),
        question_type=kind,
    )


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    """Two kinds of question with their own answers, one of the answers three times as frequent as the others."""
    generator = np.random.default_rng(0)
    things, numbers = ["bed", "lamp", "sofa", "table", "door", "bin"], ["1", "2", "3", "4", "5", "6"]
    p = np.array([3, 1, 1, 1, 1, 1]) / 8
    made = []
    for i in range(600):
        made.append(question(2 * i, "what is left of the chair ?", generator.choice(things, p=p), i, "other"))
        made.append(question(2 * i + 1, "how many chairs are there ?", generator.choice(numbers, p=p), i, "how many"))
    return made


def test_four_distinct_choices_with_the_truth(questions: list[Question]) -> None:
    for q in draw_choices(questions):
        assert len(set(q.choices)) == 4
        assert q.correct_choice == 0
        assert q.choices[0] == q.human_answers[0]


def test_decoys_sound_like_answers_to_the_question(questions: list[Question]) -> None:
    drawn = [q for q in draw_choices(questions) if q.question_type == "how many"]
    decoys = [choice for q in drawn for choice in q.choices[1:]]
    assert sum(decoy.isdigit() for decoy in decoys) > 0.97 * len(decoys)


def test_no_decoy_is_an_answer_about_the_same_image() -> None:
    answers = ["bed", "lamp", "sofa", "table", "door", "bin"]
    made = [question(10 * i + j, f"what is {j} ?", answers[(i + j) % 6], i, "other") for i in range(60) for j in range(3)]
    given = {(q.image_id, q.human_answers[0]) for q in made}
    for q in draw_choices(made):
        assert not any((q.image_id, decoy) in given for decoy in q.choices[1:])


def test_the_answer_is_no_decoy_even_if_few_answers_are_about_other_images() -> None:
    answers = ["blue", "pink", "black", "red", "green"]
    made = [question(i, "what colour ?", answer, i // 4, "other") for i, answer in enumerate(answers)]
    for q in draw_choices(made):
        assert len(set(q.choices)) == 4
        assert made[-1].question_id == q.question_id or "green" in q.choices  # the one answer about another image


def test_frequency_tells_little(questions: list[Question]) -> None:
    frequency = Counter(q.human_answers[0] for q in questions)
    drawn = draw_choices(questions)
    most = np.mean([max(q.choices, key=lambda c: frequency[c]) == q.choices[0] for q in drawn])
    assert 0.15 < most < 0.40  # one of four by chance; random decoys of the kind would give 0.5


def test_a_draw_depends_on_the_id_and_not_on_the_order(questions: list[Question]) -> None:
    drawn = {q.question_id: q.choices for q in draw_choices(questions)}
    assert {q.question_id: q.choices for q in draw_choices(questions[::-1])} == drawn


def test_too_few_answers() -> None:
    with pytest.raises(UserError, match="only 3 different answers"):
        draw_choices([question(i, "what ?", "abc"[i], i, "other") for i in range(3)])
