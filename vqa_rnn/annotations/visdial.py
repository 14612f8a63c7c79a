"""Visual Dialog 0.9 and 1.0 (Das et al. 2017, https://arxiv.org/abs/1611.08669): ten rounds of questions about a photograph.

    visdial_1.0_val.json                     {"split", "data": {"questions": [text], "answers": [text], "dialogs": [
                                               {"image_id", "caption", "dialog": [
                                                 {"question", "answer", "answer_options": [100 answers], "gt_index"}, …]}, …]}}
    visdial_1.0_val_dense_annotations.json   [{"image_id", "round_id", "gt_relevance": [100 numbers]}, …]
    train2014/COCO_train2014_000000378466.jpg, val2014/, VisualDialog_val2018/, VisualDialog_test2018/

Questions and answers are indices into the two lists of texts. A round of a generated data set may have ``needs_history`` (true
or false) and ``coreference_distance`` (number of rounds back to what the question refers to, 0 for none). Pitfalls:

- ``gt_index`` counts from 0, ``round_id`` from 1.
- Relevance is called ``gt_relevance`` for validation rounds and ``relevance`` for training rounds.
- Test dialogs end at the asked round. Only this round has ``answer_options``, and its answer is withheld. Earlier rounds are
  history.
- Training images of 1.0 come from both COCO folders.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from vqa_rnn.annotations.json_files import decode_official, read_official
from vqa_rnn.config import VisdialDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import Annotations, Question, Round, Split

WHAT = "VisDial dialogs"
MOST_ROUNDS = 10
OFFICIAL_OPTIONS = 100

_Place = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_ImageId = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Relevance = Annotated[float, msgspec.Meta(ge=0, le=1)]
Dense = Mapping[tuple[int, int], tuple[float, ...]]
"""Relevance of each option, by image and **0-based** round, in the order of the file."""


class DialogRound(msgspec.Struct):
    """One round of a dialog: indices into the lists of texts, and the 0-based position of the true answer among the options."""

    question: _Place
    answer: _Place | None = None
    answer_options: Annotated[list[_Place], msgspec.Meta(min_length=2)] | None = None
    gt_index: _Place | None = None
    needs_history: bool | None = None
    coreference_distance: _Place | None = None


class Dialog(msgspec.Struct):
    """One dialog of a file."""

    image_id: _ImageId
    caption: str
    dialog: Annotated[list[DialogRound], msgspec.Meta(min_length=1, max_length=MOST_ROUNDS)]


class _Data(msgspec.Struct):
    questions: Annotated[list[str], msgspec.Meta(min_length=1)]
    answers: Annotated[list[str], msgspec.Meta(min_length=1)]
    dialogs: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1)]


class DialogFile(msgspec.Struct):
    """A dialog file. Dialogs are decoded one by one, because all training options would be 123 million integer objects."""

    data: _Data
    split: str = ""


class _DenseRecord(msgspec.Struct):
    image_id: _ImageId
    round_id: _Place
    gt_relevance: list[_Relevance] | None = None
    relevance: list[_Relevance] | None = None


class _Ranks(msgspec.Struct):
    image_id: _ImageId
    round_id: _Place
    ranks: list[_Place]


def read_visdial(dataset: VisdialDataset, splits: Sequence[Split]) -> Annotations:
    """Read the official files.

    Args:
        dataset: Options of the data set, with the release.
        splits: The splits to read. If the test file is missing, ``test`` is empty.

    Returns:
        The questions of all asked rounds. Rounds of a dialog share its ``dialog_id``, caption and history.

    Raises:
        UserError: A file is missing or invalid. The message names the file, the record and the key.
    """
    questions: list[Question] = []
    images: dict[str, Path] = {}
    files: list[Path] = []
    for split in splits:
        path = _dialog_path(dataset, split)
        if path is None:
            continue
        file = read_official(path, DialogFile, WHAT)
        dense_path = _dense_path(dataset, split)
        files += [path, dense_path] if dense_path else [path]
        dense = read_dense(dense_path) if dense_path else {}
        num_options: dict[int, Sequence[int]] = {}
        for number, dialog in enumerate(checked_dialogs(file, path, withheld=split == "test")):
            image_id = str(dialog.image_id)
            if image_id in images:
                raise UserError(
                    f"{path}: data.dialogs[{number}].image_id: image {image_id} has a dialog in the file of another split too"
                )
            images[image_id] = _image_path(dataset, split, dialog.image_id)
            if dense_path:
                num_options[dialog.image_id] = count_options(dialog)
            questions += _questions(dialog, file.data, split, dense)
        if dense_path:
            check_dense(dense, num_options, dense_path)
    return Annotations(questions=tuple(questions), images=images, files=tuple(files))


def checked_dialogs(file: DialogFile, path: Path, *, withheld: bool) -> Iterator[Dialog]:
    """Decode and check the dialogs of a file one by one.

    Args:
        file: The dialog file.
        path: Path of the file, for the error message.
        withheld: Whether rounds before the last may have no options, and the answer of the last may be withheld, as in the
            test file.

    Yields:
        The dialogs. Every index exists, the option at ``gt_index`` is the answer, the options of a round are distinct, all
        asked rounds have the same number of options, and each image has one dialog.

    Raises:
        UserError: A dialog is invalid. The message names the file, the record and the key.
    """
    seen: dict[int, int] = {}
    num_options = 0  # of each asked round
    for number, raw in enumerate(file.data.dialogs):
        record = f"data.dialogs[{number}]"
        dialog = decode_official(raw, Dialog, f"{WHAT} {path}", inside=record)
        if dialog.image_id in seen:
            first = seen[dialog.image_id]
            raise UserError(f"{path}: {record}.image_id: image {dialog.image_id} comes twice (first in data.dialogs[{first}])")
        seen[dialog.image_id] = number
        for i, turn in enumerate(dialog.dialog):
            num_options = num_options or len(turn.answer_options or ())
            fault = _missing_key(turn, withheld, last=i == len(dialog.dialog) - 1) or _fault(turn, file.data, num_options)
            if fault:
                raise UserError(f"{path}: {record}.dialog[{i}]{fault}")
        yield dialog


def _missing_key(turn: DialogRound, withheld: bool, *, last: bool) -> str | None:
    if turn.answer_options is None:
        if last or not withheld:
            return ": the key 'answer_options' is missing" + ("; the last round is asked" if withheld else "")
        return ": the key 'answer' is missing; only the last round's may be withheld" if turn.answer is None else None
    missing = [key for key in ("answer", "gt_index") if getattr(turn, key) is None]
    if not missing or (withheld and last and len(missing) == 2):
        return None
    return f": the key '{missing[0]}' is missing" + ("; only in the last round both may be withheld" if withheld else "")


def _fault(turn: DialogRound, data: _Data, num_options: int) -> str | None:
    """Return what is wrong with the indices of a round, or None."""
    if turn.question >= len(data.questions):
        return f".question: {turn.question}, but there are {len(data.questions)} questions, counted from 0"
    answers = f"but there are {len(data.answers)} answers, counted from 0"
    if turn.answer is not None and turn.answer >= len(data.answers):
        return f".answer: {turn.answer}, {answers}"
    options = turn.answer_options
    if options is None:
        return None
    if max(options) >= len(data.answers):
        place = next(i for i, option in enumerate(options) if option >= len(data.answers))
        return f".answer_options[{place}]: {options[place]}, {answers}"
    if len(options) != num_options:
        return (
            f".answer_options: {len(options)} options, but the first round of the file has {num_options} "
            f"(official files have {OFFICIAL_OPTIONS} in every round)"
        )
    if len(set(options)) < len(options):
        place = next(i for i, option in enumerate(options) if option in options[:i])
        first = options.index(options[place])
        return f".answer_options[{place}]: answer {options[place]} is an option already, answer_options[{first}]"
    if turn.gt_index is None:
        return None
    if turn.gt_index >= len(options):
        return f".gt_index: {turn.gt_index}, but there are {len(options)} answer_options, counted from 0"
    truth = options[turn.gt_index]
    if turn.answer is not None and truth != turn.answer and data.answers[truth] != data.answers[turn.answer]:
        return f".gt_index: {turn.gt_index}, but that option is answer {truth}, and the answer is {turn.answer}"
    return None


def count_options(dialog: Dialog) -> list[int]:
    """Return the number of options of each round.

    Args:
        dialog: A dialog.

    Returns:
        One number per round, 0 for a round that is not asked.
    """
    return [len(turn.answer_options or ()) for turn in dialog.dialog]


def _questions(dialog: Dialog, data: _Data, split: Split, dense: Dense) -> Iterator[Question]:
    image_id = str(dialog.image_id)
    rounds: list[Round] = []
    for i, turn in enumerate(dialog.dialog):
        text = data.questions[turn.question]
        answer = None if turn.answer is None else data.answers[turn.answer]
        if turn.answer_options is not None:
            yield Question(
                question_id=f"{image_id}-{i}",
                image_id=image_id,
                question=text,
                split=split,
                human_answers=() if answer is None else (answer,),
                choices=tuple(map(data.answers.__getitem__, turn.answer_options)),
                correct_choice=turn.gt_index,
                relevance=dense.get((dialog.image_id, i), ()),
                caption=dialog.caption,
                history=tuple(rounds),
                dialog_id=image_id,
                round_index=i,
                needs_history=turn.needs_history,
                coreference_distance=turn.coreference_distance,
            )
        if answer is not None:  # only that of the last round may be withheld
            rounds.append(Round(text, answer))


def read_dense(path: Path) -> Dense:
    """Read graded relevance.

    Args:
        path: Path of the file, for validation or training rounds.

    Returns:
        Relevance of each option, by image and 0-based round. ``check_dense`` checks it against the dialogs.

    Raises:
        UserError: The file is missing or invalid, or has a round twice. The message names the file, the record and the key.
    """
    records = read_official(path, list[_DenseRecord], "VisDial dense annotations")
    if not records:
        raise UserError(f"{path} is empty: a list of records with image_id, round_id and gt_relevance is needed")
    dense: dict[tuple[int, int], tuple[float, ...]] = {}
    for number, record in enumerate(records):
        relevance = record.relevance if record.gt_relevance is None else record.gt_relevance
        if relevance is None:
            raise UserError(f"{path}: [{number}]: the key 'gt_relevance' (of training rounds: 'relevance') is missing")
        if record.round_id == 0:
            raise UserError(f"{path}: [{number}].round_id: 0, but rounds are counted from 1 here")
        key = (record.image_id, record.round_id - 1)
        if key in dense:
            raise UserError(f"{path}: [{number}]: round {record.round_id} of image {record.image_id} comes twice")
        dense[key] = tuple(relevance)
    return dense


def check_dense(dense: Dense, num_options: Mapping[int, Sequence[int]], path: Path) -> None:
    """Check graded relevance against the dialogs.

    Args:
        dense: Relevance of all rounds of a file.
        num_options: Number of options of each round by image, 0 for a round that is not asked.
        path: Path of the file, for the error message.

    Raises:
        UserError: An image is unknown, a round does not exist or is not asked, or the number of relevances differs from that of
            the options.
    """
    for number, ((image_id, round_index), relevance) in enumerate(dense.items()):
        rounds = num_options.get(image_id)
        if rounds is None:
            raise UserError(f"{path}: [{number}].image_id: there is no dialog about image {image_id}")
        if round_index >= len(rounds):
            raise UserError(
                f"{path}: [{number}].round_id: {round_index + 1}, but the dialog about image {image_id} has {len(rounds)} "
                f"round{'s' if len(rounds) > 1 else ''}, counted from 1"
            )
        if not rounds[round_index]:
            raise UserError(f"{path}: [{number}].round_id: {round_index + 1}, a round of image {image_id} that is not asked")
        if len(relevance) != rounds[round_index]:
            raise UserError(
                f"{path}: [{number}].gt_relevance: {len(relevance)} numbers for the {rounds[round_index]} answer options "
                f"of round {round_index + 1} of image {image_id}"
            )


def read_ranks(path: Path) -> tuple[list[tuple[int, int]], list[list[int]]]:
    """Read a submission.

    Args:
        path: Path of a file with a list of ``{"image_id", "round_id", "ranks"}``.

    Returns:
        The image and 1-based round of each record, and the ranks of the options of each record.

    Raises:
        UserError: The file is missing or invalid. The message names the file, the record and the key.
    """
    records = read_official(path, list[_Ranks], "VisDial ranks")
    return [(record.image_id, record.round_id) for record in records], [record.ranks for record in records]


def _dialog_path(dataset: VisdialDataset, split: Split) -> Path | None:
    """Return the dialog file of a split; None if the release has none or the test file is missing."""
    named = {"train": dataset.train_file, "val": dataset.val_file, "test": dataset.test_file}[split]
    if split == "test" and dataset.version == "0.9":
        if named:
            raise UserError(f"dataset.test_file={named}: VisDial 0.9 has no test split; leave it out")
        return None
    path = dataset.root / (named or f"visdial_{dataset.version}_{split}.json")
    if not path.is_file():
        if split == "test" and not named:
            return None
        official = "visdial" if dataset.version == "1.0" else f"visdial{dataset.version}"
        raise UserError(
            f"no {WHAT} at {path}: put the {split} file there (vqa-rnn datasets download {official}), or set dataset.root "
            f"or dataset.{split}_file"
        )
    return path


def _dense_path(dataset: VisdialDataset, split: Split) -> Path | None:
    """Return the file with the graded relevance of a split; None if there is none."""
    named = {"train": dataset.train_dense_file, "val": dataset.val_dense_file, "test": dataset.test_dense_file}[split]
    if named:
        if dataset.version == "0.9":
            raise UserError(f"dataset.{split}_dense_file={named}: VisDial 0.9 has no graded relevance; leave it out")
        return dataset.root / named
    path = dataset.root / f"visdial_1.0_{split}_dense_annotations.json"
    return path if split != "train" and dataset.version == "1.0" and path.is_file() else None


def _image_path(dataset: VisdialDataset, split: Split, image_id: int) -> Path:
    def coco(folder: str) -> Path:
        return dataset.root / folder / f"COCO_{folder}_{image_id:012d}.jpg"

    if dataset.version == "0.9":
        return coco(f"{split}2014")
    if split == "train":
        other = coco("val2014")
        return other if not coco("train2014").is_file() and other.is_file() else coco("train2014")
    folder = f"VisualDialog_{split}2018"
    return dataset.root / folder / f"{folder}_{image_id:012d}.jpg"
