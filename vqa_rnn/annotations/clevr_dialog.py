"""CLEVR-Dialog (Kottur et al. 2019, https://arxiv.org/abs/1903.03166): dialogs of ten rounds about CLEVR's images.

    clevr_dialog_SPLIT_raw.json   [{"image_index", "image_filename", "dialogs": [
                                    {"caption", "dialog": [{"question", "answer", "template"}, …],
                                     "graph": {"history": [{"dependence"}, …]}}, …]}, …]
    images/SPLIT/CLEVR_SPLIT_000000.png

Ids contain the split and 0-based indices: dialog ``val/17-4`` is the fifth about image 17, question ``val/17-4-0`` its first.

Test dialogs end at the asked round. Its answer is withheld, earlier rounds are history, and there is no ``graph``.

**Co-reference** is annotated by the authors. ``graph.history`` has an entry for the caption and then one per round. The
``dependence`` of a round is the 0-based round that it depends on, -1 for the caption, or null. For "it", "them" or "And
colour?" (templates that end in ``-imm``, ``-imm2``, ``-group``) this is the previous round. For "the earlier red thing"
(``-early``) it is the last round that mentioned that this thing is red; a later round about the thing that did not mention it
does not count. Therefore:

- ``coreference_distance`` is ``round_index`` - ``dependence``: 1 for the previous round, ``round_index`` + 1 for the caption,
  0 for null.
- ``needs_history`` is true if ``dependence`` is not null, and for ``count-other`` and ``exist-other`` ("Are there other
  things?"). These ask about everything that was not mentioned, so they need the whole history and have distance 0.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from vqa_rnn.annotations.json_files import decode_official, read_official
from vqa_rnn.config import ClevrDialogDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import Annotations, Question, Round, Split, is_empty

WHAT = "CLEVR dialogs"
_ABOUT_THE_REST = {"count-other", "exist-other"}
_ANSWER_TYPES = {"count": "number", "exist": "yes/no", "seek": "attribute"}
# Suffixes of a template for the kind of reference; the rest of the name is the question type.
_REFERENCES = ("-imm", "-imm2", "-early")


class _Turn(msgspec.Struct, gc=False):
    question: str
    answer: str | int | None = None
    template: str | None = None


class _Step(msgspec.Struct, gc=False):
    dependence: int | msgspec.UnsetType | None = msgspec.UNSET


class _Graph(msgspec.Struct, gc=False):
    history: list[_Step]


class _Dialog(msgspec.Struct, gc=False):
    caption: str
    dialog: Annotated[list[_Turn], msgspec.Meta(min_length=1)]
    graph: _Graph | None = None


class _Image(msgspec.Struct, gc=False):
    image_index: Annotated[int, msgspec.Meta(ge=0)]
    image_filename: str
    dialogs: Annotated[list[_Dialog], msgspec.Meta(min_length=1)]


def read_clevr_dialog(dataset: ClevrDialogDataset, splits: Sequence[Split]) -> Annotations:
    """Read the official files.

    Args:
        dataset: Options of the data set.
        splits: The splits to read. If the test file is missing, ``test`` is empty.

    Returns:
        The questions of all asked rounds. Rounds of a dialog share its ``dialog_id``, caption and history. If the file has
        templates, ``question_type`` is for example ``seek-attr``, ``count-obj-rel`` or ``exist-other``, and ``answer_type`` is
        ``attribute``, ``number`` or ``yes/no``.

    Raises:
        UserError: A file is missing or invalid. The message names the file, the record and the key.
    """
    questions: list[Question] = []
    images: dict[str, Path] = {}
    files: list[Path] = []
    for split in splits:
        path = dataset.root / dataset.dialogs.replace("{split}", split)
        if split == "test" and not path.is_file():
            continue
        if not path.is_file():
            raise UserError(f"no {WHAT} at {path}: put the {split} file there, or set dataset.root or dataset.dialogs")
        files.append(path)
        folder = dataset.root / dataset.images.replace("{split}", split)
        for image in _checked_images(path, withheld=split == "test"):
            image_id = f"{split}/{image.image_filename}"
            images[image_id] = folder / image.image_filename
            for dialog_index, dialog in enumerate(image.dialogs):
                questions += _questions(dialog, f"{split}/{image.image_index}-{dialog_index}", image_id, split)
    return Annotations(questions=tuple(questions), images=images, files=tuple(files))


def _checked_images(path: Path, *, withheld: bool) -> Iterator[_Image]:
    """Decode and check a file image by image, because it is large and most of it, the graphs, is not kept."""
    raws = read_official(path, list[msgspec.Raw], WHAT)
    if not raws:
        raise UserError(f"{path} is empty: a list of images with image_index, image_filename and dialogs is needed")
    seen: set[int] = set()
    for number, raw in enumerate(raws):
        record = f"[{number}]"
        image = decode_official(raw, _Image, f"{WHAT} {path}", inside=record)
        if image.image_index in seen:
            raise UserError(f"{path}: {record}.image_index: {image.image_index} comes twice")
        seen.add(image.image_index)
        for dialog_index, dialog in enumerate(image.dialogs):
            fault = _fault(dialog, withheld)
            if fault:
                raise UserError(f"{path}: {record}.dialogs[{dialog_index}].{fault}")
        yield image


def _fault(dialog: _Dialog, withheld: bool) -> str | None:
    """Return what is wrong with a dialog, or None."""
    last = len(dialog.dialog) - 1
    for i, turn in enumerate(dialog.dialog):
        if is_empty(turn.question):
            return f"dialog[{i}].question is empty"
        if turn.answer is None and not (withheld and i == last):
            return f"dialog[{i}]: the key 'answer' is missing; only the last round of a test dialog is without"
    if dialog.graph is None:
        return None
    steps = dialog.graph.history
    if len(steps) != len(dialog.dialog) + 1:
        return f"graph.history: {len(steps)} entries; the caption and {len(dialog.dialog)} rounds need one each"
    for i, step in enumerate(steps[1:]):
        if isinstance(step.dependence, int) and not -1 <= step.dependence < i:
            said = f"graph.history[{i + 1}].dependence: {step.dependence}"
            return f"{said}, but round {i} depends on an earlier one, counted from 0, or on -1, the caption"
    return None


def _questions(dialog: _Dialog, dialog_id: str, image_id: str, split: Split) -> Iterator[Question]:
    """Yield the asked rounds: all rounds, or only the last if its answer is withheld."""
    first_asked = len(dialog.dialog) - 1 if dialog.dialog[-1].answer is None else 0
    rounds: list[Round] = []
    for i, turn in enumerate(dialog.dialog):
        answer = None if turn.answer is None else str(turn.answer)
        if i >= first_asked:
            needs_history, distance = _coreference(dialog, i)
            yield Question(
                question_id=f"{dialog_id}-{i}",
                image_id=image_id,
                question=turn.question,
                split=split,
                human_answers=() if answer is None else (answer,),
                caption=dialog.caption,
                history=tuple(rounds),
                dialog_id=dialog_id,
                round_index=i,
                needs_history=needs_history,
                coreference_distance=distance,
                question_type=_question_type(turn.template),
                answer_type=_ANSWER_TYPES.get((turn.template or "").partition("-")[0]),
            )
        if answer is not None:
            rounds.append(Round(turn.question, answer))


def _coreference(dialog: _Dialog, round_index: int) -> tuple[bool | None, int | None]:
    """Return ``needs_history`` and ``coreference_distance`` of a round; None if the file does not have them."""
    dependence = msgspec.UNSET if dialog.graph is None else dialog.graph.history[round_index + 1].dependence
    if dependence is msgspec.UNSET:
        return None, None
    if dependence is None:
        return dialog.dialog[round_index].template in _ABOUT_THE_REST, 0
    return True, round_index - dependence


def _question_type(template: str | None) -> str | None:
    """Return a template without the suffix for the kind of reference: ``seek-attr-rel`` for ``seek-attr-rel-early``."""
    if not template:
        return None
    reference = next((ending for ending in _REFERENCES if template.endswith(ending)), "")
    return template.removesuffix(reference)
