"""Reading the user's own questions."""

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vqa_rnn.annotations.jsonl import read_jsonl
from vqa_rnn.annotations.jsonl_line import EXAMPLE
from vqa_rnn.answers import AnswerVocabulary, fold_own_answer, score_answer
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.config import JsonlDataset
from vqa_rnn.errors import UserError
from vqa_rnn.metrics.accuracy import question_scores
from vqa_rnn.metrics.floors import text_floors
from vqa_rnn.records import SPLITS, Prediction, Question, Round

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
        Question(
            question_id="a.png: what is it?", image_id="a.png", question="What is it?", split="train", human_answers=("cat",)
        ),
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
        "question_type": "animal",
        "answer_type": "Noun",
    }
    (question,) = read(tmp_path, line)
    assert question == Question(
        question_id="q7",
        image_id="deep/b.jpg",
        question="And now?",
        split="val",
        human_answers=("dog",),
        choices=("cat", "dog", "cow"),
        correct_choice=1,
        caption="A dog on a mat.",
        history=(Round("Is it big?", "no"), Round("Is it old?", "yes")),
        round_index=2,
        question_type="animal",
        answer_type="Noun",
    )
    assert question.facts == ("A dog on a mat.", "Is it big? no", "Is it old? yes")


def test_a_caption_or_a_history_makes_a_dialog(tmp_path: Path):
    asked = read(tmp_path, PLAIN, without(caption="A cat."), without(history=[{"question": "Is it big?", "answer": "no"}]))
    assert [question.round_index for question in asked] == [None, 0, 1]


def test_what_several_people_said(tmp_path: Path):
    (question,) = read(tmp_path, without("answer", answers=["Cat.", "a cat", "two dogs", "the", "CAFE\u0301"]))
    assert question.human_answers == ("cat", "cat", "2 dogs", "the", "café"), "in VQA's normal form, where it leaves anything"


def test_yes_and_no_may_be_true_and_false(tmp_path: Path):
    (choosing,) = read(tmp_path, without(answer=True, choices=[False, True]))
    assert (choosing.human_answers, choosing.choices, choosing.correct_choice) == (("yes",), ("no", "yes"), 1)
    (several,) = read(tmp_path, without("answer", answers=[True, "Yes.", False], history=[{**ROUND, "answer": False}]))
    assert (several.human_answers, several.history) == (("yes", "yes", "no"), (Round("Is it big?", "no"),))
    (word,) = read(tmp_path, without(answer="true"))
    assert word.human_answers == ("true",), "the word is a word"


def test_the_objects_of_vqa_are_what_people_said(tmp_path: Path):
    said = ["red", "red", "dark red"]
    objects = [{"answer": answer, "answer_confidence": "maybe", "answer_id": n} for n, answer in enumerate(said, start=1)]
    assert read(tmp_path, without("answer", answers=objects)) == read(tmp_path, without("answer", answers=said))
    assert read(tmp_path, without("answer", answers=[{"answer": True}, "no"]))[0].human_answers == ("yes", "no")


@pytest.mark.parametrize("name", ["val", "validation", "Valid", "dev", " VAL "])
def test_the_names_of_the_validation_split(tmp_path: Path, name: str):
    assert read(tmp_path, without(split=name))[0].split == "val"


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
    assert annotations.images == {"a.png": tmp_path / "deep" / "a.png", "../b.png": tmp_path / "deep" / "../b.png"}


def test_an_image_has_one_id_however_its_path_is_spelled(tmp_path: Path):
    images = tmp_path / "img"
    images.mkdir()
    (images / "x.jpg").touch()
    (tmp_path / "link.jpg").symlink_to("img/x.jpg")
    (tmp_path / "folder").symlink_to("img")
    spellings = ["img/x.jpg", "./img/x.jpg", "img//x.jpg", "img/../img/x.jpg", f"{images}/x.jpg", "link.jpg", "folder/x.jpg"]
    questions = read(tmp_path, *(without(image=spelling, question=f"What {n}?") for n, spelling in enumerate(spellings)))
    assert {question.image_id for question in questions} == {"img/x.jpg"}
    annotations = read_annotations(JsonlDataset(path=tmp_path / "q.jsonl"), ["train", "val"])
    assert list(annotations.images) == ["img/x.jpg"]
    assert {question.split for question in annotations.questions} == {"train"}, "one image is not cut into two splits"
    through_a_link = tmp_path / "project"
    through_a_link.symlink_to(tmp_path)
    moved = read_jsonl(JsonlDataset(path=through_a_link / "q.jsonl"), SPLITS)
    assert {question.image_id for question in moved.questions} == {"img/x.jpg"}


