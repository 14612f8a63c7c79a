"""Your own images and questions: JSON lines, a JSON array or a CSV table (``jsonl_file``), with these keys.

image          path of the image, relative to the file               required
question       text                                                  required
answer         text or number                                        this or `answers`, but for the test split
answers        what several people answered, a list of texts or of VQA's objects; scored by the VQA consensus
choices        candidate answers, a list of texts with the answer among them
question_type  your own kind of question, and
answer_type    your own kind of answer: the figures are broken down by them
question_id    unique text or number                                 by default image and question
caption        a sentence about the image that opens a dialog
history        earlier rounds, a list of {"question": …, "answer": …}
split          train, val (or validation, valid, dev) or test        by default train

true and false are answers too: yes and no, as VQA's people said it.

However its path is spelled, an image is one image: its id is where the file lies, symbolic links followed, relative to the
question file's folder. Answers are compared by ``fold_own_answer``: capitals, the form of Unicode and the marks around an
answer do not count. Under the consensus an answer counts in full when three *other* people gave it: where two people answer and
agree the best that any answer can score is 1/3, where three do 2/3, and 1 from four on.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from vqa_rnn.annotations.jsonl_file import read_records
from vqa_rnn.annotations.jsonl_line import EXAMPLE, Line, check_line
from vqa_rnn.answers import fold_answer, fold_own_answer, normalise_vqa
from vqa_rnn.config import JsonlDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import Annotations, Question, Round, Split

_ID_LENGTH = 80  # characters of a question in its id


def read_jsonl(dataset: JsonlDataset, splits: Sequence[Split]) -> Annotations:
    """Read the user's own questions.

    Args:
        dataset: Where the file lies.
        splits: The splits wanted; questions of others are checked and left out.

    Returns:
        The questions.

    Raises:
        UserError: The file is missing or of another format, or a question is wrong: file, place, key and what is expected.
    """
    path = dataset.path
    prefix, records = read_records(path)
    lines = [(number, check_line(value, f"{prefix}{number}")) for number, value in records]
    if not lines:
        raise UserError(f"{path} holds no questions, such as {EXAMPLE}")
    image_ids = _image_ids(path, {line.image for _, line in lines})
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


def _image_ids(path: Path, spellings: set[str]) -> dict[str, str]:
    """Each spelling's image. Spellings of one file are one image, called by the one without links, or the first.

    An id is relative to the question file's folder and does not look where links lead, as it has to outlast a move of the
    folder. A file outside of it that is spelled absolutely keeps its absolute path.
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
    twice = {name for name, count in Counter(chosen.values()).items() if count > 1}  # a/../x.jpg, where a is a link
    return {spelling: place if chosen[place] in twice else chosen[place] for spelling, place in real.items()}


def _question_ids(prefix: str, lines: Sequence[tuple[int, Line]], image_ids: dict[str, str]) -> list[str]:
    """Ids of the lines: what is given, else image and question, numbered where a question comes again.

    They do not depend on the order of lines or the format, as the order of a question's choices is drawn by its id.
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
    """VQA's normal form, also where all people agree: its own rule then compares letter by letter."""
    folded = fold_own_answer(answer)
    return normalise_vqa(folded) or folded
