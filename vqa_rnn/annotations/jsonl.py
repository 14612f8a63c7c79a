"""Reader of your own images and questions: JSON lines, a JSON array or a CSV table (``jsonl_file``), with these keys.

image          path of the image, relative to the file               required
question       text                                                  required
answer         text or number                                        this or `answers` is required, except in the test split
answers        answers of several people, a list of texts or of VQA's objects; scored by the VQA consensus
choices        candidate answers, a list of texts that includes the answer
question_type  your own type of question; results are broken down by it
answer_type    your own type of answer; results are broken down by it
question_id    unique text or number                                 defaults to image and question
caption        a sentence about the image at the start of a dialog
history        earlier rounds, a list of {"question": …, "answer": …}
split          train, val (or validation, valid, dev) or test        defaults to train

The answers true and false are read as yes and no, as in VQA.

Different paths to one file, including symbolic links, are one image. Its id is its path relative to the folder of the question
file; a path without symbolic links is preferred. Answers are compared after ``fold_own_answer``, which ignores case, the
Unicode form, and quotes and punctuation around an answer. Under the VQA consensus, an answer gets the full score if three
*other* people gave it. If all people agree, the best possible score is therefore 1/3 for two people, 2/3 for three, and 1 for
four or more.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from vqa_rnn.annotations.jsonl_file import read_records
from vqa_rnn.annotations.jsonl_line import EXAMPLE, QUESTIONS, Line, check_record
from vqa_rnn.answers import fold_answer, fold_own_answer, normalise_vqa
from vqa_rnn.config import JsonlDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import Annotations, Question, Round, Split

_ID_LENGTH = 80  # number of characters of a question in its id


def read_jsonl(dataset: JsonlDataset, splits: Sequence[Split]) -> Annotations:
    """Read the user's own questions.

    Args:
        dataset: Options of the data set, with the path of the file.
        splits: The splits to return. Questions of other splits are only checked.

    Returns:
        The questions.

    Raises:
        UserError: The file is missing or has another format, or a question is invalid. The message names the file, the place,
            the key and what is expected.
    """
    path = dataset.path
    prefix, records = read_records(path, QUESTIONS)
    lines = [(number, check_record(value, f"{prefix}{number}", QUESTIONS)) for number, value in records]
    if not lines:
        raise UserError(f"{path} holds no questions, such as {EXAMPLE}")
    image_ids = image_ids_of(path, {line.image for _, line in lines})
    question_ids = _question_ids(prefix, lines, image_ids)
    questions = []
    images: dict[str, Path] = {}
    named_at: dict[str, str] = {}
    for (number, line), question_id in zip(lines, question_ids, strict=True):
        if line.split in splits:
            image_id = image_ids[line.image]
            images[image_id] = path.parent / line.image
            named_at.setdefault(image_id, f"{prefix}{number}")
            questions.append(_question(line, question_id, image_id))
    return Annotations(questions=tuple(questions), images=images, files=(path,), named_at=named_at)


def image_ids_of(path: Path, spellings: set[str]) -> dict[str, str]:
    """Return the image id of each spelling of a path. Spellings of the same file get the same id.

    An id is a path relative to the folder of the question file. Symbolic links in it are not resolved, so that it stays valid
    if the folder is moved. An absolute path of a file outside the folder is kept. Of several spellings, a relative path comes
    first, then a path without symbolic links, then alphabetical order.

    Args:
        path: The question file.
        spellings: Paths of images, as the file has them.

    Returns:
        The image id by spelling.
    """
    folder, real_folder = Path(os.path.normpath(path.parent.absolute())), Path(os.path.realpath(path.parent))
    real = {spelling: os.path.realpath(path.parent / spelling) for spelling in spellings}

    def name_of(spelling: str) -> str:
        place = Path(os.path.normpath(folder / spelling))
        for start in (folder, real_folder):
            if not Path(spelling).is_absolute() or place.is_relative_to(start):
                return Path(os.path.relpath(place, start)).as_posix()
        return place.as_posix()

    names: dict[str, set[str]] = defaultdict(set)
    for spelling, place in real.items():
        names[place].add(name_of(spelling))
    chosen = {}
    for place, each in names.items():
        ranked = [(Path(name).is_absolute(), str(real_folder / name) != place, name) for name in each]
        chosen[place] = min(ranked)[-1]
    twice = {name for name, count in Counter(chosen.values()).items() if count > 1}  # a/../x.jpg, where a is a symbolic link
    return {spelling: place if chosen[place] in twice else chosen[place] for spelling, place in real.items()}


def _question_ids(prefix: str, lines: Sequence[tuple[int, Line]], image_ids: dict[str, str]) -> list[str]:
    """Return the id of each line: the given id, or image and question, with a number if the question is repeated.

    Ids do not depend on the order of the lines or on the format, because they determine the order of the choices.
    """
    ids = [line.question_id or "" for _, line in lines]
    alike: dict[str, list[int]] = defaultdict(list)
    for place, (_, line) in enumerate(lines):
        if not ids[place]:
            alike[f"{image_ids[line.image]}: {fold_answer(line.question)[:_ID_LENGTH]}"].append(place)
    for name, places in alike.items():
        places.sort(key=lambda place: fold_answer(lines[place][1].model_dump_json(exclude={"image"})))
        for number, place in enumerate(places, start=1):
            ids[place] = name if len(places) == 1 else f"{name} #{number}"
    line_of: dict[str, int] = {}
    for (number, _), question_id in zip(lines, ids, strict=True):
        first = line_of.setdefault(question_id, number)
        if first != number:
            raise UserError(f"{prefix}{number}: the question id '{question_id}' comes twice, first at {prefix}{first}")
    return ids


def _question(line: Line, question_id: str, image_id: str) -> Question:
    answers: tuple[str, ...] = ()
    correct = None
    if line.answers is not None:
        answers = tuple(map(_consensus_form, line.answers))
    elif line.answer is not None:
        answers = (fold_own_answer(line.answer),)
        if line.choices is not None:
            correct = list(map(fold_own_answer, line.choices)).index(answers[0])
            answers = (line.choices[correct],)
    return Question(
        question_id=question_id,
        image_id=image_id,
        question=line.question,
        split=line.split,
        human_answers=answers,
        choices=tuple(line.choices or ()),
        correct_choice=correct,
        caption=line.caption,
        history=tuple(Round(turn.question, turn.answer) for turn in line.history),
        round_index=len(line.history) if line.caption or line.history else None,
        question_type=line.question_type,
        answer_type=line.answer_type,
    )


def _consensus_form(answer: str) -> str:
    """Normalise an answer as VQA does, even if all people agree: VQA's own rule then compares without normalising."""
    folded = fold_own_answer(answer)
    return normalise_vqa(folded) or folded