def test_ids_outlast_a_move_of_a_folder_whose_images_are_a_link(tmp_path: Path):
    store, project = tmp_path / "disk" / "pictures", tmp_path / "a" / "project"
    store.mkdir(parents=True)
    project.mkdir(parents=True)
    (store / "x.jpg").touch()
    (project / "images").symlink_to(store)
    lines = [without(image="images/x.jpg"), without(image=f"{store}/x.jpg", question="Again?"), without(image=f"{store}/y.jpg")]
    (project / "q.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    expected = ["images/x.jpg", "images/x.jpg", f"{store}/y.jpg"]
    for place in (project, tmp_path / "moved" / "deeper" / "project"):
        if place != project:
            place.parent.mkdir(parents=True)
            project.rename(place)
        questions = read_jsonl(JsonlDataset(path=place / "q.jsonl"), SPLITS).questions
        assert [question.image_id for question in questions] == expected


def test_two_files_whose_paths_look_alike_are_two_images(tmp_path: Path):
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "far" / "x.jpg").touch()
    (tmp_path / "x.jpg").touch()
    (tmp_path / "link").symlink_to("far/away")
    questions = read(tmp_path, without(image="x.jpg"), without(image="link/../x.jpg"))
    assert len({question.image_id for question in questions}) == 2


def test_ids_come_from_what_is_asked_and_not_from_the_order_of_lines(tmp_path: Path):
    again, other = without(answer="dog"), without(image="b.png", question="WHAT IS IT?")
    there = {q.human_answers: q.question_id for q in read(tmp_path, PLAIN, other, again) if q.image_id == "a.png"}
    assert sorted(there.values()) == ["a.png: what is it? #1", "a.png: what is it? #2"]
    assert [q.question_id for q in read(tmp_path, other)] == ["b.png: what is it?"]
    assert {q.human_answers: q.question_id for q in read(tmp_path, again, other, PLAIN) if q.image_id == "a.png"} == {
        ("cat",): "a.png: what is it? #1",
        ("dog",): "a.png: what is it? #2",
    }


def test_blank_lines_are_passed_over_but_counted(tmp_path: Path):
    line = json.dumps(PLAIN).encode()
    assert len(read_bytes(tmp_path, b"\n\n" + line + b"\n   \n" + line)) == 2
    with pytest.raises(UserError, match=r"q\.jsonl:5: "):
        read_bytes(tmp_path, b"\n\n" + line + b"\n   \n{}")


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path):
    line = json.dumps(PLAIN).encode()
    assert len(read_bytes(tmp_path, line + b"\r\n" + line + b"\r\n")) == 2
    assert len(read_bytes(tmp_path, b"\xef\xbb\xbf" + line + b"\r\n")) == 1


@pytest.mark.parametrize("ensure_ascii", [True, False])
@pytest.mark.parametrize("text", ["Où est le chat ?", "猫はどこ？", "🐈‍⬛?", "a\u2028b", "a\u0085b", "a\x1cb"], ids=ascii)
def test_any_language_and_any_character_is_kept(tmp_path: Path, text: str, ensure_ascii: bool):
    line = json.dumps({**PLAIN, "question": text}, ensure_ascii=ensure_ascii)
    (question,) = read(tmp_path, line)
    assert question.question == text


def test_numbers_are_read_as_text(tmp_path: Path):
    (question,) = read(tmp_path, {**PLAIN, "question_id": 17, "answer": 2, "choices": [1, 2, 3], "image": 5})
    assert (question.question_id, question.image_id, question.human_answers) == ("17", "5", ("2",))
    assert (question.choices, question.correct_choice) == (("1", "2", "3"), 1)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("-0.0", "0"),
        ("0.50", "0.5"),
        ("1e2", "100"),
        ("12345678901234567890", "12345678901234567890"),
    ],
)
def test_a_number_is_the_same_however_it_is_written(tmp_path: Path, number: str, text: str):
    (question,) = read(tmp_path, '{"image": "a.png", "question": "How many?", "answer": ' + number + "}")
    assert question.human_answers == (text,)


def test_white_space_around_texts_goes(tmp_path: Path):
    (question,) = read(tmp_path, {**PLAIN, "answer": " cat\n", "choices": ["dog ", " cat"]})
    assert (question.human_answers, question.choices, question.correct_choice) == (("cat",), ("dog", "cat"), 1)


