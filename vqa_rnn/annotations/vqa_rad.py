"""VQA-RAD (Lau et al. 2018, https://doi.org/10.1038/sdata.2018.251): radiology images, questions by clinicians.

    trainset.json, testset.json      [{"qid", "image_name", "question", "answer", "answer_type", "question_type",
                                       "phrase_type"}, …], the two files that most papers use
    images/synpic54610.jpg

or, as published by the authors, with fewer training questions,

    VQA_RAD Dataset Public.json      the same records; the phrase types of test questions start with "test_"
    VQA_RAD Image Folder/

White space after a type ("CLOSED ") is removed, answers that are numbers become texts, and the organ in the image is ignored.
Test images are also training images.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from vqa_rnn.annotations.json_files import read_official
from vqa_rnn.annotations.medical import answer_type, human_answers
from vqa_rnn.config import VqaRadDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import Annotations, Question, Split, is_empty

FILES: dict[Split, str] = {"train": "trainset.json", "test": "testset.json"}
PUBLIC, PUBLIC_IMAGES = "VQA_RAD Dataset Public.json", "VQA_RAD Image Folder"


class _Record(msgspec.Struct, gc=False):
    qid: int | str
    image_name: str
    question: str
    answer_type: str
    answer: str | int | float | None = None
    question_type: str | None = None
    phrase_type: str | None = None


def read_vqa_rad(dataset: VqaRadDataset, splits: Sequence[Split]) -> Annotations:
    """Read the questions.

    Args:
        dataset: Options of the data set.
        splits: The splits to read. There is no validation split. If the test file is missing, ``test`` is empty.

    Returns:
        The questions. ``answer_type`` is ``open`` or ``closed``, ``question_type`` is that of the file in upper case (``PRES``,
        ``PRES, POS``), and ``phrasing`` is ``freeform``, ``para`` or ``frame``.

    Raises:
        UserError: A file is missing or invalid. The message names the file, the record and the key.
    """
    root = dataset.root
    public = root / PUBLIC
    is_public = public.is_file() and not (root / FILES["train"]).is_file()
    questions: list[Question] = []
    files: list[Path] = []
    for split in FILES:
        path = public if is_public else root / FILES[split]
        if split not in splits or (split == "test" and not path.is_file()):
            continue
        if not path.is_file():
            raise UserError(
                f"no VQA-RAD questions at {path}: put them and images/ there (vqa-rnn datasets download vqa_rad), "
                "or set dataset.root"
            )
        files.append(path)
        records = list(enumerate(read_official(path, list[_Record], "VQA-RAD question file")))
        if is_public:
            records = [(number, record) for number, record in records if _is_test(record) == (split == "test")]
        if not records:
            raise UserError(f"{path} has no {split} questions")
        questions += [_question(record, f"{path}: [{number}]", split) for number, record in records]
    folder = root / (PUBLIC_IMAGES if (root / PUBLIC_IMAGES).is_dir() else "images")
    images = {question.image_id: folder / question.image_id for question in questions}
    return Annotations(questions=tuple(questions), images=images, files=tuple(dict.fromkeys(files)))


def _is_test(record: _Record) -> bool:
    return (record.phrase_type or "").startswith("test")


def _question(record: _Record, where: str, split: Split) -> Question:
    if is_empty(record.question):
        raise UserError(f"{where}.question is empty")
    return Question(
        question_id=str(record.qid),
        image_id=record.image_name,
        question=record.question,
        split=split,
        human_answers=human_answers(record.answer, split, where),
        question_type=(record.question_type or "").strip().upper() or None,
        answer_type=answer_type(record.answer_type, where),
        phrasing=(record.phrase_type or "").strip().removeprefix("test_") or None,
    )
