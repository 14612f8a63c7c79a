"""CLEVR-Dialog's official files."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.annotations.mutations import mutations
from tests.official import draw_clevr, draw_clevr_dialog
from vqa_rnn.annotations.clevr_dialog import read_clevr_dialog
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.config import ClevrDataset, ClevrDialogDataset
from vqa_rnn.errors import UserError
from vqa_rnn.metrics.floors import text_floors
from vqa_rnn.records import SPLITS, Annotations, Question, Round

SHARED = Path(__file__).parents[3] / "shared" / "data" / "clevr_mini"


def turn(question: str, answer: Any, template: str) -> dict[str, Any]:
    return {"question": question, "answer": answer, "template": template}


def dialog() -> dict[str, Any]:
    return {
        "caption": "Voilà a green thing 青.",
        "dialog": [
            turn("What shape is it?", "cube", "seek-attr-imm"),
            turn("Are there any red things?", "no", "exist-attribute"),
            turn("How many things are left of the earlier green thing?", 2, "count-obj-rel-early"),
            turn("Are there other things?", "yes", "exist-other"),
        ],
        "template_info": [{"label": "unique-obj"}],
        "graph": {
            "history": [{"round": 0}, *({"round": i + 1, "dependence": place} for i, place in enumerate([-1, None, -1, None]))],
            "objects": {"3": {"color": "green"}},
        },
    }


def image(index: int = 7, **changes: Any) -> dict[str, Any]:
    given = {"image_index": index, "split": "val", "image_filename": f"CLEVR_val_{index:06d}.png", "dialogs": [dialog()]}
    return {key: value for key, value in (given | changes).items() if value is not ...}


def changed(path: str, value: Any = ...) -> list[dict[str, Any]]:
    """A file of one image with one place set, or taken away."""
    content: list[Any] = [image()]
    *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    node: Any = content
    for step in steps:
        node = node[step]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return content


def stopped(num_rounds: int) -> dict[str, Any]:
    """A dialog as in the test file."""
    rounds = [{key: said[key] for key in ("question", "answer")} for said in dialog()["dialog"][:num_rounds]]
    del rounds[-1]["answer"]
    return {"caption": "A thing.", "dialog": rounds}


def files(folder: Path, split: str, content: Any) -> ClevrDialogDataset:
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    (folder / f"clevr_dialog_{split}_raw.json").write_text(text, encoding="utf-8")
    return ClevrDialogDataset(root=folder)


def error_of(folder: Path, content: Any, split: str = "val") -> str:
    with pytest.raises(UserError) as caught:
        read_clevr_dialog(files(folder, split, content), [split])  # type: ignore[list-item]
    message = str(caught.value)
    assert f"clevr_dialog_{split}_raw.json" in message
    assert "\n" not in message
    return message


def test_a_round_becomes_a_question(tmp_path: Path):
    annotations = read_clevr_dialog(files(tmp_path, "val", [image(dialogs=[dialog(), dialog()])]), ["val"])
    assert [question.question_id for question in annotations.questions] == [f"val/7-{d}-{r}" for d in (0, 1) for r in range(4)]
    assert annotations.questions[6] == Question(
        question_id="val/7-1-2",
        image_id="val/CLEVR_val_000007.png",
        question="How many things are left of the earlier green thing?",
        split="val",
        human_answers=("2",),
        caption="Voilà a green thing 青.",
        history=(Round("What shape is it?", "cube"), Round("Are there any red things?", "no")),
        dialog_id="val/7-1",
        round_index=2,
        needs_history=True,
        coreference_distance=3,
        question_type="count-obj-rel",
        answer_type="number",
    )
    assert annotations.images == {"val/CLEVR_val_000007.png": tmp_path / "images/val/CLEVR_val_000007.png"}
    assert annotations.questions[1].history[0] is annotations.questions[2].history[0]


def test_what_a_round_refers_to(tmp_path: Path):
    questions = read_clevr_dialog(files(tmp_path, "val", [image()]), ["val"]).questions
    assert [(question.needs_history, question.coreference_distance) for question in questions] == [
        (True, 1),  # the caption, in the first round
        (False, 0),
        (True, 3),  # the caption, in the third
        (True, 0),  # everything: "other" than all that was spoken of
    ]
    assert [question.round_index for question in questions] == [0, 1, 2, 3]


@pytest.mark.parametrize("path", ["0/dialogs/0/graph", "0/dialogs/0/graph/history/2/dependence"])
def test_without_annotations_it_is_not_known_what_a_round_refers_to(tmp_path: Path, path: str):
    question = read_clevr_dialog(files(tmp_path, "val", changed(path)), ["val"]).questions[1]
    assert (question.needs_history, question.coreference_distance) == (None, None)


@pytest.mark.parametrize(
    ("template", "question_type", "answer_type"),
    [
        ("seek-attr-imm2", "seek-attr", "attribute"),
        ("seek-attr-rel-early", "seek-attr-rel", "attribute"),
        ("seek-attr-sim-early", "seek-attr-sim", "attribute"),
        ("count-obj-exclude-imm", "count-obj-exclude", "number"),
        ("count-attribute-group", "count-attribute-group", "number"),
        ("exist-other", "exist-other", "yes/no"),
        ("unheard-of", "unheard-of", None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_the_kind_of_a_question_is_its_template_but_for_the_reference(
    tmp_path: Path, template: str | None, question_type: str | None, answer_type: str | None
):
    content = changed("0/dialogs/0/dialog/0/template", template)
    question = read_clevr_dialog(files(tmp_path, "val", content), ["val"]).questions[0]
    assert (question.question_type, question.answer_type) == (question_type, answer_type)


def test_a_test_dialog_asks_its_last_round_alone(tmp_path: Path):
    dialogs = [stopped(3), stopped(1)]
    long, short = read_clevr_dialog(files(tmp_path, "test", [image(dialogs=dialogs)]), ["test"]).questions
    assert (long.question_id, long.round_index, long.human_answers) == ("test/7-0-2", 2, ())
    assert long.facts == ("A thing.", "What shape is it? cube", "Are there any red things? no")
    assert (short.question_id, short.facts) == ("test/7-1-0", ("A thing.",))
    assert (long.needs_history, long.coreference_distance, long.question_type) == (None, None, None)


def test_a_test_file_with_answers_asks_every_round(tmp_path: Path):
    questions = read_clevr_dialog(files(tmp_path, "test", [image()]), ["test"]).questions
    assert [question.human_answers for question in questions] == [("cube",), ("no",), ("2",), ("yes",)]


def test_a_missing_test_file_leaves_test_empty(tmp_path: Path):
    dataset = files(tmp_path, "train", [image()])
    assert {question.split for question in read_clevr_dialog(dataset, ["train", "test"]).questions} == {"train"}
    said = r"no CLEVR dialogs at .*clevr_dialog_val_raw\.json: put the val file there, or set dataset\.root or dataset\.dialogs"
    with pytest.raises(UserError, match=said):
        read_clevr_dialog(dataset, ["val"])


def test_only_the_files_of_the_splits_asked_for_are_opened(tmp_path: Path):
    files(tmp_path, "train", [image()])
    files(tmp_path, "test", "garbage")
    dataset = files(tmp_path, "val", [image()])
    assert len(read_annotations(dataset, ["train", "val"]).questions) == 8
    with pytest.raises(UserError, match="not valid JSON"):
        read_annotations(dataset, ["test"])


def test_images_are_keyed_as_in_clevr(tmp_path: Path):
    draw_clevr_dialog(tmp_path, images=2)
    dialogs = read_annotations(ClevrDialogDataset(root=tmp_path))
    questions = read_annotations(ClevrDataset(root=draw_clevr(tmp_path, images=2)))
    assert dialogs.images == questions.images


def test_a_drawn_set(tmp_path: Path):
    annotations = read_annotations(ClevrDialogDataset(root=draw_clevr_dialog(tmp_path, images=4)))
    assert [len(annotations.split(split)) for split in SPLITS] == [24, 24, 8]
    assert all(path.is_file() for path in annotations.images.values())
    assert {question.coreference_distance for question in annotations.split("val")} == {0, 1, 3}
    assert not any(question.human_answers for question in annotations.split("test"))


PLACE = r"\[0\]\.dialogs\[0\]"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "is empty: a list of images with image_index, image_filename and dialogs is needed"),
        ({}, "expected `array`, got `object`"),
        ([5], r"\[0\]: expected `object`, got `int`"),
        ([image(image_index=...)], r"\[0\]: the key 'image_index' is missing"),
        ([image(image_index="7")], r"\[0\]\.image_index: expected `int`, got `str`"),
        ([image(image_index=-1)], r"\[0\]\.image_index: expected `int` >= 0"),
        ([image(image_filename=...)], r"\[0\]: the key 'image_filename' is missing"),
        ([image(dialogs=...)], r"\[0\]: the key 'dialogs' is missing"),
        ([image(dialogs=[])], r"\[0\]\.dialogs: expected `array` of length >= 1"),
        ([image(), image()], r"\[1\]\.image_index: 7 comes twice"),
        (changed("0/dialogs/0/caption"), rf"{PLACE}: the key 'caption' is missing"),
        (changed("0/dialogs/0/caption", None), rf"{PLACE}\.caption: expected `str`, got `null`"),
        (changed("0/dialogs/0/dialog"), rf"{PLACE}: the key 'dialog' is missing"),
        (changed("0/dialogs/0/dialog", []), rf"{PLACE}\.dialog: expected `array` of length >= 1"),
        (changed("0/dialogs/0/dialog/1/question"), rf"{PLACE}\.dialog\[1\]: the key 'question' is missing"),
        (changed("0/dialogs/0/dialog/1/question", " ?"), rf"{PLACE}\.dialog\[1\]\.question is empty"),
        (changed("0/dialogs/0/dialog/1/answer"), rf"{PLACE}\.dialog\[1\]: the key 'answer' is missing; only the last round"),
        (changed("0/dialogs/0/dialog/3/answer"), rf"{PLACE}\.dialog\[3\]: the key 'answer' is missing; only the last round"),
        (changed("0/dialogs/0/dialog/1/answer", ["no"]), rf"{PLACE}\.dialog\[1\]\.answer: expected .*, got `array`"),
        (changed("0/dialogs/0/graph/history"), rf"{PLACE}\.graph: the key 'history' is missing"),
        (
            changed("0/dialogs/0/graph/history/4"),
            rf"{PLACE}\.graph\.history: 4 entries; the caption and 4 rounds need one each",
        ),
        (
            changed("0/dialogs/0/graph/history/3/dependence", "1"),
            rf"{PLACE}\.graph\.history\[3\]\.dependence: expected .*`str`",
        ),
        (
            changed("0/dialogs/0/graph/history/3/dependence", 2),
            rf"{PLACE}\.graph\.history\[3\]\.dependence: 2, but round 2 depends",
        ),
        (
            changed("0/dialogs/0/graph/history/3/dependence", -2),
            rf"{PLACE}\.graph\.history\[3\]\.dependence: -2, .* the caption",
        ),
        ("", "is not valid JSON"),
        ("\ufeff", "is not valid JSON"),
    ],
)
def test_what_is_wrong_is_refused_with_file_record_and_key(tmp_path: Path, content: Any, said: str):
    assert re.search(said, error_of(tmp_path, content))


def test_a_missing_answer_before_the_last_round_is_refused_in_a_test_file_too(tmp_path: Path):
    spoilt = stopped(3)
    del spoilt["dialog"][1]["answer"]
    assert "[0].dialogs[0].dialog[1]: the key 'answer' is missing" in error_of(tmp_path, [image(dialogs=[spoilt])], "test")


def test_a_cut_file_is_refused(tmp_path: Path):
    content = json.dumps([image()])
    for length in range(0, len(content), 41):
        assert "it ends in the middle" in error_of(tmp_path, content[:length])


VALID = [image(), image(8, dialogs=[dialog(), dialog()])]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=mutations(VALID))
def test_a_spoilt_file_gives_questions_or_one_line(tmp_path: Path, content: bytes):
    dataset = files(tmp_path, "val", "")
    (tmp_path / "clevr_dialog_val_raw.json").write_bytes(content)
    found: Annotations | str
    try:
        found = read_clevr_dialog(dataset, ["val"])
    except UserError as error:
        found = str(error)
    if isinstance(found, str):
        assert "clevr_dialog_val_raw.json" in found
        assert "\n" not in found
        return
    assert len({question.question_id for question in found.questions}) == len(found.questions)
    for question in found.questions:
        assert len(question.history) == question.round_index
        assert question.coreference_distance is None or question.coreference_distance <= len(question.history) + 1


def test_the_string_floor_answers_dialogs(tmp_path: Path):
    annotations = read_annotations(ClevrDialogDataset(root=draw_clevr_dialog(tmp_path, images=4)))
    train, asked = annotations.split("train"), annotations.split("val")
    found = text_floors(train, asked, 3)
    assert all(set(answers) == {question.question_id for question in asked} for answers in found.values())
    assert found["question_string"][asked[0].question_id].answer in ("circle", "square")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the generated dialogs are not here")
def test_generated_dialogs():
    """The counts of the data set's README; distances reach from the round before to the caption."""
    dataset = ClevrDialogDataset(root=SHARED, dialogs="clevr_dialog_mini_{split}_raw.json", images="images")
    annotations = read_annotations(dataset)
    assert [len(annotations.split(split)) for split in SPLITS] == [27500, 5000, 500]
    assert [len({q.dialog_id for q in annotations.split(split)}) for split in SPLITS] == [2750, 500, 500]
    assert len(annotations.images) == 550 + 100 + 100
    assert all(path.is_file() for path in annotations.images.values())
    val = annotations.split("val")
    assert Counter(question.round_index for question in val) == dict.fromkeys(range(10), 500)
    distances = Counter(question.coreference_distance for question in val)
    assert set(distances) == set(range(11))
    assert distances[1] > distances[3] > distances[5] > distances[10]
    for question in val:
        assert question.coreference_distance is not None
        assert question.coreference_distance <= len(question.history) + 1
        assert question.needs_history or question.coreference_distance == 0
    assert {question.answer_type for question in val} == {"attribute", "number", "yes/no"}
    assert all(not question.human_answers and question.needs_history is None for question in annotations.split("test"))
