"""easy-VQA, from the installed ``easy-vqa`` package (https://github.com/vzhou842/easy-VQA, MIT).

    data/train/questions.json   [[question, answer, image number], …]     data/train/images/NUMBER.png
    data/test/…                 the same

Image numbers are unique only within a split, so ids contain the split: ``train/432``.
"""

import json
import random
from collections.abc import Sequence
from importlib import util
from pathlib import Path

from vqa_rnn.config import EasyVqaDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import Annotations, Question, Split

KINDS = {
    "yes/no": ("yes", "no"),
    "shape": ("circle", "rectangle", "triangle"),
    "colour": ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow"),
}
MOST_CHOICES = 4


def read_easy_vqa(dataset: EasyVqaDataset, splits: Sequence[Split]) -> Annotations:
    """Read easy-VQA.

    Args:
        dataset: Options of the data set. With ``multiple_choice``, each question gets up to four distinct choices of the same
            kind: the true answer first, then decoys drawn at random with the question id as seed.
        splits: The splits to read. There is no validation split.

    Returns:
        The questions. ``answer_type`` is ``yes/no``, ``shape`` or ``colour``.

    Raises:
        UserError: The package is not installed.
    """
    spec = util.find_spec("easy_vqa")
    if spec is None or spec.origin is None:
        raise UserError("the data set easy_vqa is the package 'easy-vqa': run pip install easy-vqa")
    data = Path(spec.origin).parent / "data"
    kind_of = {answer: kind for kind, answers in KINDS.items() for answer in answers}
    questions = []
    images = {}
    for split in splits:
        if split == "val":
            continue
        rows = json.loads((data / split / "questions.json").read_text(encoding="utf-8"))
        for number, (text, answer, image) in enumerate(rows):
            question_id, image_id = f"{split}/{number}", f"{split}/{image}"
            images[image_id] = data / split / "images" / f"{image}.png"
            kind = kind_of[answer]
            choices = _draw_choices(answer, kind, question_id) if dataset.multiple_choice else ()
            question = Question(
                question_id=question_id,
                image_id=image_id,
                question=text,
                split=split,
                human_answers=(answer,),
                choices=choices,
                correct_choice=choices.index(answer) if choices else None,
                answer_type=kind,
            )
            questions.append(question)
    return Annotations(questions=tuple(questions), images=images)


def _draw_choices(answer: str, kind: str, question_id: str) -> tuple[str, ...]:
    others = [other for other in KINDS[kind] if other != answer]
    decoys = random.Random(question_id).sample(others, min(MOST_CHOICES - 1, len(others)))
    return (answer, *decoys)
