"""Questions of Visual Genome (Krishna et al. 2017, https://arxiv.org/abs/1602.07332), as extra training data for VQA.

    question_answers.json   [{"id": image, "qas": [{"qa_id", "image_id", "question", "answer", …}, …]}, …]
    image_data.json         [{"image_id", "coco_id": number or null, …}, …]

About half of its images are from COCO. Teney et al. 2018 (https://arxiv.org/abs/1708.02711, section 3.8) also train on its
questions about training images of VQA, if the answer occurs in VQA's training questions.
"""

from collections.abc import Collection
from pathlib import Path

import msgspec

from vqa_rnn.annotations.json_files import read_official
from vqa_rnn.answers import answer_forms, most_frequent_answer
from vqa_rnn.errors import UserError
from vqa_rnn.records import Question, is_empty


class QuestionAnswer(msgspec.Struct, frozen=True, gc=False):
    """A question with its answer.

    Attributes:
        qa_id: Number of the question.
        question: Text of the question.
        answer: Text of the answer.
    """

    qa_id: int
    question: str
    answer: str


class ImageQuestions(msgspec.Struct, frozen=True):
    """The questions about an image.

    Attributes:
        id: Number of the image in Visual Genome.
        qas: Questions about the image.
    """

    id: int
    qas: list[QuestionAnswer]


class ImageData(msgspec.Struct, frozen=True, gc=False):
    """An image.

    Attributes:
        image_id: Number of the image in Visual Genome.
        coco_id: Number of the image in COCO; None if it is not from COCO.
    """

    image_id: int
    coco_id: int | None = None


PREFIX = "visual_genome/"  # of question ids


def is_extra(question: Question) -> bool:
    """Check whether a question is from Visual Genome.

    Args:
        question: The question.

    Returns:
        True if its id starts with ``PREFIX``.
    """
    return question.question_id.startswith(PREFIX)


def extra_files(folder: Path) -> tuple[Path, Path]:
    """Return the paths of the files that are read.

    Args:
        folder: Folder with the files.

    Returns:
        Paths of the question file and the image file.
    """
    return folder / "question_answers.json", folder / "image_data.json"


def read_extra_questions(folder: Path, train: Collection[Question]) -> list[Question]:
    """Read the extra training questions.

    Args:
        folder: Folder with the two files.
        train: Training questions of VQA.

    Returns:
        Questions of the training split, about images of ``train``, whose answer is the most frequent answer to a question of
        ``train``.

    Raises:
        UserError: A file is missing or invalid, or no question can be used.
    """
    question_file, image_file = extra_files(folder)
    images = {question.image_id for question in train}
    answers = {most_frequent_answer(question.human_answers) for question in train}
    coco_ids = {
        image.image_id: str(image.coco_id) for image in read_official(image_file, list[ImageData], "Visual Genome file")
    }
    found = []
    for image in read_official(question_file, list[ImageQuestions], "Visual Genome file"):
        image_id = coco_ids.get(image.id)
        if image_id not in images:
            continue
        for pair in image.qas:
            forms = answer_forms(pair.answer.strip().removesuffix("."))
            # The normalised form comes first, because VQA's answers are in it unless all people agree.
            answer = next((form for form in reversed(forms) if form in answers), None)
            if answer is not None and not is_empty(pair.question.strip()):
                name = f"{PREFIX}{pair.qa_id}"
                asked = Question(
                    question_id=name, image_id=image_id, question=pair.question, split="train", human_answers=(answer,)
                )
                found.append(asked)
    if not found:
        raise UserError(
            f"{question_file} has no question about a training image with an answer that VQA's training questions have"
        )
    return found
