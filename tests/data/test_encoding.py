"""Questions as integer columns."""

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
import xxhash

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.data import encoding
from vqa_rnn.data.columns import EncodedQuestions, Ragged
from vqa_rnn.data.encoding import choice_order, choice_orders, encode_questions
from vqa_rnn.errors import UserError
from vqa_rnn.records import Question, Round
from vqa_rnn.text import WordTokenizer

ANSWERS = AnswerVocabulary(["red", "cat", "dog"])


def ask(question_id: str, text: str = "what is it ?", image: str = "A", **more: Any) -> Question:
    return Question(question_id=question_id, image_id=image, question=text, split="train", **more)


def encode(*questions: Question, answers: AnswerVocabulary = ANSWERS) -> EncodedQuestions:
    texts = [text for q in questions for text in (q.question, *q.facts, *q.choices)]
    return encode_questions(questions, WordTokenizer.build(texts, min_count=1, max_tokens=64), answers)


def row(ragged: Ragged, i: int) -> list[Any]:
    return ragged.values[ragged.offsets[i] : ragged.offsets[i + 1]].tolist()


def test_ragged_rows_are_padded_to_the_longest_of_those_asked_for():
    ragged = Ragged.of([[1, 2, 3], [], [4], [5, 6]], "int64")
    assert ragged.lengths(np.array([3, 1, 0])).tolist() == [2, 0, 3]
    assert ragged.padded(np.array([3, 1, 2]), -1).tolist() == [[5, 6], [-1, -1], [4, -1]]
    assert ragged.padded(np.array([0, 0]), 0).tolist() == [[1, 2, 3], [1, 2, 3]]


def test_ragged_rows_without_elements_have_no_columns():
    ragged = Ragged.of([[], []], "float32")
    padded = ragged.padded(np.array([0, 1, 0]), 0)
    assert padded.shape == (3, 0)
    assert padded.dtype == np.float32
    assert ragged.padded(np.array([], dtype=np.int64), 0).shape == (0, 0)


def test_a_long_fact_keeps_its_answer():
    question = ask("1", caption="a b c d e f", history=(Round("a b c d e f", "yes"), Round("a b", "no")))
    tokenizer = WordTokenizer.build(["a b c d e f yes no what is it"], min_count=1, max_tokens=4)
    encoded = encode_questions([question], tokenizer, ANSWERS)
    facts = [tokenizer.decode(row(encoded.tokens, fact)) for fact in row(encoded.dialog_facts, 0)]
    assert facts == ["a b c d", "a b c yes", "a b no"]


def test_every_distinct_text_is_tokenised_once():
    encoded = encode(
        ask("1", "is it a cat ?"),
        ask("2", "is it a cat ?", choices=("cat", "dog")),
        ask("3", "dog", choices=("dog", "cow", "cat"), caption="cat"),
    )
    texts = len(encoded.tokens.offsets) - 1
    assert texts == 4  # the question, cat, dog, cow
    assert encoded.question[0] == encoded.question[1]
    dog = encoded.question[2]
    assert dog in row(encoded.choices, 1)
    assert dog in row(encoded.choices, 2)
    assert row(encoded.dialog_facts, encoded.dialog[2])[0] in row(encoded.choices, 1)


def test_images_are_numbered_in_the_order_of_their_first_question():
    encoded = encode(ask("1", image="C"), ask("2", image="A"), ask("3", image="C"))
    assert encoded.image_ids == ("C", "A")
    assert encoded.image.tolist() == [0, 1, 0]
    assert encoded.question_ids == ("1", "2", "3")
    assert len(encoded) == 3


def test_rounds_of_a_dialog_share_its_longest_history():
    rounds = (Round("is it big ?", "no"), Round("is it old ?", "yes"))
    encoded = encode(
        ask("1", "how old ?", dialog_id="d", caption="a cat", history=rounds),
        ask("2", "is it big ?", dialog_id="d", caption="a cat"),
        ask("3", "is it old ?", dialog_id="d", caption="a cat", history=rounds[:1]),
        ask("4"),
        ask("5"),
    )
    assert encoded.dialog.tolist() == [0, 0, 0, 1, 2]
    assert encoded.history_length.tolist() == [3, 1, 2, 0, 0]
    assert [len(row(encoded.dialog_facts, i)) for i in range(3)] == [3, 0, 0]
    facts = row(encoded.dialog_facts, 0)
    assert len(set(facts)) == 3
    assert len(row(encoded.tokens, facts[0])) == 2
    assert len(row(encoded.tokens, facts[1])) == 4


def test_targets_are_the_classes_that_score():
    encoded = encode(
        ask("1", human_answers=("Dog",)),
        ask("2", human_answers=("cat",) * 3 + ("red",) + ("cow",) * 6),
        ask("3", human_answers=("zebra",)),
        ask("4"),
    )
    assert [row(encoded.answer_ids, i) for i in range(4)] == [[2], [1, 0], [], []]
    assert row(encoded.answer_scores, 1) == pytest.approx([0.9, 0.3])
    assert row(encoded.answer_scores, 0) == [1.0]


def test_no_answer_vocabulary_is_needed_for_choices():
    encoded = encode(ask("1", human_answers=("dog",), choices=("cat", "dog"), correct_choice=1), answers=AnswerVocabulary([]))
    assert row(encoded.answer_ids, 0) == []
    assert encoded.correct_choice[0] >= 0


@pytest.mark.parametrize("num_choices", [0, 2, 4, 100])
def test_the_order_of_choices_is_a_permutation_fixed_by_the_id(num_choices: int):
    order = choice_order("train/7", num_choices)
    assert sorted(order) == list(range(num_choices))
    assert order == choice_order("train/7", num_choices)
    if num_choices == 100:
        assert order != choice_order("train/8", num_choices)


