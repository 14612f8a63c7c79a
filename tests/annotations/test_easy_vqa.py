"""Reading easy-VQA from its package."""

from collections import Counter

import pytest

from vqa_rnn.annotations.easy_vqa import KINDS, read_easy_vqa
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.config import EasyVqaDataset
from vqa_rnn.records import Annotations


@pytest.fixture(scope="module")
def open_ended() -> Annotations:
    return read_easy_vqa(EasyVqaDataset(), ["train", "val", "test"])


@pytest.fixture(scope="module")
def with_choices() -> Annotations:
    return read_easy_vqa(EasyVqaDataset(multiple_choice=True), ["test"])


def test_all_questions_and_images_come(open_ended: Annotations):
    assert len(open_ended.split("train")) == 38575
    assert len(open_ended.split("test")) == 9673
    assert open_ended.split("val") == ()
    assert len(open_ended.images) == 5000
    assert all(path.is_file() for path in list(open_ended.images.values())[::100])


def test_ids_are_unique_and_carry_the_split(open_ended: Annotations):
    assert len({question.question_id for question in open_ended.questions}) == len(open_ended.questions)
    for question in open_ended.questions:
        assert question.question_id.startswith(f"{question.split}/")
        assert question.image_id.startswith(f"{question.split}/")


def test_every_answer_has_its_kind(open_ended: Annotations):
    answers = {answer for question in open_ended.questions for answer in question.human_answers}
    assert answers == {answer for kind in KINDS.values() for answer in kind}
    assert len(answers) == 13
    assert all(question.human_answers[0] in KINDS[question.answer_type or ""] for question in open_ended.questions)
    assert all(question.choices == () and question.correct_choice is None for question in open_ended.questions)


def test_choices_are_distinct_answers_of_one_kind_with_the_truth_among_them(with_choices: Annotations):
    sizes = {"yes/no": 2, "shape": 3, "colour": 4}
    for question in with_choices.questions:
        assert question.correct_choice is not None
        assert (question.choices[question.correct_choice],) == question.human_answers
        assert len(set(question.choices)) == len(question.choices) == sizes[question.answer_type or ""]
        assert set(question.choices) <= set(KINDS[question.answer_type or ""])


def test_decoys_are_spread_evenly_and_fixed_by_the_id(with_choices: Annotations):
    again = read_easy_vqa(EasyVqaDataset(multiple_choice=True), ["test"])
    assert again.questions == with_choices.questions
    red = [question for question in with_choices.questions if question.human_answers == ("red",)]
    decoys = Counter(choice for question in red for choice in question.choices if choice != "red")
    assert len(decoys) == 7
    assert min(decoys.values()) > 0.7 * max(decoys.values())


def test_validation_is_carved_from_training_images():
    annotations = read_annotations(EasyVqaDataset(validation_fraction=0.1), ["train", "val"])
    train, val = ({question.image_id for question in annotations.split(name)} for name in ("train", "val"))
    assert (len(train), len(val)) == (3600, 400)
    assert train & val == set()
    assert set(annotations.images) == train | val
