"""Visual Genome's questions as extra training data of VQA."""

import json
from pathlib import Path

import pytest

from tests.official import draw_vqa
from tests.test_recipes import SMALL, run
from vqa_rnn.annotations.visual_genome import read_extra_questions
from vqa_rnn.annotations.vqa import read_vqa
from vqa_rnn.config import VqaDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import Question


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("visual_genome")
    draw_vqa(folder / "vqa", unanimous=True)
    genome = folder / "genome"
    genome.mkdir()
    images = [
        {"image_id": 1, "coco_id": 1000, "url": "…"},  # a training image of VQA
        {"image_id": 2, "coco_id": 2000, "url": "…"},  # of its validation split
        {"image_id": 3, "coco_id": None, "url": "…"},
    ]
    pair = {"question": "Is it there?", "answer": "Yes.", "a_objects": [], "q_objects": []}
    questions = [
        {"id": 1, "qas": [{"qa_id": 11, "image_id": 1, **pair}, {"qa_id": 12, "image_id": 1, **pair, "answer": "A zebra."}]},
        {"id": 2, "qas": [{"qa_id": 21, "image_id": 2, **pair}]},
        {"id": 3, "qas": [{"qa_id": 31, "image_id": 3, **pair}]},
    ]
    (genome / "image_data.json").write_text(json.dumps(images))
    (genome / "question_answers.json").write_text(json.dumps(questions))
    return folder


def test_questions_about_training_images_with_known_answers_are_added(drawn: Path):
    plain = read_vqa(VqaDataset(root=drawn / "vqa"), ["train", "val"])
    found = read_vqa(VqaDataset(root=drawn / "vqa", extra=drawn / "genome"), ["train", "val"])
    more = [question for question in found.questions if question.question_id.startswith("visual_genome/")]
    assert [question for question in found.questions if question not in more] == list(plain.questions)
    (question,) = more
    assert (question.question_id, question.image_id, question.split) == ("visual_genome/11", "1000", "train")
    assert (question.question, question.human_answers) == ("Is it there?", ("yes",))
    assert found.images == plain.images
    assert len(found.files) == len(plain.files) + 2
    val = read_vqa(VqaDataset(root=drawn / "vqa", extra=drawn / "genome"), ["val"])
    assert all(not question.question_id.startswith("visual") for question in val.questions)


def test_answers_are_compared_in_both_forms_and_empty_questions_are_left_out(tmp_path: Path):
    pairs = [("What is it?", "T-shirt."), ("How many?", "Two"), ("?", "Two"), ("What is it?", "A zebra.")]
    qas = [{"qa_id": number, "question": question, "answer": answer} for number, (question, answer) in enumerate(pairs)]
    (tmp_path / "image_data.json").write_text(json.dumps([{"image_id": 1, "coco_id": 1000}]))
    (tmp_path / "question_answers.json").write_text(json.dumps([{"id": 1, "qas": qas}]))
    # If all people agree, VQA's answer keeps its hyphen; otherwise it is normalised.
    human_answers = [("t-shirt",) * 10, ("two",) * 9 + ("3",), ("two",) * 10]
    train = [
        Question(question_id=str(number), image_id="1000", question="what ?", split="train", human_answers=answers)
        for number, answers in enumerate(human_answers)
    ]
    found = read_extra_questions(tmp_path, train)
    assert [(question.question, question.human_answers) for question in found] == [
        ("What is it?", ("t-shirt",)),
        ("How many?", ("2",)),
    ]


def test_it_trains_and_is_measured_on_vqa_alone(
    drawn: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(drawn)
    options = ["dataset.root=vqa", "dataset.extra=genome", *SMALL]
    run(capsys, "preprocess", "vqa", *options)
    run(capsys, "train", "vqa", *options, "run.name=extra")
    assert "31 training questions and 30 validation questions" in Path("runs/extra/log.txt").read_text()
    assert run(capsys, "evaluate", "runs/extra", "--split", "val", "--json")["num_questions"] == 30


def test_mistakes_are_one_line(drawn: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"no Visual Genome file at .*image_data\.json"):
        read_vqa(VqaDataset(root=drawn / "vqa", extra=tmp_path), ["train"])
    (tmp_path / "image_data.json").write_text('[{"image_id": "one"}]')
    with pytest.raises(UserError, match=r"Visual Genome file .*image_data\.json: \[0\]\.image_id: expected `int`"):
        read_vqa(VqaDataset(root=drawn / "vqa", extra=tmp_path), ["train"])
    (tmp_path / "image_data.json").write_text("[]")
    (tmp_path / "question_answers.json").write_text("[]")
    with pytest.raises(UserError, match="has no question about a training image"):
        read_vqa(VqaDataset(root=drawn / "vqa", extra=tmp_path), ["train"])
    with pytest.raises(ValueError, match=r"dataset\.extra have no choices"):
        VqaDataset(version="v1", task="multiple_choice", extra=tmp_path)
