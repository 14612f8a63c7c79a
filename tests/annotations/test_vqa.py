"""Reading VQA v1 and v2."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.annotations.mutations import mutations
from vqa_rnn.annotations.vqa import read_questions_and_answers, read_vqa
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.config import VqaDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import SPLITS, Annotations, Question, Split

SAID = ["net", "net", "net", "a net", "netting", "net", "mesh", "net", "Net", ""]
CHOICES = ["yes", "no", "1", "2", "net", "red", "pitcher", "mesh"]


def asked(question_id: int, image_id: int, question: str = "What is this?", **more: Any) -> dict[str, Any]:
    return {"image_id": image_id, "question": question, "question_id": question_id, **more}


def answered(question_id: int, image_id: int, answers: Sequence[str] = SAID) -> dict[str, Any]:
    records = [{"answer": a, "answer_confidence": "maybe", "answer_id": i} for i, a in enumerate(answers, start=1)]
    return {
        "question_type": "what is this",
        "multiple_choice_answer": "net",
        "answers": records,
        "image_id": image_id,
        "answer_type": "other",
        "question_id": question_id,
    }


def question_file(*questions: dict[str, Any], subtype: str = "val2014") -> dict[str, Any]:
    return {"info": {}, "task_type": "Open-Ended", "data_type": "mscoco", "data_subtype": subtype, "questions": [*questions]}


QUESTIONS = question_file(asked(458752000, 458752), asked(458752001, 458752, "Où est le chat ?"), asked(262148000, 262148))
ANNOTATIONS = {
    "info": {},
    "data_subtype": "val2014",
    "annotations": [answered(262148000, 262148), answered(458752000, 458752), answered(458752001, 458752, ["là", "là-bas"])],
}


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode())
    return path


def read_pair(folder: Path, questions: Any, annotations: Any) -> Any:
    return read_questions_and_answers(write(folder / "q.json", questions), write(folder / "a.json", annotations))


def error_of(folder: Path, questions: Any, annotations: Any) -> str:
    with pytest.raises(UserError) as caught:
        read_pair(folder, questions, annotations)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(folder), "HERE")


def changed(content: dict[str, Any], *place: Any, to: Any) -> dict[str, Any]:
    """A copy with one value changed; ``...`` takes the key out."""
    content = copy.deepcopy(content)
    holder: Any = content
    for key in place[:-1]:
        holder = holder[key]
    if to is ...:
        del holder[place[-1]]
    else:
        holder[place[-1]] = to
    return content


def v2(folder: Path, train: int = 1) -> VqaDataset:
    """A small VQA v2."""
    questions = question_file(*(asked(9000 + i, 9) for i in range(train)), subtype="train2014")
    annotations = {"annotations": [answered(9000 + i, 9) for i in range(train)]}
    write(folder / "v2_OpenEnded_mscoco_train2014_questions.json", questions)
    write(folder / "v2_mscoco_train2014_annotations.json", annotations)
    write(folder / "v2_OpenEnded_mscoco_val2014_questions.json", QUESTIONS)
    write(folder / "v2_mscoco_val2014_annotations.json", ANNOTATIONS)
    return VqaDataset(root=folder)


def test_the_answers_come_in_the_order_of_the_questions(tmp_path: Path):
    content, annotations = read_pair(tmp_path, QUESTIONS, ANNOTATIONS)
    assert content.data_subtype == "val2014"
    assert [question.question_id for question in content.questions] == [458752000, 458752001, 262148000]
    assert [annotation.question_id for annotation in annotations] == [458752000, 458752001, 262148000]
    assert [answer.answer for answer in annotations[1].answers] == ["là", "là-bas"]
    assert (annotations[0].answers[3].answer_id, annotations[0].answers[3].answer_confidence) == (4, "maybe")


def test_every_field_of_a_question(tmp_path: Path):
    annotations = read_vqa(v2(tmp_path), ["val"])
    assert annotations.questions[1] == Question(
        question_id="458752001",
        image_id="458752",
        question="Où est le chat ?",
        split="val",
        human_answers=("là", "là-bas"),
        question_type="what is this",
        answer_type="other",
    )
    assert annotations.questions[0].human_answers == tuple(SAID)
    assert annotations.images == {
        "458752": tmp_path / "val2014" / "COCO_val2014_000000458752.jpg",
        "262148": tmp_path / "val2014" / "COCO_val2014_000000262148.jpg",
    }


def test_the_splits_are_those_of_the_files(tmp_path: Path):
    dataset = v2(tmp_path, train=2)
    assert [(q.split, q.question_id) for q in read_vqa(dataset, SPLITS).questions] == [
        ("train", "9000"),
        ("train", "9001"),
        ("val", "458752000"),
        ("val", "458752001"),
        ("val", "262148000"),
    ]
    assert {q.split for q in read_annotations(dataset, ["train"]).questions} == {"train"}
    assert read_annotations(dataset, ["train"]).images == {"9": tmp_path / "train2014" / "COCO_train2014_000000000009.jpg"}


@pytest.mark.parametrize("test_split", ["test2015", "test-dev2015"])
def test_the_test_split_has_no_answers(tmp_path: Path, test_split: Any):
    questions = question_file(asked(1000, 1), subtype=test_split)
    write(tmp_path / f"v2_OpenEnded_mscoco_{test_split}_questions.json", questions)
    annotations = read_vqa(VqaDataset(root=tmp_path, test_split=test_split), ["test"])
    assert annotations.questions == (Question(question_id="1000", image_id="1", question="What is this?", split="test"),)
    assert annotations.images == {"1": tmp_path / "test2015" / "COCO_test2015_000000000001.jpg"}


def test_files_of_other_splits_are_not_opened(tmp_path: Path):
    dataset = v2(tmp_path)
    write(tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json", b"{")
    write(tmp_path / "v2_OpenEnded_mscoco_test2015_questions.json", b"{")
    assert len(read_vqa(dataset, ["train"]).questions) == 1


def test_without_a_subtype_the_split_says_where_images_lie(tmp_path: Path):
    dataset = v2(tmp_path)
    write(tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json", changed(QUESTIONS, "data_subtype", to=...))
    assert read_vqa(dataset, ["val"]).images["262148"] == tmp_path / "val2014" / "COCO_val2014_000000262148.jpg"


def v1(folder: Path, choices: Any = CHOICES) -> VqaDataset:
    """A question of VQA v1 with choices."""
    question = asked(90, 9) if choices is None else asked(90, 9, multiple_choices=choices)
    write(folder / "MultipleChoice_mscoco_train2014_questions.json", question_file(question, subtype="train2014"))
    write(folder / "OpenEnded_mscoco_train2014_questions.json", question_file(asked(90, 9), subtype="train2014"))
    write(folder / "mscoco_train2014_annotations.json", {"annotations": [answered(90, 9)]})
    return VqaDataset(root=folder, version="v1", task="multiple_choice")


def test_multiple_choice_keeps_the_order_of_the_choices_and_all_ten_answers(tmp_path: Path):
    (question,) = read_vqa(v1(tmp_path), ["train"]).questions
    assert question.choices == tuple(CHOICES)
    assert question.correct_choice == CHOICES.index("net") == 4
    assert question.human_answers == tuple(SAID)


def test_v1_open_ended_has_files_of_its_own(tmp_path: Path):
    v1(tmp_path)
    (question,) = read_vqa(VqaDataset(root=tmp_path, version="v1"), ["train"]).questions
    assert (question.choices, question.correct_choice) == ((), None)


def test_multiple_choice_test_questions_have_choices_without_a_truth(tmp_path: Path):
    content = question_file(asked(90, 9, multiple_choices=CHOICES), subtype="test2015")
    write(tmp_path / "MultipleChoice_mscoco_test2015_questions.json", content)
    (question,) = read_vqa(VqaDataset(root=tmp_path, version="v1", task="multiple_choice"), ["test"]).questions
    assert (question.choices, question.correct_choice, question.human_answers) == (tuple(CHOICES), None, ())


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        (["yes", "no", "Net"], "questions[0].multiple_choices: the answer 'net' of question 90 is not among the choices"),
        ([], "questions[0].multiple_choices: there are no choices"),
        (None, "questions[0].multiple_choices: there are no choices"),
        (["net", 2], "questions[0].multiple_choices[1]: expected `str`, got `int`"),
        ("net", "questions[0].multiple_choices: expected `array`, got `str`"),
    ],
)
def test_wrong_choices_are_refused(tmp_path: Path, choices: Any, words: str):
    with pytest.raises(UserError) as caught:
        read_vqa(v1(tmp_path, choices), ["train"])
    message = str(caught.value)
    assert "MultipleChoice_mscoco_train2014_questions.json: " in message
    assert words in message


def test_a_missing_folder_or_file_is_refused_with_where_to_get_it(tmp_path: Path):
    with pytest.raises(UserError, match=r"no data set folder at .*gone: put v2_OpenEnded_mscoco_train2014_questions\.json"):
        read_vqa(VqaDataset(root=tmp_path / "gone"), SPLITS)
    for name in ("v2_OpenEnded_mscoco_val2014_questions.json", "v2_mscoco_train2014_annotations.json"):
        dataset = v2(tmp_path / name)
        (tmp_path / name / name).unlink()
        with pytest.raises(UserError, match=rf"no VQA file at .*{name}: put it there \(vqa-rnn datasets download vqa2\)"):
            read_vqa(dataset, SPLITS)
    with pytest.raises(UserError, match=r"/OpenEnded_mscoco_train2014_questions\.json: .* datasets download vqa1\)"):
        read_vqa(VqaDataset(root=tmp_path, version="v1"), ["train"])


def test_an_unknown_subtype_and_an_image_of_two_splits_are_refused(tmp_path: Path):
    dataset = v2(tmp_path)
    path = tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json"
    write(path, changed(QUESTIONS, "data_subtype", to="val2041"))
    with pytest.raises(UserError, match=r"val2014_questions\.json: unknown data_subtype 'val2041': did you mean 'val2014'\?"):
        read_vqa(dataset, ["val"])
    write(path, question_file(asked(1, 9)))
    write(tmp_path / "v2_mscoco_val2014_annotations.json", {"annotations": [answered(1, 9)]})
    with pytest.raises(UserError, match=r"val2014_questions\.json: image 9 is in an earlier split as well"):
        read_vqa(dataset, SPLITS)


Q, A = "VQA question file HERE/q.json", "VQA annotation file HERE/a.json"


@pytest.mark.parametrize(
    ("place", "to", "words"),
    [
        (("questions", 1, "question_id"), ..., "questions[1]: the key 'question_id' is missing"),
        (("questions", 1, "image_id"), ..., "questions[1]: the key 'image_id' is missing"),
        (("questions", 1, "question"), ..., "questions[1]: the key 'question' is missing"),
        (("questions", 1, "question"), 7, "questions[1].question: expected `str`, got `int`"),
        (("questions", 1, "question_id"), "7", "questions[1].question_id: expected `int`, got `str`"),
        (("questions", 1, "question_id"), None, "questions[1].question_id: expected `int`, got `null`"),
        (("questions", 1, "image_id"), 1.5, "questions[1].image_id: expected `int`, got `float`"),
        (("questions", 1, "image_id"), -5, "questions[1].image_id: expected `int` >= 0"),
        (("questions", 1), "x", "questions[1]: expected `object`, got `str`"),
        (("questions",), {}, "questions: expected `array`, got `object`"),
        (("questions",), ..., "the key 'questions' is missing"),
        (("questions",), [], "questions: the list is empty; at least one question is needed"),
        (("data_subtype",), 2014, "data_subtype: expected `str | null`, got `int`"),
        (("questions", 2, "question_id"), 458752000, "questions[2].question_id: 458752000 comes twice (first in questions[0])"),
    ],
)
def test_a_wrong_question_file_is_refused_by_file_record_and_key(tmp_path: Path, place: Any, to: Any, words: str):
    assert error_of(tmp_path, changed(QUESTIONS, *place, to=to), ANNOTATIONS) == f"{Q}: {words}"


@pytest.mark.parametrize(
    ("place", "to", "words"),
    [
        *(
            (("annotations", 0, key), ..., f"annotations[0]: the key '{key}' is missing")
            for key in ("question_id", "image_id", "question_type", "answer_type", "multiple_choice_answer", "answers")
        ),
        (("annotations", 0, "answers", 3, "answer"), ..., "annotations[0].answers[3]: the key 'answer' is missing"),
        (("annotations", 0, "answers", 3, "answer"), 2, "annotations[0].answers[3].answer: expected `str`, got `int`"),
        (("annotations", 0, "answers", 3, "answer_id"), "4", "annotations[0].answers[3].answer_id: expected `int`, got `str`"),
        (("annotations", 0, "answers"), [], "annotations[0].answers: the list is empty; at least one answer is needed"),
        (("annotations", 0, "answers"), ["net"], "annotations[0].answers[0]: expected `object`, got `str`"),
        (("annotations", 0, "answer_type"), None, "annotations[0].answer_type: expected `str`, got `null`"),
        (("annotations",), ..., "the key 'annotations' is missing"),
        (
            ("annotations", 1, "question_id"),
            262148000,
            "annotations[1].question_id: 262148000 comes twice (first in annotations[0])",
        ),
        (
            ("annotations", 0, "question_id"),
            5,
            "annotations[0].question_id: question 5 is not asked in HERE/q.json",
        ),
        (
            ("annotations", 2, "image_id"),
            262148,
            "annotations[2].image_id: 262148, but question 458752001 is about image 458752 in HERE/q.json",
        ),
    ],
)
def test_a_wrong_annotation_file_is_refused_by_file_record_and_key(tmp_path: Path, place: Any, to: Any, words: str):
    assert error_of(tmp_path, QUESTIONS, changed(ANNOTATIONS, *place, to=to)) == f"{A}: {words}"


def test_questions_without_answers_are_counted(tmp_path: Path):
    one = {"annotations": ANNOTATIONS["annotations"][:2]}
    assert error_of(tmp_path, QUESTIONS, one) == (
        f"{Q}: questions[1].question_id: question 458752001 is not answered in HERE/a.json"
    )
    assert error_of(tmp_path, QUESTIONS, {"annotations": []}) == (
        f"{Q}: questions[0].question_id: 3 questions (458752000, 458752001, 262148000) are not answered in HERE/a.json"
    )
    many = question_file(*(asked(i, 9) for i in range(1000, 2200)))
    assert "1,200 questions (1000, 1001, 1002, …) are not" in error_of(tmp_path, many, {"annotations": []})


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 5000])
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes):
    assert error_of(tmp_path, content, ANNOTATIONS).startswith(Q)
    assert error_of(tmp_path, QUESTIONS, content).startswith(A)


def test_a_file_cut_in_half_is_refused(tmp_path: Path):
    half = json.dumps(ANNOTATIONS).encode()
    assert error_of(tmp_path, QUESTIONS, half[: len(half) // 2]) == f"{A} is not valid JSON: it ends in the middle"


def test_a_byte_order_mark_is_read_over(tmp_path: Path):
    content = b"\xef\xbb\xbf" + json.dumps(QUESTIONS).encode()
    assert len(read_pair(tmp_path, content, ANNOTATIONS)[1]) == 3


def attempt(dataset: VqaDataset, splits: Sequence[Split]) -> Annotations | None:
    try:
        return read_vqa(dataset, splits)
    except UserError as error:
        message = str(error)
    assert len(message.split("\n")) == 1
    assert str(dataset.root) in message
    return None


MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CHOICE_FILE = question_file(asked(90, 9, multiple_choices=CHOICES), asked(91, 8, multiple_choices=CHOICES), subtype="train2014")
CHOICE_ANSWERS = {"annotations": [answered(90, 9, ["net", "é"]), answered(91, 8, ["net", "x"])]}


@MANY
@given(questions=mutations(CHOICE_FILE), annotations=st.just(CHOICE_ANSWERS) | mutations(CHOICE_ANSWERS))
def test_no_file_however_wrong_gets_another_error(tmp_path: Path, questions: bytes, annotations: Any):
    dataset = v1(tmp_path)
    write(tmp_path / "MultipleChoice_mscoco_train2014_questions.json", questions)
    write(tmp_path / "mscoco_train2014_annotations.json", annotations)
    read = attempt(dataset, ["train"])
    if read is not None:
        assert read.questions
        assert all(q.choices[q.correct_choice] == "net" for q in read.questions if q.correct_choice is not None)


@MANY
@given(annotations=mutations(CHOICE_ANSWERS))
def test_no_annotation_file_however_wrong_gets_another_error(tmp_path: Path, annotations: bytes):
    dataset = v1(tmp_path)
    write(tmp_path / "MultipleChoice_mscoco_train2014_questions.json", CHOICE_FILE)
    write(tmp_path / "mscoco_train2014_annotations.json", annotations)
    attempt(dataset, ["train"])
