"""Reading DAQUAR's question files."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_rnn.annotations.daquar import read_daquar, strip_mentions
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.config import DaquarDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import Question
from vqa_rnn.text import split_words

OFFICIAL = Path(__file__).parents[2] / "../shared/data/daquar"


def folder(tmp_path: Path, train: str, test: str | None = None) -> DaquarDataset:
    (tmp_path / "images").mkdir(exist_ok=True)
    (tmp_path / "qa.894.raw.train.txt").write_text(train, encoding="utf-8")
    if test is not None:
        (tmp_path / "qa.894.raw.test.txt").write_text(test, encoding="utf-8")
    return DaquarDataset(root=tmp_path, single_word=False)


def error_of(dataset: DaquarDataset) -> str:
    with pytest.raises(UserError) as caught:
        read_daquar(dataset, ["train", "test"])
    return str(caught.value)


def one(tmp_path: Path, line: str, answer: str = "desk") -> Question:
    (question,) = read_daquar(folder(tmp_path, f"{line}\n{answer}\n"), ["train"]).questions
    return question


@pytest.mark.parametrize(
    ("line", "image", "text"),
    [
        ("what is on the desk in the image3 ?", "image3", "what is on the desk ?"),
        ("what is the colour of the image383 ?", "image383", "what is the colour ?"),
        ("what are the largest objects in this image3 ?", "image3", "what are the largest objects ?"),
        ("what is on the image888 ?", "image888", "what is ?"),
        ("what is on the table image108 ?", "image108", "what is on the table ?"),
        ("what is in the image3 on the table ?", "image3", "what is on the table ?"),
        ("what is in the image1 left of the desk in the image12 ?", "image12", "what is left of the desk ?"),
        ("in the image7 how many chairs are there ?", "image7", "how many chairs are there ?"),
        ("how many chairs are there in image 7 ?", "image7", "how many chairs are there ?"),
        ("how many chairs are there in the image7?", "image7", "how many chairs are there ?"),
        ("how many chairs are within that Image007 ?", "image7", "how many chairs are ?"),
        ("what is   behind\tthe bed in the image9 ?", "image9", "what is behind the bed ?"),
        ("what is under the imagery of image4 ?", "image4", "what is under the imagery ?"),
    ],
)
def test_the_last_image_is_asked_about_and_no_mention_stays(tmp_path: Path, line: str, image: str, text: str):
    question = one(tmp_path, line)
    assert question.image_id == image
    assert re.sub(r"\s*\?$", " ?", question.question) == text


def test_ids_answers_and_paths(tmp_path: Path):
    dataset = folder(
        tmp_path,
        "what is left in the image3 ?\ndesk\nhow many beds are in the image10 ?\n2\n",
        "what is right in the image3 ?\nbed\n",
    )
    (tmp_path / "images" / "image3.png").touch()
    (tmp_path / "images" / "image10.jpg").touch()
    annotations = read_daquar(dataset, ["train", "test"])
    assert [(q.question_id, q.image_id, q.split, q.human_answers) for q in annotations.questions] == [
        ("train/0", "image3", "train", ("desk",)),
        ("train/1", "image10", "train", ("2",)),
        ("test/0", "image3", "test", ("bed",)),
    ]
    assert annotations.images == {
        "image3": tmp_path / "images" / "image3.png",
        "image10": tmp_path / "images" / "image10.jpg",
    }


def test_png_comes_before_jpg(tmp_path: Path):
    dataset = folder(tmp_path, "what is in the image3 ?\ndesk\n")
    for suffix in ("png", "jpg"):
        (tmp_path / "images" / f"image3.{suffix}").touch()
    assert read_daquar(dataset, ["train"]).images["image3"].suffix == ".png"


def test_several_answers_stay_one_text_or_are_left_out(tmp_path: Path):
    dataset = folder(
        tmp_path, "what is on it in the image3 ?\nbook,  scissor ,paper,\nwhat is it in the image3 ?\ntape_dispenser\n"
    )
    several = read_daquar(dataset, ["train"]).questions
    assert [q.human_answers for q in several] == [("book, scissor, paper",), ("tape_dispenser",)]
    single = read_daquar(dataset.model_copy(update={"single_word": True}), ["train"]).questions
    assert [(q.question_id, q.human_answers) for q in single] == [("train/1", ("tape_dispenser",))]


def test_a_question_with_one_answer_has_the_same_choices_whether_those_with_several_are_there_or_not(tmp_path: Path):
    answers = ["red", "blue", "red, green", "black", "white", "blue, black", "pink", "brown"]
    lines = (f"what colour is it in the image{n} ?\n{answer}\n" for n, answer in enumerate(answers, start=1))
    dataset = folder(tmp_path, "".join(lines)).model_copy(update={"multiple_choice": True})
    every = read_daquar(dataset, ["train"]).questions
    alone = read_daquar(dataset.model_copy(update={"single_word": True}), ["train"]).questions
    assert [q.question_id for q in every] == [f"train/{n}" for n in range(8)]
    assert all(len(set(q.choices)) == 4 for q in every)
    assert [q for q in every if "," not in q.human_answers[0]] == list(alone)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("how many chairs are in the image3 ?", "how many"),
        ("what is the color of the bed in the image3 ?", "what colour"),
        ("what colour is the bed in the image3 ?", "what colour"),
        ("what is on the bed in the image3 ?", "other"),
        ("which chair has many colours in the image3 ?", "other"),
    ],
)
def test_question_types(tmp_path: Path, line: str, kind: str):
    assert one(tmp_path, line).question_type == kind


def test_blank_lines_at_the_end_do_not_count(tmp_path: Path):
    dataset = folder(tmp_path, "what is in the image3 ?\ndesk\n\n  \n")
    assert len(read_daquar(dataset, ["train"]).questions) == 1


def test_other_marks_than_line_ends_end_no_line(tmp_path: Path):
    answer = "a\x0ccup\u2028board"
    assert one(tmp_path, "what is on the table in the image3 ?", answer).human_answers == (answer,)


def test_windows_line_ends_are_read(tmp_path: Path):
    dataset = folder(tmp_path, "")
    (tmp_path / dataset.train_file).write_bytes(b"what is left in the image3 ?\r\ndesk\r\n")
    (question,) = read_daquar(dataset, ["train"]).questions
    assert (question.question, question.human_answers) == ("what is left ?", ("desk",))


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("what is in the image3 ?\ndesk\nwhat is in the image4 ?\n", None, "3 lines"),
        ("what is left of the desk ?\ndesk\n", 1, "names no image"),
        ("what is in the image3 ?\ndesk\nwhat is left ?\nbed\n", 3, "names no image"),
        ("what is in the image3 ?\n   \nwhat is in the image4 ?\nbed\n", 2, "the answer is empty"),
        ("what is in the image3 ?\n, ,\n", 2, "the answer is empty"),
        ("in the image3 ?\ndesk\n", 1, "the question is empty"),
        (f"what is in the image{'3' * 5000} ?\ndesk\n", 1, "names no image"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, content: str, line: int | None, words: str):
    dataset = folder(tmp_path, content)
    message = error_of(dataset)
    place = str(tmp_path / dataset.train_file) + (f":{line}" if line else "")
    assert message.startswith(f"{place}: ")
    assert words in message


def test_a_missing_folder_and_a_missing_file_are_named(tmp_path: Path):
    message = error_of(DaquarDataset(root=tmp_path / "nowhere"))
    assert str(tmp_path / "nowhere") in message
    assert "dataset.root" in message
    assert "qa.894.raw.train.txt" in error_of(DaquarDataset(root=tmp_path))


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path):
    dataset = folder(tmp_path, "")
    (tmp_path / dataset.train_file).write_bytes(b"what is \xff in the image3 ?\ndesk\n")
    assert dataset.train_file in error_of(dataset)


def test_a_missing_test_file_leaves_the_test_split_empty(tmp_path: Path):
    annotations = read_daquar(folder(tmp_path, "what is in the image3 ?\ndesk\n"), ["train", "test"])
    assert len(annotations.split("train")) == 1
    assert annotations.split("test") == ()


def test_training_never_opens_the_test_file(tmp_path: Path):
    lines = "".join(f"what is left in the image{i} ?\ndesk\n" for i in range(10))
    dataset = folder(tmp_path, lines)
    (tmp_path / dataset.test_file).write_bytes(b"\xff garbage")
    annotations = read_annotations(dataset, ["train", "val"])
    assert (len(annotations.split("train")), len(annotations.split("val"))) == (9, 1)
    with pytest.raises(UserError, match=dataset.test_file):
        read_annotations(dataset, ["test"])


WORDS = st.lists(st.sampled_from(["what", "is", "left", "of", "the", "bed", "on", "in", "table", "two"]), max_size=5)
MENTION = st.builds(
    lambda preposition, article, image, space, number: " ".join(
        part for part in (preposition, article, f"{image}{space}{number}") if part
    ),
    st.sampled_from(["", "in", "on", "of", "at", "from", "inside", "within", "IN"]),
    st.sampled_from(["", "the", "this", "that", "a", "an", "The"]),
    st.sampled_from(["image", "Image", "IMAGE"]),
    st.sampled_from(["", " ", "  "]),
    st.integers(0, 99999),
)


@given(st.lists(st.tuples(WORDS, MENTION), min_size=1, max_size=3), WORDS, st.sampled_from(["", "?", " ?", " .", ", ?"]))
def test_no_image_number_ever_becomes_a_word(pieces: list[tuple[list[str], str]], end: list[str], mark: str):
    line = " ".join([" ".join([*words, mention]) for words, mention in pieces] + end) + mark
    left = split_words(strip_mentions(line))
    assert [word for word in left if re.search(r"\d", word) or "image" in word] == []
    assert {word for words, _ in pieces for word in words} - set(left) <= {"in", "on", "of", "the"}
    assert [word for word in end if word not in left] == []


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official training file is not at hand")
def test_the_official_training_file():
    annotations = read_daquar(DaquarDataset(root=OFFICIAL, single_word=False), ["train"])
    assert len(annotations.questions) == 6795
    assert len({question.image_id for question in annotations.questions}) == 794  # of 795 images in the folder
    assert all(path.is_file() for path in annotations.images.values())
    tokens = {word for question in annotations.questions for word in split_words(question.question)}
    assert [word for word in tokens if "image" in word and re.search(r"\d", word)] == []
    numbers = {path.stem.removeprefix("image") for path in (OFFICIAL / "images").iterdir()}
    assert [word for word in tokens & numbers if int(word) > 99] == []
