"""Columns in memory and in a file."""

import pickle
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.data.columns import EncodedQuestions, Ragged, Texts
from vqa_rnn.data.encoding import encode_questions
from vqa_rnn.data.question_file import open_questions, save_questions
from vqa_rnn.errors import UserError
from vqa_rnn.records import Question
from vqa_rnn.text import WordTokenizer


def encode(image_ids: list[str]) -> EncodedQuestions:
    """A question about each image."""
    questions = [
        Question(question_id=str(i), image_id=image_id, question="what ?", split="train", human_answers=("yes",))
        for i, image_id in enumerate(image_ids)
    ]
    tokenizer = WordTokenizer.build(["what ?"], min_count=1, max_tokens=9)
    return encode_questions(questions, tokenizer, AnswerVocabulary(["no", "yes"]))


@pytest.fixture
def encoded() -> EncodedQuestions:
    questions = [
        Question(question_id="é/1", image_id="a", question="is it red ?", split="train", human_answers=("yes", "no")),
        Question(
            question_id="2",
            image_id="b",
            question="what ?",
            split="train",
            choices=("red", "blue", "a red one"),
            correct_choice=2,
            caption="a thing",
        ),
    ]
    tokenizer = WordTokenizer.build(["is it red ?", "what a thing"], min_count=1, max_tokens=9)
    return encode_questions(questions, tokenizer, AnswerVocabulary(["no", "yes"]))


def columns(encoded: EncodedQuestions) -> dict[str, list[np.ndarray]]:
    found = {}
    for field in fields(EncodedQuestions):
        value = getattr(encoded, field.name)
        value = value.content if isinstance(value, Texts) else value
        found[field.name] = [value.values, value.offsets] if isinstance(value, Ragged) else [np.asarray(value)]
    return found


def same(one: EncodedQuestions, other: EncodedQuestions) -> bool:
    pairs = zip(columns(one).values(), columns(other).values(), strict=True)
    return all(
        np.array_equal(a, b) and a.dtype == b.dtype for before, after in pairs for a, b in zip(before, after, strict=True)
    )


def test_a_file_holds_the_same_columns(encoded: EncodedQuestions, tmp_path: Path):
    save_questions(encoded, tmp_path / "folder" / "train.h5")
    opened = open_questions(tmp_path / "folder" / "train.h5")
    assert same(encoded, opened)
    assert list(opened.question_ids) == ["é/1", "2"]
    assert opened.image_ids == ["a", "b"]
    assert len(opened) == 2


def test_columns_of_a_file_are_mapped_and_travel_as_its_path(encoded: EncodedQuestions, tmp_path: Path):
    save_questions(encoded, tmp_path / "train.h5")
    opened = open_questions(tmp_path / "train.h5")
    assert not opened.image.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        opened.image[0] = 3
    assert len(pickle.dumps(opened)) < 300
    assert same(pickle.loads(pickle.dumps(opened)), encoded)
    assert same(pickle.loads(pickle.dumps(encoded)), encoded)


def test_no_questions_at_all(tmp_path: Path):
    tokenizer = WordTokenizer.build(["a"], min_count=1, max_tokens=9)
    none = encode_questions([], tokenizer, AnswerVocabulary([]))
    save_questions(none, tmp_path / "none.h5")
    assert len(open_questions(tmp_path / "none.h5")) == 0


def test_a_file_of_something_else_is_refused(tmp_path: Path):
    for content in (b"", b"no HDF5 at all"):
        (tmp_path / "x.h5").write_bytes(content)
        with pytest.raises(UserError, match=r"x\.h5 does not hold encoded questions"):
            open_questions(tmp_path / "x.h5")
    with pytest.raises(UserError, match="does not hold encoded questions"):
        open_questions(tmp_path / "none.h5")


def test_ragged_rows_are_joined():
    parts = [Ragged.of([[1, 2], []], "int32"), Ragged.of([], "int32"), Ragged.of([(3,)], "int32")]
    joined = Ragged.join(parts, "int32")
    assert joined.values.tolist() == [1, 2, 3]
    assert joined.offsets.tolist() == [0, 2, 2, 3]
    assert joined.values.dtype == np.int32
    none = Ragged.join([], "int32")
    assert (none.values.tolist(), none.offsets.tolist(), none.values.dtype) == ([], [0], np.int32)


def test_ragged_rows_are_cut_from_what_lies_end_to_end():
    values = np.arange(5, dtype=np.int32)
    ragged = Ragged.from_lengths(values, np.array([2, 0, 3]))
    assert ragged.padded(np.array([2, 1, 0]), -1).tolist() == [[2, 3, 4], [-1, -1, -1], [0, 1, -1]]
    assert ragged.values is values


def test_rows_may_come_from_any_iterable_of_collections():
    ragged = Ragged.of((row for row in ({7: 0.5, 8: 1.0}, (), (9,))), "int32")
    assert (ragged.values.tolist(), ragged.offsets.tolist()) == ([7, 8, 9], [0, 2, 2, 3])
    assert list(Texts.of([])) == []


def test_texts_are_a_sequence_of_strings():
    texts = Texts.of(["one", "", "zwölf"])
    assert list(texts) == ["one", "", "zwölf"]
    assert texts[2] == "zwölf"
    assert texts[1:] == ["", "zwölf"]
    assert texts == ("one", "", "zwölf")
    assert texts != ["one"]
    with pytest.raises(IndexError):
        texts[3]
