"""Questions as integer columns over one table of distinct texts, each tokenised once.

A large benchmark is columns, not Python objects: what a batch needs is gathered by index.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.errors import UserError
from vqa_rnn.records import Question, is_empty
from vqa_rnn.text import WordTokenizer

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ragged:
    """Rows of different lengths, end to end.

    Attributes:
        values: (sum of lengths,) the rows' elements.
        offsets: (rows + 1,) int64, where each row begins.
    """

    values: NDArray[Any]
    offsets: Ints

    @classmethod
    def of(cls, rows: Iterable[Sequence[float]], dtype: str) -> "Ragged":
        """Join rows.

        Args:
            rows: The rows.
            dtype: Of their elements.

        Returns:
            The ragged array.
        """
        rows = list(rows)
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return cls(np.array([value for row in rows for value in row], dtype=dtype), offsets)

    def lengths(self, rows: Ints) -> Ints:
        """Length of each row.

        Args:
            rows: (n,) which rows.

        Returns:
            (n,) int64.
        """
        return self.offsets[rows + 1] - self.offsets[rows]

    def padded(self, rows: Ints, fill: float) -> NDArray[Any]:
        """Rows as a rectangle.

        Args:
            rows: (n,) which rows.
            fill: Stands where a row has ended.

        Returns:
            (n, longest of these rows) in the dtype of ``values``.
        """
        lengths = self.lengths(rows)
        columns = np.arange(lengths.max(initial=0))
        exists = columns < lengths[:, None]
        padded = np.full(exists.shape, fill, dtype=self.values.dtype)
        padded[exists] = self.values[(self.offsets[rows][:, None] + columns)[exists]]
        return padded


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedQuestions:
    """Questions of one split, ready to be gathered.

    Attributes:
        question_ids: (N,) ids.
        image_ids: The distinct images.
        image: (N,) int64, index into ``image_ids``.
        tokens: Token ids of each distinct text.
        question: (N,) int64, the question's text.
        dialog: (N,) int64, the question's dialog.
        dialog_facts: Texts of each dialog's facts in order.
        history_length: (N,) int64, how many of them came before.
        choices: Texts of each question's choices, in the order of ``choice_order``.
        choice_regions: Regions of each question's choices, in that order.
        correct_choice: (N,) int64 in that order, -1 where unknown.
        answer_ids: Classes that score.
        answer_scores: Their scores.
    """

    question_ids: tuple[str, ...]
    image_ids: tuple[str, ...]
    image: Ints
    tokens: Ragged
    question: Ints
    dialog: Ints
    dialog_facts: Ragged
    history_length: Ints
    choices: Ragged
    choice_regions: Ragged
    correct_choice: Ints
    answer_ids: Ragged
    answer_scores: Ragged

    def __len__(self) -> int:
        return len(self.question_ids)


def choice_order(question_id: str, num_choices: int) -> list[int]:
    """The order in which a question's choices are scored: fixed by a hash of its id, so that no tie favours the truth.

    Args:
        question_id: The question.
        num_choices: C.

    Returns:
        For each place, which choice of the source stands there.
    """
    return sorted(range(num_choices), key=lambda i: xxhash.xxh64_intdigest(f"{question_id}/{i}".encode()))


def encode_questions(questions: Sequence[Question], tokenizer: WordTokenizer, answers: AnswerVocabulary) -> EncodedQuestions:
    """Turn questions into columns.

    Args:
        questions: The questions.
        tokenizer: For all texts.
        answers: The classes that targets refer to; may be empty.

    Returns:
        The columns, in the order of ``questions``.

    Raises:
        UserError: A question is empty, or has fewer than two choices.
    """
    text_ids: dict[str, int] = {}
    images: dict[str, int] = {}
    dialogs: dict[str, int] = {}
    facts: list[list[int]] = []
    question_text, image, dialog, history_length, correct = [], [], [], [], []
    choices, choice_regions, targets = [], [], []

    def text_id(text: str) -> int:
        return text_ids.setdefault(text, len(text_ids))

    for q in questions:
        if is_empty(q.question):
            raise UserError(f"question {q.question_id}: the question is empty")
        num_choices = len(q.choices) or len(q.choice_regions)
        if num_choices == 1:
            raise UserError(f"question {q.question_id}: one choice; at least two are needed")
        question_text.append(text_id(q.question))
        image.append(images.setdefault(q.image_id, len(images)))
        row = dialogs.setdefault(q.dialog_id or q.question_id, len(dialogs))
        dialog.append(row)
        if row == len(facts):
            facts.append([])
        fact_ids = [text_id(fact) for fact in q.facts]
        facts[row] = max(facts[row], fact_ids, key=len)  # rounds of one dialog share the longest history
        history_length.append(len(fact_ids))
        order = choice_order(q.question_id, num_choices)
        choices.append([text_id(q.choices[i]) for i in order] if q.choices else [])
        choice_regions.append([q.choice_regions[i] for i in order] if q.choice_regions else [])
        correct.append(-1 if q.correct_choice is None else order.index(q.correct_choice))
        targets.append(answers.targets(q.human_answers))
    return EncodedQuestions(
        question_ids=tuple(q.question_id for q in questions),
        image_ids=tuple(images),
        image=np.array(image, dtype=np.int64),
        tokens=Ragged.of(tokenizer.encode(list(text_ids)), "int64"),
        question=np.array(question_text, dtype=np.int64),
        dialog=np.array(dialog, dtype=np.int64),
        dialog_facts=Ragged.of(facts, "int64"),
        history_length=np.array(history_length, dtype=np.int64),
        choices=Ragged.of(choices, "int64"),
        choice_regions=Ragged.of(choice_regions, "int64"),
        correct_choice=np.array(correct, dtype=np.int64),
        answer_ids=Ragged.of([list(target) for target in targets], "int64"),
        answer_scores=Ragged.of([list(target.values()) for target in targets], "float32"),
    )
