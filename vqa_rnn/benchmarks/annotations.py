"""Reader of the questions of any benchmark."""

from collections.abc import Sequence
from dataclasses import replace

from vqa_rnn.annotations.splits import carve_validation, cut_folds
from vqa_rnn.benchmarks.table import BENCHMARKS
from vqa_rnn.config import Dataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import SPLITS, Annotations, Split, is_empty


def read_annotations(dataset: Dataset, splits: Sequence[Split] = SPLITS) -> Annotations:
    """Read the questions of some splits.

    If the source has no validation split, it is cut from the training questions by image, or by question if VQA-RAD's
    ``validation_cut`` says so. Folds are cut by image.

    Args:
        dataset: Options of the data set.
        splits: The splits to return. A split that the source does not have is empty.

    Returns:
        The questions of these splits, and the paths of their images.

    Raises:
        UserError: A file is missing or invalid, a question id is not unique, a question is empty, or a training
            question has no answer.
    """
    sources: list[Split] = []
    if dataset.folds is not None:
        sources = ["train"]
    else:
        if {"train", "val"} & set(splits):
            sources += ["train", "val"]  # the validation split may have to be cut from the training split
        if "test" in splits:
            sources.append("test")
    annotations = BENCHMARKS[dataset.name].reader(dataset, sources)
    questions = annotations.questions
    cut_splits: set[Split] = set()
    if dataset.folds is not None:
        questions = cut_folds(questions, dataset.folds, dataset.fold, dataset.split_seed)
        cut_splits.add("test")
    if not any(question.split == "val" for question in questions):
        by_question = dataset.name == "vqa_rad" and dataset.validation_cut == "question"
        questions = carve_validation(questions, dataset.validation_fraction, dataset.split_seed, by_question=by_question)
        cut_splits.add("val")
    seen: dict[str, Split] = {}
    for question in questions:
        if question.question_id in seen:
            places = " and in ".join(dict.fromkeys((seen[question.question_id], question.split)))
            raise UserError(f"{dataset.name}: the question id '{question.question_id}' comes twice, in {places}")
        seen[question.question_id] = question.split
        if is_empty(question.question):
            raise UserError(f"{dataset.name}: the {question.split} question '{question.question_id}' is empty")
        if question.split == "train" and not question.human_answers:
            raise UserError(f"{dataset.name}: the training question '{question.question_id}' has no answer")
    kept = tuple(question for question in questions if question.split in splits)
    images = {question.image_id: annotations.images[question.image_id] for question in kept}
    boxes = {image_id: annotations.boxes[image_id] for image_id in images if image_id in annotations.boxes}
    return replace(annotations, questions=kept, images=images, boxes=boxes, cut_splits=frozenset(cut_splits))