@pytest.mark.parametrize(
    ("answer", "folded"),
    [
        ("Red.", "red"),
        ('"Red."', "red"),
        ("“Red”.", "red"),
        ("RED !", "red"),
        ("3.5", "3.5"),
        ("-1", "-1"),
        ("+1", "+1"),
        (".5", ".5"),
        ("It's", "it's"),
        ("T-shirt", "t-shirt"),
        ("Cafe\u0301", "café"),
        ("ＲＥＤ", "red"),
        ("?", "?"),
        ("a  bowl", "a bowl"),
    ],
)
def test_an_answer_is_folded(tmp_path: Path, answer: str, folded: str):
    (question,) = read(tmp_path, without(answer=answer))
    assert question.human_answers == (folded,)


def test_an_answer_is_found_among_choices_as_it_is_folded_and_said_as_the_choice_is_written(tmp_path: Path):
    (question,) = read(tmp_path, without(answer="red", choices=["Blue", "Red."]))
    assert (question.choices, question.correct_choice, question.human_answers) == (("Blue", "Red."), 1, ("Red.",))


def test_ten_people_who_agree_are_right_whatever_their_spelling(tmp_path: Path):
    one, other = read(
        tmp_path, without("answer", answers=["Red"] * 10), without("answer", image="b.png", answers=["red."] * 10)
    )
    assert one.human_answers == other.human_answers
    assert AnswerVocabulary.build([one.human_answers, other.human_answers]).answers == ("red",)
    assert score_answer("red", one.human_answers) == 1


