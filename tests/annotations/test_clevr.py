"""CLEVR's official files."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.annotations.mutations import mutations
from tests.official import draw_clevr
from vqa_rnn.annotations.clevr import read_clevr
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.config import ClevrDataset
from vqa_rnn.errors import UserError

SHARED = Path(__file__).parents[3] / "shared" / "data" / "clevr_mini"


def record(**changes: Any) -> dict[str, Any]:
    given = {"question_index": 0, "image_filename": "CLEVR_val_000000.png", "question": "What is it?", "answer": "cube"}
    return {key: value for key, value in (given | changes).items() if value is not ...}


def files(folder: Path, split: str, content: Any) -> ClevrDataset:
    path = folder / "questions" / f"CLEVR_{split}_questions.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return ClevrDataset(root=folder)


def test_the_fields_of_a_question(tmp_path: Path):
    program = [{"function": "scene"}, {"function": "query_shape"}]
    content = {"questions": [record(question_index=7, question="Qué es?", program=program), record(question_index=8)]}
    annotations = read_clevr(files(tmp_path, "val", content), ["val"])
    first, second = annotations.questions
    assert (first.question_id, first.image_id) == ("val/7", "val/CLEVR_val_000000.png")
    assert (first.question, first.split, first.human_answers) == ("Qué es?", "val", ("cube",))
    assert (first.question_type, second.question_type) == ("query attribute", None)
    assert annotations.images == {"val/CLEVR_val_000000.png": tmp_path / "images/val/CLEVR_val_000000.png"}


def test_generated_sets_say_which_questions_are_relational(tmp_path: Path):
    records = [record(question_index=i, relational=said) for i, said in enumerate((True, False, ...))]
    questions = read_clevr(files(tmp_path, "val", {"questions": records}), ["val"]).questions
    assert [question.relational for question in questions] == [True, False, None]


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        ("exist", "exist"),
        ("count", "count"),
        ("less_than", "compare integer"),
        ("equal_color", "compare attribute"),
        ("query_material", "query attribute"),
        ("unheard_of", None),
    ],
)
def test_the_kind_of_a_question_is_its_programs_last_step(tmp_path: Path, function: str, kind: str | None):
    for key in ("function", "type"):  # the released files have the one, the generator writes the other
        program = [{key: "scene"}, {key: function}]
        dataset = files(tmp_path, "val", {"questions": [record(program=program)]})
        assert read_clevr(dataset, ["val"]).questions[0].question_type == kind


def test_indices_that_repeat_across_splits_stay_apart_and_test_has_no_answers(tmp_path: Path):
    annotations = read_annotations(ClevrDataset(root=draw_clevr(tmp_path, images=3)))
    assert len({question.question_id for question in annotations.questions}) == 18
    assert all(path.is_file() for path in annotations.images.values())
    assert [question.human_answers for question in annotations.split("test")] == [()] * 6
    assert all(question.human_answers for question in annotations.split("val"))


def test_a_missing_test_file_leaves_test_empty(tmp_path: Path):
    dataset = files(tmp_path, "train", {"questions": [record()]})
    assert read_clevr(dataset, ["train", "test"]).questions[0].split == "train"
    with pytest.raises(UserError, match=r"no CLEVR questions at .*CLEVR_val_questions\.json: .*dataset\.root"):
        read_clevr(dataset, ["val"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "the key 'questions' is missing"),
        ({"questions": []}, "questions is empty"),
        ({"questions": {}}, "questions: expected `array`, got `object`"),
        ([], "expected `object`, got `array`"),
        ({"questions": [record(), record(question=...)]}, r"questions\[1\]: the key 'question' is missing"),
        ({"questions": [record(question_index="0")]}, r"questions\[0\]\.question_index: expected `int`, got `str`"),
        ({"questions": [record(question=" ?")]}, r"questions\[0\]\.question is empty"),
        ({"questions": [record(answer=...)]}, r"questions\[0\]: the key 'answer' is missing; only test"),
        ({"questions": [record(answer=3)]}, r"questions\[0\]\.answer: expected `str \| null`, got `int`"),
        ({"questions": [record(relational="yes")]}, r"questions\[0\]\.relational: expected `bool \| null`, got `str`"),
        ({"questions": [record(), record()]}, r"questions\[1\]\.question_index: 0 comes twice"),
        ('{"questions": [{"question_index": 0, "ima', "is not valid JSON: it ends in the middle"),
        ("", "is not valid JSON"),
    ],
)
def test_what_is_wrong_is_refused_with_file_record_and_key(tmp_path: Path, content: Any, said: str):
    with pytest.raises(UserError, match=said) as caught:
        read_clevr(files(tmp_path, "val", content), ["val"])
    assert "CLEVR_val_questions.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_with_other_braces_is_a_file_that_is_not_there(tmp_path: Path):
    for name in ("q_{}.json", "q_{part}.json", "q_{split.json"):
        with pytest.raises(UserError, match="no CLEVR questions at"):
            read_clevr(ClevrDataset(root=tmp_path, questions=name), ["val"])


VALID = {"questions": [record(), record(question_index=1, program=[{"function": "count"}])]}


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=mutations(VALID))
def test_a_spoilt_file_gives_one_line_and_no_traceback(tmp_path: Path, content: bytes):
    dataset = files(tmp_path, "val", "")
    (tmp_path / "questions" / "CLEVR_val_questions.json").write_bytes(content)
    said = "CLEVR_val_questions.json"
    try:
        read_clevr(dataset, ["val"])
    except UserError as error:
        said = str(error)
    assert "\n" not in said
    assert "CLEVR_val_questions.json" in said


@pytest.mark.skipif(not SHARED.is_dir(), reason="the rendered scenes are not here")
def test_rendered_scenes():
    dataset = ClevrDataset(root=SHARED, questions="CLEVR_mini_{split}_questions.json", images="images")
    annotations = read_annotations(dataset)
    assert [len(annotations.split(split)) for split in ("train", "val", "test")] == [14000, 1500, 1500]  # type: ignore[arg-type]
    assert len(annotations.images) == 1700
    assert all(path.is_file() for path in annotations.images.values())
