"""Reading the user's own questions."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vqa_rnn.annotations import load_annotations
from vqa_rnn.annotations.jsonl import read_jsonl
from vqa_rnn.config import JsonlDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import SPLITS, Question, Round

PLAIN = {"image": "a.png", "question": "What is it?", "answer": "cat"}


def read_bytes(folder: Path, content: bytes) -> tuple[Question, ...]:
    path = folder / "q.jsonl"
    path.write_bytes(content)
    return read_jsonl(JsonlDataset(path=path), SPLITS).questions


def read(folder: Path, *lines: Any) -> tuple[Question, ...]:
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    return read_bytes(folder, "".join(text + "\n" for text in texts).encode())


def without(*keys: str, **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**PLAIN, **changes}.items() if key not in keys}


def error_of(folder: Path, *lines: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(folder, *lines)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_least_a_line_says(tmp_path: Path):
    assert read(tmp_path, PLAIN) == (
        Question(question_id="1", image_id="a.png", question="What is it?", split="train", human_answers=("cat",)),
    )


def test_every_field(tmp_path: Path):
    line = {
        "image": "deep/b.jpg",
        "question": "And now?",
        "answer": "Dog",
        "choices": ["cat", "dog", "cow"],
        "question_id": "q7",
        "caption": "A dog on a mat.",
        "history": [{"question": "Is it big?", "answer": "no"}, {"question": "Is it old?", "answer": "yes"}],
        "split": "val",
    }
    (question,) = read(tmp_path, line)
    assert question == Question(
        question_id="q7",
        image_id="deep/b.jpg",
        question="And now?",
        split="val",
        human_answers=("Dog",),
        choices=("cat", "dog", "cow"),
        correct_choice=1,
        caption="A dog on a mat.",
        history=(Round("Is it big?", "no"), Round("Is it old?", "yes")),
        round_index=2,
    )
    assert question.facts == ("A dog on a mat.", "Is it big? no", "Is it old? yes")


def test_a_caption_or_a_history_makes_a_dialog(tmp_path: Path):
    asked = read(tmp_path, PLAIN, without(caption="A cat."), without(history=[{"question": "Is it big?", "answer": "no"}]))
    assert [question.round_index for question in asked] == [None, 0, 1]


def test_what_several_people_said(tmp_path: Path):
    (question,) = read(tmp_path, without("answer", answers=["cat", "a cat", "dog"]))
    assert question.human_answers == ("cat", "a cat", "dog")


def test_a_test_question_may_withhold_its_answer(tmp_path: Path):
    open_ended, choosing = read(tmp_path, without("answer", split="test"), without("answer", split="test", choices=["a", "b"]))
    assert open_ended.human_answers == choosing.human_answers == ()
    assert choosing.choices == ("a", "b")
    assert choosing.correct_choice is None


def test_images_lie_beside_the_file(tmp_path: Path):
    path = tmp_path / "deep" / "q.jsonl"
    path.parent.mkdir()
    path.write_text(json.dumps(PLAIN) + "\n" + json.dumps({**PLAIN, "image": "../b.png"}) + "\n", encoding="utf-8")
    annotations = read_jsonl(JsonlDataset(path=path), SPLITS)
    assert annotations.benchmark == "jsonl"
    assert annotations.images == {"a.png": tmp_path / "deep" / "a.png", "../b.png": tmp_path / "deep" / "../b.png"}


def test_blank_lines_are_passed_over_but_counted(tmp_path: Path):
    questions = read_bytes(tmp_path, b"\n\n" + json.dumps(PLAIN).encode() + b"\n   \n" + json.dumps(PLAIN).encode())
    assert [question.question_id for question in questions] == ["3", "5"]


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path):
    line = json.dumps(PLAIN).encode()
    assert [q.question_id for q in read_bytes(tmp_path, line + b"\r\n" + line + b"\r\n")] == ["1", "2"]
    assert [q.question_id for q in read_bytes(tmp_path, b"\xef\xbb\xbf" + line + b"\r\n")] == ["1"]


@pytest.mark.parametrize("ensure_ascii", [True, False])
@pytest.mark.parametrize("text", ["Où est le chat ?", "猫はどこ？", "🐈‍⬛?", "a\u2028b", "a\u0085b", "a\x1cb"], ids=ascii)
def test_any_language_and_any_character_is_kept(tmp_path: Path, text: str, ensure_ascii: bool):
    line = json.dumps({**PLAIN, "question": text, "answer": text}, ensure_ascii=ensure_ascii)
    (question,) = read(tmp_path, line)
    assert question.question == text
    assert question.human_answers == (text,)


def test_numbers_are_read_as_text(tmp_path: Path):
    (question,) = read(tmp_path, {**PLAIN, "question_id": 17, "answer": 2, "choices": [1, 2, 3], "image": 5})
    assert (question.question_id, question.image_id, question.human_answers) == ("17", "5", ("2",))
    assert (question.choices, question.correct_choice) == (("1", "2", "3"), 1)


def test_white_space_around_texts_goes(tmp_path: Path):
    (question,) = read(tmp_path, {**PLAIN, "answer": " cat\n", "choices": ["dog ", " cat"]})
    assert (question.human_answers, question.choices, question.correct_choice) == (("cat",), ("dog", "cat"), 1)


ROUND = {"question": "Is it big?", "answer": "no"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (without("image"), ["image", "required"]),
        (without("question"), ["question", "required"]),
        (without("answer"), ["an answer is needed", "test split"]),
        (without("answer", split="val"), ["an answer is needed"]),
        (without(answers=["cat"]), ["answer or answers"]),
        (without("answer", answers=[]), ["answers", "at least 1"]),
        (without("answer", answers="cat"), ["answers", "list"]),
        (without("answer", answers=["cat", ""]), ["answers.1", "empty"]),
        (without(image=""), ["image", "empty"]),
        (without(question="  "), ["question", "empty"]),
        (without(question="?"), ["question", "empty"]),
        (without(answer=""), ["answer", "empty"]),
        (without(answer=["cat"]), ["answer", "string"]),
        (without(question={"a": 1}), ["question", "string"]),
        (without(choices=["cat"]), ["1 distinct choice", "two"]),
        (without(choices=[]), ["choices", "two"]),
        (without(choices=["cat", "CAT "]), ["1 distinct choice"]),
        (without(choices=["cat", "dog", "Dog"]), ["a choice comes twice"]),
        (without(choices=["dog", "cow"]), ["'cat'", "not among the choices", "'dog'", "'cow'"]),
        (without("answer", answers=["cat"], choices=["cat", "dog"]), ["choices go with one answer"]),
        (without(choices="cat"), ["choices", "list"]),
        (without(question_id=""), ["question_id", "empty"]),
        (without(question_id=True), ["question_id", "string"]),
        (without(caption=""), ["caption", "empty"]),
        (without(split="tset"), ["split", "tset", "'test'"]),
        (without(split=None), ["split"]),
        (without(imag="b.png"), ["unknown key 'imag'", "did you mean 'image'"]),
        (without(history={}), ["history", "list"]),
        (without(history=["Is it big?"]), ["history.0"]),
        (without(history=[ROUND, {"question": "Is it?"}]), ["history.1.answer", "required"]),
        (without(history=[{"question": "", "answer": "no"}]), ["history.0.question", "empty"]),
        (without(history=[{**ROUND, "anser": "no"}]), ["history.0", "'anser'", "did you mean 'answer'?"]),
        ("{", ["JSON"]),
        ("not json", ["JSON"]),
        ("[1]", ["a JSON object is needed", "list"]),
        ("null", ["a JSON object is needed"]),
        ('"text"', ["a JSON object is needed"]),
        ('{"image": "\\ud800", "question": "a", "answer": "b"}', ["image"]),
        ("[" * 100_000, ["JSON"]),
        ('{"image": ' + "1" * 5000 + "}", ["JSON"]),
    ],
    ids=lambda value: str(value)[:60] if not isinstance(value, list) else "",
)
def test_a_wrong_line_is_named_with_its_key(tmp_path: Path, line: Any, words: list[str]):
    message = error_of(tmp_path, PLAIN, line)
    assert message.startswith(f"{tmp_path / 'q.jsonl'}:2: ")
    assert [word for word in words if word not in message] == []


def test_an_unknown_key_of_a_round_is_compared_with_the_keys_of_a_round(tmp_path: Path):
    message = error_of(tmp_path, without(history=[{**ROUND, "image": "b.png"}]))
    assert "did you mean 'image'" not in message
    assert "question_id" not in message


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"no question file at .*none\.jsonl: set dataset\.path"):
        read_jsonl(JsonlDataset(path=tmp_path / "none.jsonl"), SPLITS)
    with pytest.raises(UserError, match="is a folder"):
        read_jsonl(JsonlDataset(path=tmp_path), SPLITS)


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"q\.jsonl as UTF-8"):
        read_bytes(tmp_path, json.dumps(PLAIN).encode() + b"\n\xff\n")


def test_only_the_splits_asked_for_come_but_every_line_is_checked(tmp_path: Path):
    lines = [without(split=split, image=f"{split}.png") for split in SPLITS]
    read(tmp_path, *lines)
    dataset = JsonlDataset(path=tmp_path / "q.jsonl")
    annotations = load_annotations(dataset, ["train", "val"])
    assert [question.split for question in annotations.questions] == ["train", "val"]
    assert set(annotations.images) == {"train.png", "val.png"}
    assert [question.split for question in load_annotations(dataset, ["test"]).questions] == ["test"]
    with pytest.raises(UserError, match=r"q\.jsonl:4: "):
        read(tmp_path, *lines, without("question", split="test"))


def test_an_id_that_comes_twice_is_refused(tmp_path: Path):
    text = error_of(tmp_path, without(question_id="x"), without(question_id="x", image="b.png"))
    assert "q.jsonl:2: the question id 'x' comes twice (first on line 1)" in text


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
LINE = st.dictionaries(
    st.sampled_from(
        ["image", "question", "answer", "answers", "choices", "question_id", "caption", "history", "split", "other"]
    ),
    ANY_JSON | st.sampled_from(["cat", "train", "test", ["cat", "dog"], [{"question": "a", "answer": "b"}]]),
    max_size=8,
)


def outcome(folder: Path, content: bytes) -> tuple[Question, ...] | str:
    try:
        return read_bytes(folder, content)
    except UserError as error:
        return str(error)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(LINE | LINE.map(lambda line: {**PLAIN, **line}) | ANY_JSON, max_size=3))
def test_random_json_gives_questions_or_one_error(tmp_path: Path, lines: list[Any]):
    found = outcome(tmp_path, "\n".join(json.dumps(line) for line in lines).encode())
    if isinstance(found, str):
        assert "q.jsonl:" in found or (not lines and "is empty" in found)
        return
    assert len(found) == len(lines)
    for question in found:
        assert question.question
        assert question.human_answers or question.split == "test"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=60))
def test_random_bytes_give_nothing_but_one_error(tmp_path: Path, content: bytes):
    found = outcome(tmp_path, content)
    assert "q.jsonl" in found
