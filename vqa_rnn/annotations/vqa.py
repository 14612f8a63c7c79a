"""VQA v1 (Antol et al. 2015, https://arxiv.org/abs/1505.00468) and v2 (Goyal et al. 2017, https://arxiv.org/abs/1612.00837).

    v2_OpenEnded_mscoco_train2014_questions.json   v2_mscoco_train2014_annotations.json   train2014/COCO_train2014_….jpg
    v2_OpenEnded_mscoco_val2014_questions.json     v2_mscoco_val2014_annotations.json     val2014/…
    v2_OpenEnded_mscoco_test2015_questions.json    answers are withheld                   test2015/…

In v1 the names have no ``v2_``, and each ``OpenEnded`` file has a ``MultipleChoice`` counterpart, in which
``multiple_choices`` are 18 texts *including* the answer. The questions of ``test-dev2015`` are about images of ``test2015``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from vqa_rnn.annotations.json_files import read_official
from vqa_rnn.annotations.visual_genome import extra_files, read_extra_questions
from vqa_rnn.config import VqaDataset
from vqa_rnn.errors import UserError
from vqa_rnn.files import unknown_name
from vqa_rnn.records import SPLITS, Annotations, Question, Split

Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
ImageId = Annotated[int, msgspec.Meta(ge=0, le=10**12 - 1)]  # the file name has twelve digits

IMAGE_FOLDERS = {"train2014": "train2014", "val2014": "val2014", "test2015": "test2015", "test-dev2015": "test2015"}
_TASKS = {"open_ended": "OpenEnded", "multiple_choice": "MultipleChoice"}
_MOST_NAMED = 3


class VqaQuestion(msgspec.Struct, frozen=True, gc=False):
    """One record of a question file.

    Attributes:
        question_id: Unique in the data set.
        image_id: Number of the COCO image.
        question: Text of the question.
        multiple_choices: The choices, including the answer; empty in open-ended files.
    """

    question_id: Id
    image_id: ImageId
    question: str
    multiple_choices: tuple[str, ...] = ()


class VqaQuestions(msgspec.Struct, frozen=True):
    """A question file.

    Attributes:
        questions: Records of the file.
        data_subtype: Set of images that the questions are about, such as ``val2014``.
    """

    questions: list[VqaQuestion]
    data_subtype: str | None = None


class VqaAnswer(msgspec.Struct, frozen=True, gc=False):
    """The answer of one person.

    Attributes:
        answer: Text of the answer.
        answer_id: 1 to 10 in the official files.
        answer_confidence: ``yes``, ``maybe`` or ``no`` in the official files.
    """

    answer: str
    answer_id: Id | msgspec.UnsetType = msgspec.UNSET
    answer_confidence: str | msgspec.UnsetType = msgspec.UNSET


class VqaAnnotation(msgspec.Struct, frozen=True, gc=False):
    """One record of an annotation file.

    Attributes:
        question_id: Id of the question.
        image_id: Number of its image.
        question_type: First words of the question.
        answer_type: ``yes/no``, ``number`` or ``other``.
        multiple_choice_answer: The most frequent answer.
        answers: The human answers, ten in the official files.
    """

    question_id: Id
    image_id: ImageId
    question_type: str
    answer_type: str
    multiple_choice_answer: str
    answers: tuple[VqaAnswer, ...]  # tuples of such records, unlike lists, cost the garbage collector nothing


class VqaAnnotations(msgspec.Struct, frozen=True):
    """An annotation file.

    Attributes:
        annotations: Records of the file.
    """

    annotations: list[VqaAnnotation]


class VqaResult(msgspec.Struct, frozen=True, gc=False):
    """One record of a submission.

    Attributes:
        question_id: Id of the question.
        answer: The predicted answer.
    """

    question_id: Id
    answer: str


def read_question_file(path: Path) -> VqaQuestions:
    """Read an official question file.

    Args:
        path: Path of the file.

    Returns:
        The content of the file.

    Raises:
        UserError: The file is missing or invalid, has no questions, or has a duplicate question.
    """
    content = read_official(path, VqaQuestions, "VQA question file")
    where = f"VQA question file {path}"
    if not content.questions:
        raise UserError(f"{where}: questions: the list is empty; at least one question is needed")
    _refuse_repeats([question.question_id for question in content.questions], where, "questions")
    return content


def read_annotation_file(path: Path) -> list[VqaAnnotation]:
    """Read an official annotation file.

    Args:
        path: Path of the file.

    Returns:
        The records of the file.

    Raises:
        UserError: The file is missing or invalid, or has a duplicate question or a question without answers.
    """
    annotations = read_official(path, VqaAnnotations, "VQA annotation file").annotations
    where = f"VQA annotation file {path}"
    _refuse_repeats([annotation.question_id for annotation in annotations], where, "annotations")
    for number, annotation in enumerate(annotations):
        if not annotation.answers:
            raise UserError(f"{where}: annotations[{number}].answers: the list is empty; at least one answer is needed")
    return annotations


def read_questions_and_answers(question_path: Path, annotation_path: Path) -> tuple[VqaQuestions, list[VqaAnnotation]]:
    """Read a question file and the annotation file that goes with it.

    Args:
        question_path: Path of the question file.
        annotation_path: Path of the annotation file.

    Returns:
        The questions, and their annotations in the order of the questions.

    Raises:
        UserError: A file is missing or invalid, or the files differ in their questions or in the image of a question.
    """
    content = read_question_file(question_path)
    annotations = read_annotation_file(annotation_path)
    place_of = {annotation.question_id: number for number, annotation in enumerate(annotations)}
    _refuse_unmatched(content.questions, place_of, question_path, annotation_path)
    ordered = []
    for question in content.questions:
        number = place_of[question.question_id]
        annotation = annotations[number]
        if annotation.image_id != question.image_id:
            raise UserError(
                f"VQA annotation file {annotation_path}: annotations[{number}].image_id: {annotation.image_id}, "
                f"but question {question.question_id} is about image {question.image_id} in {question_path}"
            )
        ordered.append(annotation)
    return content, ordered


def _refuse_unmatched(
    questions: Sequence[VqaQuestion], place_of: Mapping[int, int], question_path: Path, annotation_path: Path
) -> None:
    """Check that both files have the same questions."""
    asked = {question.question_id for question in questions}
    unknown = [question_id for question_id in place_of if question_id not in asked]
    if unknown:
        raise UserError(
            f"VQA annotation file {annotation_path}: annotations[{place_of[unknown[0]]}].question_id: "
            f"{_ids(unknown)} not asked in {question_path}"
        )
    without = [number for number, question in enumerate(questions) if question.question_id not in place_of]
    if without:
        raise UserError(
            f"VQA question file {question_path}: questions[{without[0]}].question_id: "
            f"{_ids([questions[number].question_id for number in without])} not answered in {annotation_path}"
        )


def read_vqa(dataset: VqaDataset, splits: Sequence[Split]) -> Annotations:
    """Read the official files.

    Args:
        dataset: Options of the data set, with the version and the task.
        splits: The splits to read. The test split has no answers. If the test file is missing, the split is empty.

    Returns:
        The questions in the order of the files, with all human answers and, for multiple choice, the choices in the order of
        the file. The questions of ``dataset.extra`` follow the training questions.

    Raises:
        UserError: A file is missing or invalid, or the true answer is not among the choices.
    """
    if not dataset.root.is_dir():
        raise UserError(
            f"no data set folder at {dataset.root}: put {_question_file(dataset, 'train2014').name} and the other official "
            f"files there ({_download(dataset)}), or set dataset.root"
        )
    questions: list[Question] = []
    images: dict[str, Path] = {}
    files: list[Path] = []
    for split in SPLITS:
        if split not in splits or (split == "test" and not _question_file(dataset, dataset.test_split).is_file()):
            continue
        read, paths = _read_split(dataset, split)
        files += _files(dataset, split)
        both = images.keys() & paths.keys()
        if both:
            raise UserError(
                f"{_question_file(dataset, _subset(dataset, split))}: image {min(both)} is in an earlier split as well; "
                "COCO's splits share no image"
            )
        questions += read
        images |= paths
        if split == "train" and dataset.extra is not None:
            questions += read_extra_questions(dataset.extra, read)
            files += extra_files(dataset.extra)
    return Annotations(questions=tuple(questions), images=images, files=tuple(files))


def _subset(dataset: VqaDataset, split: Split) -> str:
    return dataset.test_split if split == "test" else f"{split}2014"


def _question_file(dataset: VqaDataset, subset: str) -> Path:
    prefix = "v2_" if dataset.version == "v2" else ""
    return dataset.root / f"{prefix}{_TASKS[dataset.task]}_mscoco_{subset}_questions.json"


def _annotation_file(dataset: VqaDataset, subset: str) -> Path:
    prefix = "v2_" if dataset.version == "v2" else ""
    return dataset.root / f"{prefix}mscoco_{subset}_annotations.json"


def _files(dataset: VqaDataset, split: Split) -> list[Path]:
    """Return the question file of a split and, except for the test split, its annotation file."""
    subset = _subset(dataset, split)
    return [_question_file(dataset, subset)] + ([] if split == "test" else [_annotation_file(dataset, subset)])


def _read_split(dataset: VqaDataset, split: Split) -> tuple[list[Question], dict[str, Path]]:
    """Return the questions of one split and the paths of their images."""
    subset = _subset(dataset, split)
    path, *answer_path = _files(dataset, split)
    annotations: Sequence[VqaAnnotation | None]
    if not answer_path:
        content = read_question_file(path)
        annotations = [None] * len(content.questions)
    else:
        for file in (path, *answer_path):
            if not file.is_file():
                raise UserError(f"no VQA file at {file}: put it there ({_download(dataset)}), or set dataset.root")
        content, annotations = read_questions_and_answers(path, *answer_path)
    folder = _image_folder(dataset, content.data_subtype or subset, path)
    questions: list[Question] = []
    images: dict[str, Path] = {}
    for number, (question, annotation) in enumerate(zip(content.questions, annotations, strict=True)):
        choosing = dataset.task == "multiple_choice"
        image_id = str(question.image_id)
        if image_id not in images:
            images[image_id] = folder / f"COCO_{folder.name}_{question.image_id:012d}.jpg"
        questions.append(
            Question(
                question_id=str(question.question_id),
                image_id=image_id,
                question=question.question,
                split=split,
                human_answers=tuple(answer.answer for answer in annotation.answers) if annotation else (),
                choices=question.multiple_choices if choosing else (),
                correct_choice=_place(question, annotation, f"{path}: questions[{number}]") if choosing else None,
                question_type=annotation.question_type if annotation else None,
                answer_type=annotation.answer_type if annotation else None,
            )
        )
    return questions, images


def _image_folder(dataset: VqaDataset, subset: str, path: Path) -> Path:
    if subset not in IMAGE_FOLDERS:
        raise UserError(f"VQA question file {path}: {unknown_name('data_subtype', subset, IMAGE_FOLDERS)}")
    return dataset.root / IMAGE_FOLDERS[subset]


def _place(question: VqaQuestion, annotation: VqaAnnotation | None, where: str) -> int | None:
    """Return the position of the true answer among the choices; None if the answer is withheld."""
    if not question.multiple_choices:
        raise UserError(f"VQA question file {where}.multiple_choices: there are no choices; this task needs them")
    if annotation is None:
        return None
    truth = annotation.multiple_choice_answer
    if truth not in question.multiple_choices:
        raise UserError(
            f"VQA question file {where}.multiple_choices: the answer '{truth}' of question {question.question_id} "
            "is not among the choices"
        )
    return question.multiple_choices.index(truth)


def _download(dataset: VqaDataset) -> str:
    return f"vqa-rnn datasets download vqa{dataset.version.removeprefix('v')}"


def _refuse_repeats(ids: Sequence[int], where: str, records: str) -> None:
    if len(set(ids)) == len(ids):
        return
    first: dict[int, int] = {}
    for number, question_id in enumerate(ids):
        if question_id in first:
            earlier = f"first in {records}[{first[question_id]}]"
            raise UserError(f"{where}: {records}[{number}].question_id: {question_id} comes twice ({earlier})")
        first[question_id] = number


def _ids(ids: Sequence[int]) -> str:
    """Format ids as the start of a message: ``question 7 is`` or ``5 questions (1, 2, 3, …) are``."""
    if len(ids) == 1:
        return f"question {ids[0]} is"
    few = ", ".join(map(str, ids[:_MOST_NAMED])) + (", …" if len(ids) > _MOST_NAMED else "")
    return f"{len(ids):,} questions ({few}) are"
