"""Plain Python records that stages exchange: questions from the readers, predictions from models.

Ids are strings, unique in a data set. A VQA question is a dialog round with an empty history.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CAPTION_PROMPT = "describe the image"
"""The question whose answers are captions: to describe an image is to answer it."""

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
_BAD_CHARACTER = re.compile("[\x00-\x08\x0e-\x1b\x7f\ud800-\udfff]")


def is_empty(question: str) -> bool:
    """Check whether a question consists only of spaces and question marks.

    Args:
        question: The text of the question.

    Returns:
        True if it does.
    """
    return not question.strip(" ?")


def bad_character(text: str) -> str | None:
    """Find a character that no text should have: an ASCII control character other than white space, or a lone surrogate.

    Args:
        text: Any text.

    Returns:
        What it is and what to do, worded to follow "the question has"; None if there is no such character.
    """
    found = _BAD_CHARACTER.search(text)
    if found is None:
        return None
    code = ord(found[0])
    if code < 0x80:
        return f"a control character (\\u{code:04x}): leave it out"
    if 0xDC80 <= code <= 0xDCFF:  # how Python represents an undecodable byte of the command line
        return f"a byte that is not UTF-8 text (0x{code & 0xFF:02X}): write it as UTF-8"
    return f"half of a character (a lone surrogate, \\u{code:04x}): write the whole character"


@dataclass(frozen=True, slots=True)
class Round:
    """One earlier round of a dialog."""

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
        human_answers: One text, or several, which are scored by consensus; empty if the answers are withheld.
        choices: Candidate answers in the order of the source, always including the true one; empty for open-ended questions.
        choice_regions: For pointing: rows among the image's regions, instead of ``choices``.
        choice_labels: The benchmark's names of ``choice_regions``: box ids.
        correct_choice: 0-based index of the true answer among the choices; None if it is withheld or there are no choices.
        relevance: Graded relevance of each of ``choices``, 0 to 1; empty if it was not judged.
        caption: A sentence about the image that opens the dialog.
        history: The rounds before this one.
        dialog_id: Questions with the same id share their history; by default, each question is its own dialog.
        round_index: 0-based index in its dialog; None for a question without a dialog.
        needs_history: Whether the question can only be answered with its history; None if the source does not say.
        coreference_distance: How many rounds back the referent of its words is, where the caption counts as the round before
            the first; 0 if they refer to no earlier round, None if the source does not say.
        relational: Whether the question identifies things by their relation to others; None if the source does not say.
        question_type: The benchmark's type of question, or None.
        answer_type: The benchmark's type of answer, or None.
        phrasing: How the question was worded, in the benchmark's terms, or None.
        language: Language code of the question if the benchmark has several languages; else None.
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
    """The questions of a benchmark and the paths of its images.

    Attributes:
        questions: In the order of the source.
        images: Path of each image that a question is about, by image id.
        files: The files that the questions were read from; empty for a data set that is installed as a package.
        cut_splits: Splits that were cut from the training questions by image: with other images, they may have other questions.
        named_at: Where each image is first mentioned, such as ``FILE:LINE``, by image id; without images where it is unknown.
        boxes: For pointing: (n, 4) float32 x1 y1 x2 y2 in pixels, the given boxes of each image, by image id. Box i is region
            i + 1 of the image; region 0 is the whole image.
    """

    questions: tuple[Question, ...]
    images: dict[str, Path] = field(repr=False)
    files: tuple[Path, ...] = field(default=(), repr=False)
    cut_splits: frozenset[Split] = frozenset()
    named_at: Mapping[str, str] = field(default_factory=dict, repr=False)
    boxes: Mapping[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)

    def split(self, name: Split) -> tuple[Question, ...]:
        """Return the questions of one split, in order.

        Args:
            name: The split.

        Returns:
            Its questions; empty if there are none.
        """
        return tuple(question for question in self.questions if question.split == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A model's answer to a question.

    Attributes:
        question_id: The question.
        answer: The text of the answer.
        probability: The model's probability of the answer, 0 to 1.
        choice: 0-based index of the answer among the question's choices; None for open-ended answers.
        ranks: (C,) int64, the rank of each choice in the order of the source, 1 is best; None for open-ended answers.
    """

    question_id: str
    answer: str
    probability: float
    choice: int | None = None
    ranks: NDArray[np.int64] | None = field(default=None, compare=False)