ROUND = {"question": "Is it big?", "answer": "no"}
OVER_SEVERAL_LINES = (
    "a JSON object spans several lines: write each on one, as jq -c . FILE does, or all of them as one array, [{…}, {…}]"
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (without("image"), "image is missing"),
        (without("question"), "question is missing"),
        (without("answer"), "the answer is missing; it is optional only in the test split"),
        (without("answer", split="val"), "the answer is missing; it is optional only in the test split"),
        (without(answers=["cat"]), "give answer or answers, not both"),
        (without("answer", answers=[]), "answers is an empty list: give at least one text"),
        (without("answer", answers="cat"), "answers: a list is needed, not a text"),
        (without("answer", answers=["cat", ""]), "answers[1] is empty"),
        (
            without("answer", answers=["cat", {"answer": "cat", "anser_id": 1}]),
            "answers[1]: unknown key of an answer 'anser_id': did you mean 'answer_id'? "
            "(known: answer, answer_confidence, answer_id)",
        ),
        (
            without("answer", answers=[{"answer_id": 1}]),
            'answers[0]: the key "answer" is missing; an answer is a text, or {"answer": "red", "answer_confidence": "yes"}',
        ),
        (without("answer", answers=[{"answer": " "}]), "answers[0] is empty"),
        (without("answer", answers=[{"answer": ["cat"]}]), "answers[0]: a text is needed, not a list"),
        (
            without(choices=[{"answer": "cat"}, "dog"]),
            'choices[0]: give the texts alone, such as ["red", "blue"], and not objects',
        ),
        (without(image=""), "image is empty"),
        (without(question="  "), "question is empty"),
        (without(question="?"), "question is empty"),
        (without(answer=""), "answer is empty"),
        (without(answer=["cat"]), 'answer: a list of what several people said goes under "answers"'),
        (without(question=True), "question: a text is needed, not true"),
        (without(answer={"a": 1}), "answer: a text is needed, not an object"),
        (without(question={"a": 1}), "question: a text is needed, not an object"),
        (without(question=None), "question: a text is needed, not null"),
        (without(choices=["cat"]), "1 distinct choices; at least two are needed"),
        (without(choices=[]), "0 distinct choices; at least two are needed"),
        (without(choices=["cat", "CAT "]), "1 distinct choices; at least two are needed"),
        (without(choices=["cat", "dog", "Dog."]), "a choice comes twice"),
        (
            without(choices=["cat", "t-shirt", "t shirt"]),
            "the choices 't-shirt' and 't shirt' are the same words to a model: write them differently",
        ),
        (without(choices=["dog", "cow"]), "the answer 'cat' is not among the choices ['dog', 'cow']"),
        (without("answer", answers=["cat"], choices=["cat", "dog"]), 'use "answer", not "answers", together with "choices"'),
        (without(choices="cat"), "choices: a list is needed, not a text"),
        (without(question_id=""), "question_id is empty"),
        (without(question_id=False), "question_id: a text is needed, not false"),
        (without(caption=""), "caption is empty"),
        (without(split="tset"), "split: unknown split 'tset': did you mean 'test'? (known: test, train, val)"),
        (without(split="Training"), "split: unknown split 'Training': did you mean 'train'? (known: train, val, test)"),
        (without(split="eval"), "split: unknown split 'eval': did you mean 'val'? (known: test, train, val)"),
        (without(split=None), "split: a text is needed, not null"),
        (without(history={}), "history: a list is needed, not an object"),
        (
            without(history=["Is it big?"]),
            'history[0]: an object is needed, such as {"question": "Is it big?", "answer": "no"}, and not a text',
        ),
        (
            without(history=[["Is it big?", "no"]]),
            'history[0]: an object is needed, such as {"question": "Is it big?", "answer": "no"}, and not a list',
        ),
        (without(history=[ROUND, {"question": "Is it?"}]), "history[1].answer is missing"),
        (without(history=[{"question": "", "answer": "no"}]), "history[0].question is empty"),
        (
            without(history=[{**ROUND, "anser": "no"}]),
            "unknown key in history[0] 'anser': did you mean 'answer'? (known: answer, question)",
        ),
        (
            without(image="https://a.b/c.png"),
            "image: image URLs are not supported: download https://a.b/c.png and give the path of the file",
        ),
        (without(image="~/c.png"), "image: ~ is not expanded: give the full path instead of ~/c.png"),
        (without(image="img\\c.png"), "image: use / between folders: write img/c.png"),
        (without(image="a" * 300), "image: a file or folder name has 300 bytes; the limit is 255"),
        (without(image="abcd/" * 1000 + "c.png"), "image: the path has 5005 bytes; the limit is 4096"),
        (without(image="a\0.png"), "image: a control character (\\u0000): leave it out"),
        (without("answer", answers=["a", "\x1b[31mred"]), "answers[1]: a control character (\\u001b): leave it out"),
        (
            '{"image": "a.png", "question": "q", "answer": NaN}',
            "NaN is no JSON: write a number or a text, or leave the record out",
        ),
        (
            '{"image": "a.png", "question": "q", "answer": -Infinity}',
            "-Infinity is no JSON: write a number or a text, or leave the record out",
        ),
        ('{"image": "a.png", "question": "q", "answer": 1e999}', "answer: a number is too large"),
        ("{", OVER_SEVERAL_LINES),
        ('{"image": "a.png", "image": "b.png", "question": "q", "answer": "a"}', "the key 'image' comes twice"),
        ("not json", f"not a JSON object, such as {EXAMPLE}: Expecting value at column 1"),
        ("[1]", f"a JSON object is needed, such as {EXAMPLE}, and not a list"),
        ("null", f"a JSON object is needed, such as {EXAMPLE}, and not null"),
        ('"text"', f"a JSON object is needed, such as {EXAMPLE}, and not a text"),
        (
            '{"image": "\\ud800", "question": "a", "answer": "b"}',
            "image: half of a character (a lone surrogate, \\ud800): write the whole character",
        ),
    ],
    ids=lambda value: str(value)[:60] if not isinstance(value, list) else "",
)
def test_a_wrong_line_is_named_with_its_key_and_what_would_be_right(tmp_path: Path, line: Any, expected: str):
    assert error_of(tmp_path, PLAIN, line) == f"{tmp_path / 'q.jsonl'}:2: {expected}"


@pytest.mark.parametrize("line", ["[" * 100_000, '{"image": ' + "1" * 5000 + "}"], ids=["nested", "long number"])
def test_json_that_cannot_be_read_is_refused(tmp_path: Path, line: str):
    assert error_of(tmp_path, PLAIN, line).startswith(f"{tmp_path / 'q.jsonl'}:2: not a JSON object")


def test_an_unknown_key_is_named_with_the_nearest(tmp_path: Path):
    message = error_of(tmp_path, PLAIN, without(imag="b.png"))
    assert message.startswith(
        f"{tmp_path / 'q.jsonl'}:2: unknown key 'imag': did you mean 'image'? (known: answer, answer_type, "
    )


def test_an_unknown_key_of_a_round_is_compared_with_the_keys_of_a_round(tmp_path: Path):
    message = error_of(tmp_path, without(history=[{**ROUND, "image": "b.png"}]))
    assert "did you mean 'image'" not in message
    assert "question_id" not in message


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"no file of questions at .*none\.jsonl: set dataset\.path"):
        read_jsonl(JsonlDataset(path=tmp_path / "none.jsonl"), SPLITS)
    with pytest.raises(UserError, match="is a folder"):
        read_jsonl(JsonlDataset(path=tmp_path), SPLITS)


