"""CLEVR (Johnson et al. 2017, https://arxiv.org/abs/1612.06890): rendered scenes, compositional questions, one-word answers.

    questions/CLEVR_SPLIT_questions.json   {"questions": [{"question_index", "image_filename", "question", "answer", …}, …]}
    images/SPLIT/CLEVR_SPLIT_000000.png

Test questions have no answers. Indices are unique only within a split, so ids contain the split: ``val/17``. A question of a
generated data set may have ``relational`` (true or false): whether it identifies objects by their relation to others.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from vqa_rnn.annotations.json_files import read_official
from vqa_rnn.config import ClevrDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import Annotations, Question, Split, is_empty

# Question types by the last step of the program, named as in figure 3 of the paper.
_TYPES = {
    "exist": "exist",
    "count": "count",
    "equal_integer": "compare integer",
    "less_than": "compare integer",
    "greater_than": "compare integer",
    "query_size": "query attribute",
    "query_color": "query attribute",
    "query_material": "query attribute",
    "query_shape": "query attribute",
    "equal_size": "compare attribute",
    "equal_color": "compare attribute",
    "equal_material": "compare attribute",
    "equal_shape": "compare attribute",
}


class _Function(msgspec.Struct, gc=False):
    type: str | None = None
    function: str | None = None  # the name of this key in the released files


class _Question(msgspec.Struct, gc=False):
    question_index: int
    image_filename: str
    question: str
    answer: str | None = None
    program: list[_Function] = []
    relational: bool | None = None


class _File(msgspec.Struct):
    questions: list[_Question]


def read_clevr(dataset: ClevrDataset, splits: Sequence[Split]) -> Annotations:
    """Read the official question files.

    Args:
        dataset: Options of the data set.
        splits: The splits to read. If the test file is missing, ``test`` is empty.

    Returns:
        The questions. If the file has programs, ``question_type`` is ``exist``, ``count``, ``compare integer``,
        ``query attribute`` or ``compare attribute``.

    Raises:
        UserError: A file is missing or invalid. The message names the file, the record and the key.
    """
    questions: list[Question] = []
    images: dict[str, Path] = {}
    files: list[Path] = []
    for split in splits:
        path = dataset.root / dataset.questions.replace("{split}", split)
        if split == "test" and not path.is_file():
            continue
        if not path.is_file():
            raise UserError(
                f"no CLEVR questions at {path}: put them there (vqa-rnn datasets download clevr), or set dataset.root"
            )
        files.append(path)
        folder = dataset.root / dataset.images.replace("{split}", split)
        read = read_official(path, _File, "CLEVR question file").questions
        if not read:
            raise UserError(f"{path}: questions is empty")
        seen: set[int] = set()
        for number, record in enumerate(read):
            if record.question_index in seen:
                raise UserError(f"{path}: questions[{number}].question_index: {record.question_index} comes twice")
            seen.add(record.question_index)
            if is_empty(record.question):
                raise UserError(f"{path}: questions[{number}].question is empty")
            if record.answer is None and split != "test":
                raise UserError(f"{path}: questions[{number}]: the key 'answer' is missing; only test questions are without")
            image_id = f"{split}/{record.image_filename}"
            images[image_id] = folder / record.image_filename
            question = Question(
                question_id=f"{split}/{record.question_index}",
                image_id=image_id,
                question=record.question,
                split=split,
                human_answers=() if record.answer is None else (record.answer,),
                question_type=_type(record.program),
                relational=record.relational,
            )
            questions.append(question)
    return Annotations(questions=tuple(questions), images=images, files=tuple(files))


def _type(program: Sequence[_Function]) -> str | None:
    return _TYPES.get(program[-1].type or program[-1].function or "") if program else None