def plain_order(question_id: str, num_choices: int) -> list[int]:
    """As splitmix64 is written, one place after the other."""
    drawn = []
    for place in range(1, num_choices + 1):
        z = (xxhash.xxh64_intdigest(question_id.encode()) + place * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        drawn.append(z ^ z >> 31)
    return sorted(range(num_choices), key=lambda i: drawn[i])


@pytest.mark.parametrize("num_choices", [0, 1, 2, 4, 100])
def test_orders_of_many_questions_are_those_of_each(num_choices: int):
    ids = ["train/7", "train/8", "97915-3", "é", ""]
    orders = choice_orders(ids, num_choices).tolist()
    assert orders == [choice_order(question_id, num_choices) for question_id in ids]
    assert orders == [plain_order(question_id, num_choices) for question_id in ids]


def test_the_order_of_choices_stays_what_it_was():
    assert choice_order("train/7", 4) == [0, 3, 1, 2]
    assert choice_order("97915-3", 10) == [9, 8, 0, 2, 7, 3, 6, 4, 1, 5]


def test_the_correct_choice_follows_the_order():
    choices = ("ant", "bee", "cow", "dog")
    tokenizer = WordTokenizer.build(choices, min_count=1, max_tokens=4)
    for number in range(40):
        correct = number % 4
        question = ask(f"q{number}", human_answers=(choices[correct],), choices=choices, correct_choice=correct)
        encoded = encode_questions([question], tokenizer, ANSWERS)
        texts = row(encoded.choices, 0)
        assert len(set(texts)) == 4
        chosen = row(encoded.tokens, texts[encoded.correct_choice[0]])
        assert chosen == tokenizer.encode([choices[correct]])[0]


def test_regions_to_point_at_are_put_in_the_same_order():
    encoded = encode(ask("q", choice_regions=(5, 6, 7), correct_choice=2))
    assert row(encoded.choice_regions, 0) == [5 + i for i in choice_order("q", 3)]
    assert row(encoded.choice_regions, 0)[encoded.correct_choice[0]] == 7
    assert row(encoded.choices, 0) == []


@pytest.mark.parametrize("num_choices", [2, 4])
def test_the_truth_stands_at_every_place_equally_often(num_choices: int):
    total = 6000
    places = Counter(choice_order(f"train/{i}", num_choices).index(0) for i in range(total))
    expected = total / num_choices
    chi_square = sum((places[place] - expected) ** 2 / expected for place in range(num_choices))
    assert chi_square < 16  # 99.9% of a uniform draw stays below it with 3 degrees of freedom


def test_questions_of_every_kind_side_by_side(monkeypatch: pytest.MonkeyPatch):
    kinds: list[dict[str, Any]] = [
        {"choices": ("ant", "bee", "cow"), "correct_choice": 2},
        {},
        {"choice_regions": (9, 8), "correct_choice": 1},
        {"choices": ("cow", "ant"), "correct_choice": 0},
        {"choices": ("bee", "bee", "ant")},
        {"choice_regions": (1, 2, 3), "correct_choice": 0},
    ]
    questions = [ask(str(i), f"is it {i} ?", **more) for i, more in enumerate(kinds * 3)]
    encoded = encode(*questions)
    words = {tuple(encoded.tokens.values[a:b]): i for i, (a, b) in enumerate(itertools.pairwise(encoded.tokens.offsets))}
    tokenizer = WordTokenizer.build([t for q in questions for t in (q.question, *q.choices)], min_count=1, max_tokens=64)
    number = {text: words[tuple(tokenizer.encode([text])[0])] for text in ("ant", "bee", "cow")}
    for i, q in enumerate(questions):
        order = choice_order(q.question_id, len(q.choices) or len(q.choice_regions))
        assert row(encoded.choices, i) == [number[q.choices[place]] for place in order if q.choices]
        assert row(encoded.choice_regions, i) == [q.choice_regions[place] for place in order if q.choice_regions]
        assert encoded.correct_choice[i] == (-1 if q.correct_choice is None else order.index(q.correct_choice))
    # how many are taken at once changes nothing
    monkeypatch.setattr(encoding, "QUESTIONS_AT_ONCE", 4)
    monkeypatch.setattr(encoding, "TEXTS_AT_ONCE", 3)
    again = encode(*questions)
    for name in ("choices", "choice_regions", "tokens"):
        before, after = getattr(encoded, name), getattr(again, name)
        assert before.values.tolist() == after.values.tolist()
        assert before.values.dtype == after.values.dtype == np.int32
        assert before.offsets.tolist() == after.offsets.tolist()
    assert again.correct_choice.tolist() == encoded.correct_choice.tolist()


def test_a_withheld_truth_is_minus_one():
    encoded = encode(ask("1", choices=("cat", "dog")), ask("2"))
    assert encoded.correct_choice.tolist() == [-1, -1]


@pytest.mark.parametrize("text", ["", "  ", "?", " ? ?"])
def test_an_empty_question_is_refused_by_id(text: str):
    with pytest.raises(UserError, match="question q9: the question is empty"):
        encode(ask("q1"), ask("q9", text))


@pytest.mark.parametrize("more", [{"choices": ("cat",)}, {"choice_regions": (3,)}])
def test_a_single_choice_is_refused_by_id(more: dict[str, Any]):
    with pytest.raises(UserError, match="question q9: one choice; at least two"):
        encode(ask("q9", **more))


def test_no_questions_give_empty_columns():
    encoded = encode()
    assert len(encoded) == 0
    assert encoded.image.shape == (0,)
