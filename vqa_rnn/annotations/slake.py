"""SLAKE (Liu et al. 2021, https://arxiv.org/abs/2102.09542): radiology images, questions in English and Chinese.

    train.json, validate.json, test.json   [{"qid", "img_name", "question", "answer", "answer_type", "content_type",
                                             "q_lang"}, …]
    imgs/xmlab1/source.jpg

The validation file is also published as ``validation.json``.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from vqa_rnn.annotations.json_files import read_official
from vqa_rnn.annotations.medical import answer_type, human_answers
from vqa_rnn.config import SlakeDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import Annotations, Question, Split, is_empty

FILES: dict[Split, tuple[str, ...]] = {
    "train": ("train.json",),
    "val": ("validate.json", "validation.json"),
    "test": ("test.json",),
}
LANGUAGES = ("en", "zh")


class _Record(msgspec.Struct, gc=False):
    qid: int
    img_name: str
    question: str
    answer_type: str
    q_lang: str
    answer: str | None = None
    content_type: str | None = None


def read_slake(dataset: SlakeDataset, splits: Sequence[Split]) -> Annotations:
    """Read the official question files.

    Args:
        dataset: Options of the data set, with the language.
        splits: The splits to read. If the test file is missing, ``test`` is empty.

    Returns:
        The questions in the language. ``answer_type`` is ``open`` or ``closed``, and ``question_type`` is the ``content_type``
        of the file.

    Raises:
        UserError: A file is missing or invalid, or has no question in the language.
    """
    languages = LANGUAGES if dataset.language == "both" else (dataset.language,)
    questions: list[Question] = []
    files: list[Path] = []
    for split, names in FILES.items():
        if split not in splits:
            continue
        path = next((dataset.root / name for name in names if (dataset.root / name).is_file()), dataset.root / names[0])
        if split == "test" and not path.is_file():
            continue
        if not path.is_file():
            raise UserError(
                f"no SLAKE questions at {path}: put them and imgs/ there (vqa-rnn datasets download slake), or set dataset.root"
            )
        files.append(path)
        read = [
            _question(record, f"{path}: [{number}]", split)
            for number, record in enumerate(read_official(path, list[_Record], "SLAKE question file"))
        ]
        asked = [question for question in read if question.language in languages]
        if not asked:
            found = ", ".join(sorted({question.language or "" for question in read})) or "no questions"
            raise UserError(f"{path} has no question in dataset.language={dataset.language}: it holds {found}")
        questions += asked
    images = {question.image_id: dataset.root / "imgs" / question.image_id for question in questions}
    return Annotations(questions=tuple(questions), images=images, files=tuple(files))


def _question(record: _Record, where: str, split: Split) -> Question:
    if record.q_lang not in LANGUAGES:
        raise UserError(f"{where}.q_lang: en or zh is needed, not '{record.q_lang}'")
    if is_empty(record.question):
        raise UserError(f"{where}.question is empty")
    return Question(
        question_id=str(record.qid),
        image_id=record.img_name,
        question=record.question,
        split=split,
        human_answers=human_answers(record.answer, split, where),
        question_type=record.content_type,
        answer_type=answer_type(record.answer_type, where),
        language=record.q_lang,
    )