def test_only_the_splits_asked_for_come_but_every_line_is_checked(tmp_path: Path):
    lines = [without(split=split, image=f"{split}.png") for split in SPLITS]
    read(tmp_path, *lines)
    dataset = JsonlDataset(path=tmp_path / "q.jsonl")
    annotations = read_annotations(dataset, ["train", "val"])
    assert [question.split for question in annotations.questions] == ["train", "val"]
    assert set(annotations.images) == {"train.png", "val.png"}
    assert [question.split for question in read_annotations(dataset, ["test"]).questions] == ["test"]
    with pytest.raises(UserError, match=r"q\.jsonl:4: "):
        read(tmp_path, *lines, without("question", split="test"))


def test_an_id_that_comes_twice_is_refused(tmp_path: Path):
    text = error_of(tmp_path, without(question_id="x"), without(question_id="x", image="b.png"))
    assert text.endswith(f"q.jsonl:2: the question id 'x' comes twice, first at {tmp_path}/q.jsonl:1")


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
        assert "q.jsonl" in found
        assert "\n" not in found
        return
    assert len(found) == len(lines)
    for question in found:
        assert question.question
        assert question.human_answers or question.split == "test"


WORDS = st.sampled_from(["red", "Blue", "café", "Ñandú", "a bowl", "3.5", "-1", "übermäßig groß", "it's", "big one", "?!"])
ASKED = st.sampled_from(["What colour is it?", "Où est le café ?", "what colour is IT?", "How many?"])
LINES = st.lists(
    st.fixed_dictionaries(
        {
            "image": st.sampled_from(["img/a.png", "img/b.png", "c.png"]),
            "question": ASKED,
            "split": st.sampled_from(["train", "val"]),
        }
    ).flatmap(
        lambda line: st.one_of(
            WORDS.map(lambda answer: {**line, "answer": answer}),
            st.lists(WORDS, min_size=2, max_size=10).map(lambda answers: {**line, "answers": answers}),
            st.lists(WORDS, min_size=2, max_size=4, unique_by=fold_own_answer).map(
                lambda choices: {**line, "choices": choices, "answer": choices[0]}
            ),
        )
    ),
    min_size=2,
    max_size=8,
)
SPELLINGS = (lambda path: path, lambda path: f"./{path}", lambda path: f"img/../{path}", lambda path: path.replace("/", "//"))
FORMS = (
    str,
    lambda text: text.upper() if text.upper().lower() == text.lower() else text,
    str.lower,
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: f" {text} ",
)


def scores_of(folder: Path, lines: Sequence[Any]) -> dict[str, float]:
    """What the floors score, and what an answer does that is always the same."""
    (folder / "img").mkdir(exist_ok=True)
    questions = read(folder, *lines)
    train, val = ([q for q in questions if q.split == split] for split in ("train", "val"))
    if not val:
        return {}
    answers = text_floors(train, val, prefix_words=3)
    answers["red"] = {
        q.question_id: Prediction(question_id=q.question_id, answer="red", probability=1) for q in val if not q.choices
    }
    rows = {name: [q for q in val if q.question_id in found] for name, found in answers.items()}
    return {name: float(question_scores(rows[name], found).sum()) for name, found in answers.items()}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(LINES, st.randoms(use_true_random=False))
def test_neither_spelling_nor_order_nor_case_nor_the_form_of_unicode_changes_a_score(
    tmp_path: Path, lines: list[dict[str, Any]], random: Random
):
    def other(line: dict[str, Any]) -> dict[str, Any]:
        def respell(value: Any) -> Any:
            return [respell(each) for each in value] if isinstance(value, list) else random.choice(FORMS)(value)

        kept = {"split": line["split"], "image": random.choice(SPELLINGS)(line["image"])}
        return {key: kept.get(key) or respell(value) for key, value in line.items()}

    expected = scores_of(tmp_path, lines)
    changed = [other(line) for line in lines]
    random.shuffle(changed)
    assert scores_of(tmp_path, changed) == pytest.approx(expected)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=60))
def test_random_bytes_give_nothing_but_one_error(tmp_path: Path, content: bytes):
    found = outcome(tmp_path, content)
    assert "q.jsonl" in found
