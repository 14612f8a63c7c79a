"""Gathering batches."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.batch import ON_HOST, Batch
from vqa_rnn.data.collate import make_batch
from vqa_rnn.data.columns import Ints
from vqa_rnn.data.encoding import choice_order, encode_questions
from vqa_rnn.data.sources import MemoryFeatures, Regions
from vqa_rnn.records import Question, Round
from vqa_rnn.text import WordTokenizer

ANSWERS = AnswerVocabulary(["red", "cat", "dog"])
ROUNDS = (Round("is it big ?", "no"), Round("is it old ?", "yes"))


def ask(question_id: str, text: str, image: str, **more: Any) -> Question:
    return Question(question_id=question_id, image_id=image, question=text, split="train", **more)


QUESTIONS = (
    ask("a1", "what colour is it ?", "A", human_answers=("red",)),
    ask("b1", "is it big ?", "B", dialog_id="d", caption="a cat", human_answers=("no",)),
    ask(
        "b2",
        "is it old ?",
        "B",
        dialog_id="d",
        caption="a cat",
        history=ROUNDS[:1],
        choices=("yes", "no"),
        correct_choice=0,
    ),
    ask("b3", "so what is it now ?", "B", dialog_id="d", caption="a cat", history=ROUNDS),
    ask("a2", "what is it ?", "A", choices=("cat", "dog", "no"), correct_choice=2),
    ask(
        "c1",
        "what ?",
        "C",
        human_answers=("cat",) * 3 + ("red",) + ("cow",) * 6,
        choices=("yes", "dog"),
        caption="a cat",
    ),
    ask("c2", "what is it ?", "C", choices=("no", "cat")),
)
TOKENIZER = WordTokenizer.build(
    [text for q in QUESTIONS for text in (q.question, *q.facts, *q.choices)], min_count=1, max_tokens=64
)
ENCODED = encode_questions(QUESTIONS, TOKENIZER, ANSWERS)
FEATURES = np.arange(3 * 2 * 5, dtype=np.float16).reshape(3, 2, 5)


class BoxedFeatures:
    """Images of 1, 2 and 2 regions with boxes."""

    def read(self, images: Ints) -> Regions:
        boxes = np.linspace(0, 1, 24, dtype=np.float32).reshape(3, 2, 4)
        return FEATURES[images], np.array([1, 2, 2], dtype=np.int32)[images], boxes[images]


def batch_of(*rows: int) -> Batch:
    return make_batch(ENCODED, np.array(rows, dtype=np.int64), MemoryFeatures(FEATURES))


def texts(tokens: Tensor, lengths: Tensor) -> list[tuple[int, ...]]:
    for row, length in zip(tokens, lengths, strict=True):
        assert (row[:length] > 0).all()
        assert (row[length:] == 0).all()
    return [tuple(row[:length].tolist()) for row, length in zip(tokens, lengths, strict=True)]


def encoded_text(text: str) -> tuple[int, ...]:
    return tuple(TOKENIZER.encode([text])[0])


def test_every_field_of_a_mixed_batch_has_its_shape_and_dtype():
    batch = batch_of(*range(7))
    expected = {
        "features": ((3, 2, 5), torch.float16),
        "region_mask": ((3, 2), torch.bool),
        "images": ((3,), torch.int64),
        "question_index": ((7,), torch.int64),
        "image_index": ((7,), torch.int64),
        "question_tokens": ((7, 5), torch.int64),
        "question_lengths": ((7,), torch.int64),
        "fact_tokens": ((3, 4), torch.int64),
        "fact_lengths": ((3,), torch.int64),
        "fact_questions": ((3,), torch.int64),
        "history_index": ((5, 3), torch.int64),
        "dialog_index": ((7,), torch.int64),
        "history_lengths": ((7,), torch.int64),
        "choice_tokens": ((4, 1), torch.int64),
        "choice_lengths": ((4,), torch.int64),
        "choice_texts": ((4,), torch.int64),
        "choice_index": ((7, 3), torch.int64),
        "choice_regions": ((7, 0), torch.int64),
        "choice_relevance": ((7, 0), torch.float32),
        "correct_choice": ((7,), torch.int64),
        "answer_tokens": ((7, 0), torch.int64),
        "answer_lengths": ((7,), torch.int64),
        "answer_ids": ((7, 2), torch.int64),
        "answer_scores": ((7, 2), torch.float32),
    }
    tensors = {name: getattr(batch, name) for name in Batch.__dataclass_fields__}
    assert tensors.pop("boxes") is tensors.pop("choice_vectors") is None
    assert {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()} == expected
    assert batch.num_questions == 7


def test_each_question_finds_its_image():
    batch = batch_of(5, 1, 0, 4)
    assert batch.features.shape[0] == 3
    images = [QUESTIONS[row].image_id for row in (5, 1, 0, 4)]
    for place, image in enumerate(images):
        expected = torch.from_numpy(FEATURES[ENCODED.image_ids.index(image)])
        assert torch.equal(batch.features[batch.image_index[place]], expected)
    assert batch.region_mask.all()


def test_each_question_finds_its_text():
    batch = batch_of(3, 0, 6)
    assert texts(batch.question_tokens, batch.question_lengths) == [encoded_text(QUESTIONS[i].question) for i in (3, 0, 6)]


@pytest.mark.parametrize("rows", [(0, 1, 2, 3, 4, 5, 6), (3, 1), (6, 5, 2), (2,)], ids=str)
def test_each_question_finds_the_history_before_it(rows: tuple[int, ...]):
    batch = batch_of(*rows)
    facts = texts(batch.fact_tokens, batch.fact_lengths)
    assert len(set(facts)) == len(facts)
    for place, row in enumerate(rows):
        history = batch.history_index[batch.dialog_index[place]][: batch.history_lengths[place]]
        assert [facts[fact] for fact in history] == [encoded_text(fact) for fact in QUESTIONS[row].facts]


@pytest.mark.parametrize("rows", [(0, 1, 2, 3, 4, 5, 6), (6, 5, 2), (4, 0)], ids=str)
def test_each_question_finds_its_choices_in_their_fixed_order(rows: tuple[int, ...]):
    batch = batch_of(*rows)
    choices = texts(batch.choice_tokens, batch.choice_lengths)
    assert len(set(choices)) == len(choices)
    for place, row in enumerate(rows):
        question = QUESTIONS[row]
        found = [choices[i] for i in batch.choice_index[place] if i >= 0]
        order = choice_order(question.question_id, len(question.choices))
        assert found == [encoded_text(question.choices[i]) for i in order]
        assert (batch.choice_index[place, len(order) :] == -1).all()
        numbers = batch.choice_texts[batch.choice_index[place, : len(order)]].numpy()
        assert [tuple(ids) for ids in (ENCODED.tokens.padded(numbers[i : i + 1], 0)[0] for i in range(len(order)))] == found
        if question.correct_choice is not None:
            assert found[batch.correct_choice[place]] == encoded_text(question.choices[question.correct_choice])
        else:
            assert batch.correct_choice[place] == -1


def test_targets_are_padded_with_nothing():
    batch = batch_of(0, 5, 3)
    assert batch.answer_ids.tolist() == [[0, 0], [1, 0], [0, 0]]
    assert batch.answer_scores.numpy() == pytest.approx(np.array([[1, 0], [0.9, 0.3], [0, 0]]))


def test_answers_are_texts_where_they_are_asked_for():
    encoded = encode_questions(QUESTIONS, TOKENIZER, ANSWERS, answers_as_text=True)
    batch = make_batch(encoded, np.array([4, 3, 0, 5, 2]), MemoryFeatures(FEATURES))
    # a2 the correct choice, b3 nothing, a1 the one answer, c1 several answers, b2 the correct choice
    assert batch.answer_lengths.tolist() == [1, 0, 1, 0, 1]
    expected = [encoded_text("no"), (), encoded_text("red"), (), encoded_text("yes")]
    assert texts(batch.answer_tokens, batch.answer_lengths) == expected
    none = make_batch(encoded, np.array([3]), MemoryFeatures(FEATURES))
    assert none.answer_tokens.shape == (1, 0)
    assert none.answer_lengths.tolist() == [0]


def test_relevance_follows_the_order_of_the_choices():
    choices = ("yes", "no", "cat", "dog")
    judged = ask("j", "what ?", "A", choices=choices, correct_choice=1, relevance=(0.0, 1.0, 0.25, 0.5))
    encoded = encode_questions([ask("n", "what ?", "A", choices=choices), judged], TOKENIZER, ANSWERS)
    batch = make_batch(encoded, np.array([1, 0]), MemoryFeatures(FEATURES))
    assert batch.choice_relevance.tolist() == [[judged.relevance[i] for i in choice_order("j", 4)], [0.0] * 4]
    assert batch.choice_relevance[0].argmax() == batch.correct_choice[0]
    assert make_batch(encoded, np.array([0]), MemoryFeatures(FEATURES)).choice_relevance.shape == (1, 0)


def test_choices_can_be_left_out():
    questions = [ask("j", "what ?", "A", choices=("yes", "no"), correct_choice=1, relevance=(0.0, 1.0))]
    encoded = encode_questions(questions, TOKENIZER, ANSWERS, answers_as_text=True).without_choices()
    batch = make_batch(encoded, np.array([0]), MemoryFeatures(FEATURES))
    assert batch.choice_tokens.shape == (0, 0)
    assert batch.choice_index.shape == batch.choice_relevance.shape == (1, 0)
    assert texts(batch.answer_tokens, batch.answer_lengths) == [encoded_text("no")]


def test_without_history_choices_and_targets_the_fields_are_empty():
    batch = make_batch(
        encode_questions([ask("x", "what ?", "A")], TOKENIZER, ANSWERS), np.array([0]), MemoryFeatures(FEATURES[:1])
    )
    assert batch.fact_tokens.shape == (0, 0)
    assert batch.fact_lengths.shape == (0,)
    assert batch.history_index.shape == (1, 0)
    assert batch.history_lengths.tolist() == [0]
    assert batch.choice_tokens.shape == (0, 0)
    assert batch.choice_index.shape == (1, 0)
    assert batch.answer_ids.shape == batch.answer_scores.shape == (1, 1)
    assert batch.answer_scores.tolist() == [[0.0]]
    assert batch.answer_ids.dtype == batch.choice_index.dtype == batch.fact_tokens.dtype == torch.int64


def test_regions_to_point_at():
    questions = [ask("p", "which ?", "A", choice_regions=(1, 0), correct_choice=0), ask("o", "what ?", "A")]
    encoded = encode_questions(questions, TOKENIZER, ANSWERS)
    batch = make_batch(encoded, np.array([1, 0]), MemoryFeatures(FEATURES[:1]))
    assert batch.choice_regions[0].tolist() == [-1, -1]
    assert sorted(batch.choice_regions[1].tolist()) == [0, 1]
    assert batch.choice_regions[1, batch.correct_choice[1]] == 1
    assert batch.choice_index.shape == (2, 0)


def test_missing_regions_are_masked_and_boxes_come_along():
    batch = make_batch(ENCODED, np.array([1, 0]), BoxedFeatures())
    masks = [batch.region_mask[row].tolist() for row in batch.image_index]
    assert masks == [[True, True], [True, False]]
    assert batch.boxes is not None
    assert batch.boxes.shape == (2, 2, 4)
    assert batch.boxes.dtype == torch.float32


def test_a_batch_moves_but_for_what_shapes_follow_from():
    batch = make_batch(ENCODED, np.array([0, 2]), BoxedFeatures()).to("meta")
    fields = set(Batch.__dataclass_fields__) - {"choice_vectors"}
    assert {name for name in fields if getattr(batch, name).device.type == "cpu"} == set(ON_HOST)
    assert {getattr(batch, name).device.type for name in fields - set(ON_HOST)} == {"meta"}
    assert batch_of(0).to("cpu").boxes is None
