"""DAQUAR (Malinowski and Fritz 2014, https://arxiv.org/abs/1410.0210): photographs of rooms, human questions.

    qa.894.raw.train.txt   a question line, an answer line, …; several answers are separated by ", "
    images/image3.png      or .jpg

The image is the last ``imageN`` in the question line. All mentions of images are removed with their preposition and article, so
that image numbers do not become words.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from vqa_rnn.annotations.decoys import draw_choices
from vqa_rnn.config import DaquarDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import Annotations, Question, Split, is_empty

_IMAGE = re.compile(r"\bimage\s*(\d{1,12})\b", re.IGNORECASE)
_MENTION = re.compile(
    r"(?:\b(?:in|on|of|at|from|inside|within)\s+)?(?:\b(?:the|this|that|an?)\s+)?\bimage\s*\d+\b\s*", re.IGNORECASE
)


def read_daquar(dataset: DaquarDataset, splits: Sequence[Split]) -> Annotations:
    """Read the official question files.

    Args:
        dataset: Options of the data set: whether to keep only questions with a single answer, and whether to add choices.
        splits: The splits to read. There is no validation split. If the test file is missing, ``test`` is empty.

    Returns:
        The questions. ``question_type`` is ``how many``, ``what colour`` or ``other``. Several answers are kept as one text.

    Raises:
        UserError: The folder or the training file is missing, or a line is invalid.
    """
    if not dataset.root.is_dir():
        raise UserError(
            f"no data set folder at {dataset.root}: put {dataset.train_file} and images/ there "
            "(vqa-rnn datasets download daquar), or set dataset.root"
        )
    questions: list[Question] = []
    files: list[Path] = []
    names: dict[Split, str] = {"train": dataset.train_file, "test": dataset.test_file}
    for split, name in names.items():
        path = dataset.root / name
        if split not in splits or (split == "test" and not path.is_file()):
            continue
        files.append(path)
        read = _read_file(path, split)
        if dataset.single_word:
            read = list(filter(_has_one_answer, read))
        questions += _with_choices(read) if dataset.multiple_choice else read
    folder = dataset.root / "images"
    images = {q.image_id: _image_path(folder, q.image_id) for q in questions}
    return Annotations(questions=tuple(questions), images=images, files=tuple(files))


def _has_one_answer(question: Question) -> bool:
    return "," not in question.human_answers[0]


def _with_choices(questions: list[Question]) -> list[Question]:
    """Add choices. They are the same for questions with one answer, whether or not questions with several are included."""
    alone = list(filter(_has_one_answer, questions))
    drawn = draw_choices(alone)
    if len(alone) < len(questions):
        drawn = [*draw_choices(questions), *drawn]
    with_choices = {question.question_id: question for question in drawn}
    return [with_choices[question.question_id] for question in questions]


def _read_file(path: Path, split: Split) -> list[Question]:
    return parse_lines(read_lines(path), path, split)


def read_lines(path: Path) -> list[str]:
    """Read the lines of a question file.

    Args:
        path: Path of the file.

    Returns:
        Question lines and answer lines in turn, the same number of each.

    Raises:
        UserError: The file is missing, cannot be read, or has a question line without an answer line.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # not splitlines, which also splits at form feeds
    except FileNotFoundError:
        raise UserError(f"no DAQUAR question file at {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) % 2:
        raise UserError(f"{path}: {len(lines)} lines; each question line needs an answer line after it")
    return lines


def parse_lines(lines: Sequence[str], path: Path, split: Split) -> list[Question]:
    """Parse the lines of a question file.

    Args:
        lines: Result of ``read_lines``.
        path: Path of the file, for the error message.
        split: Split of the questions.

    Returns:
        One question per pair of lines.

    Raises:
        UserError: A question names no image or is empty, or an answer is empty.
    """
    questions = []
    for number in range(0, len(lines), 2):
        where = f"{path}:{number + 1}"
        mentions = _IMAGE.findall(lines[number])
        text = strip_mentions(lines[number])
        answer = ", ".join(item.strip() for item in lines[number + 1].split(",") if item.strip())
        if not mentions:
            raise UserError(f"{where}: the question names no image (such as image3): '{lines[number]}'")
        if is_empty(text):
            raise UserError(f"{where}: the question is empty")
        if not answer:
            raise UserError(f"{path}:{number + 2}: the answer is empty")
        question = Question(
            question_id=f"{split}/{number // 2}",
            image_id=f"image{int(mentions[-1])}",
            question=text,
            split=split,
            human_answers=(answer,),
            question_type=_question_type(text),
        )
        questions.append(question)
    return questions


def strip_mentions(line: str) -> str:
    """Remove all mentions of images from a question line.

    Args:
        line: A line such as "what is left of the bed in the image3 ?".

    Returns:
        The question, such as "what is left of the bed ?".
    """
    return " ".join(_MENTION.sub("", line).split())


def _question_type(text: str) -> str:
    if text.startswith("how many"):
        return "how many"
    return "what colour" if re.match(r"what.{0,12} colou?r", text) else "other"


def _image_path(folder: Path, image_id: str) -> Path:
    png = folder / f"{image_id}.png"
    return png if png.is_file() else folder / f"{image_id}.jpg"
