"""What crosses a border between stages, in plain Python: questions from the readers, predictions from models.

Ids are strings, unique in a data set. A VQA question is a dialog round with an empty history.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
_BAD_CHARACTER = re.compile("[\x00-\x08\x0e-\x1b\x7f\ud800-\udfff]")


def is_empty(question: str) -> bool:
    """Whether a question asks nothing: blanks and question marks alone.

    Args:
        question: Its text.

    Returns:
        True if it does.
    """
    return not question.strip(" ?")


def bad_character(text: str) -> str | None:
    """Look for what no text should hold: control characters but white space, and halves of characters.

    Args:
        text: Any text.

    Returns:
        What it is and what to do, to stand behind "the question has"; None where there is nothing of the kind.
    """
    found = _BAD_CHARACTER.search(text)
    if found is None:
        return None
    code = ord(found[0])
    if code < 0x80:
        return f"a control character (\\u{code:04x}): leave it out"
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte of the command line that it cannot read
        return f"a byte that is not UTF-8 text (0x{code & 0xFF:02X}): write it as UTF-8"
    return f"half of a character (a lone surrogate, \\u{code:04x}): write the whole character"


@dataclass(frozen=True, slots=True)
class Round:
    """One earlier turn of a dialog."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question about one image.

    Attributes:
        question_id: Unique in the data set.
        image_id: The image asked about.
        question: The text as the source has it.
        split: ``train``, ``val`` or ``test``.
        human_answers: What people answered: one text, or several, which are scored by consensus; empty where withheld.
        choices: Candidate answers in the order of the source, always with the true one; empty for open-ended questions.
        choice_regions: Pointing: rows of the image's regions, in place of ``choices``.
        choice_labels: What the benchmark calls each of ``choice_regions``: box ids.
        correct_choice: 0-based place of the truth among the choices; None where it is withheld or there are no choices.
        relevance: Graded relevance of each of ``choices``, 0 to 1; empty where people did not judge it.
        caption: A sentence about the image that opens the dialog.
        history: The rounds asked and answered before this one.
        dialog_id: Questions with one id share their history; by default a question is a dialog of its own.
        round_index: 0-based place in its dialog; None for a question without a dialog.
        needs_history: Whether it cannot be answered without what came before; None where the source does not say.
        coreference_distance: How many rounds back lies what its words refer to, the caption being the round before the
            first; 0 where they refer to none, None where the source does not say.
        relational: Whether it picks things out by how they stand to others; None where the source does not say.
        question_type: The benchmark's kind of question, or None.
        answer_type: The benchmark's kind of answer, or None.
        phrasing: How the question came to its words, in the benchmark's terms, or None.
        language: Language code of the question, where a benchmark has several; else None.
    """

    question_id: str
    image_id: str
    question: str
    split: Split
    human_answers: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    choice_regions: tuple[int, ...] = ()
    choice_labels: tuple[str, ...] = ()
    correct_choice: int | None = None
    relevance: tuple[float, ...] = ()
    caption: str | None = None
    history: tuple[Round, ...] = ()
    dialog_id: str | None = None
    round_index: int | None = None
    needs_history: bool | None = None
    coreference_distance: int | None = None
    relational: bool | None = None
    question_type: str | None = None
    answer_type: str | None = None
    phrasing: str | None = None
    language: str | None = None

    @property
    def facts(self) -> tuple[str, ...]:
        """The history as texts in order: the caption, then each earlier question with its answer."""
        caption = (self.caption,) if self.caption else ()
        return caption + tuple(f"{turn.question} {turn.answer}" for turn in self.history)


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """The questions of a benchmark and where its images lie.

    Attributes:
        questions: In the order of the source.
        images: Path of every image that a question names, by image id.
        files: The files that the questions were read from; none for a data set that is installed as a package.
        cut_splits: Splits that were cut by image from the training questions: another set of images may cut them elsewhere.
        named_at: Where an image is named first, such as ``FILE:LINE``, by image id, where that is known.
        boxes: Pointing: (n, 4) float32 x1 y1 x2 y2 in pixels of each image's given boxes, by image id. Box i is region
            i + 1 of the image: region 0 is the whole of it.
    """

    questions: tuple[Question, ...]
    images: dict[str, Path] = field(repr=False)
    files: tuple[Path, ...] = field(default=(), repr=False)
    cut_splits: frozenset[Split] = frozenset()
    named_at: Mapping[str, str] = field(default_factory=dict, repr=False)
    boxes: Mapping[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)

    def split(self, name: Split) -> tuple[Question, ...]:
        """The questions of one split, in order.

        Args:
            name: The split.

        Returns:
            Its questions; empty if there are none.
        """
        return tuple(question for question in self.questions if question.split == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model answered.

    Attributes:
        question_id: The question.
        answer: The answer's text.
        probability: What the model gave it, 0 to 1.
        choice: 0-based place of the answer among the question's choices, or None for open-ended answers.
        ranks: (C,) int64, the rank of each choice in the order of the source, 1 is best; None for open-ended answers.
    """

    question_id: str
    answer: str
    probability: float
    choice: int | None = None
    ranks: NDArray[np.int64] | None = field(default=None, compare=False)
