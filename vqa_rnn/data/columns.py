"""Questions as integer columns over one table of distinct texts.

A large benchmark is columns, not Python objects: what a batch needs is gathered by index.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

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
    def of(cls, rows: Iterable[Collection[float]], dtype: str) -> "Ragged":
        """Join rows.

        Args:
            rows: The rows.
            dtype: Of their elements.

        Returns:
            The ragged array.
        """
        rows = list(rows)
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        values = np.fromiter(chain.from_iterable(rows), dtype=dtype, count=int(lengths.sum()))
        return cls.from_lengths(values, lengths)

    @classmethod
    def from_lengths(cls, values: NDArray[Any], lengths: Ints) -> "Ragged":
        """Cut what lies end to end.

        Args:
            values: The rows' elements.
            lengths: (rows,) how many belong to each row.

        Returns:
            The ragged array, over the same memory.
        """
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return cls(values, offsets)

    @classmethod
    def join(cls, parts: Sequence["Ragged"], dtype: str) -> "Ragged":
        """Put ragged arrays one after the other.

        Args:
            parts: The arrays; there may be none.
            dtype: Of their elements.

        Returns:
            All rows of the first, then those of the second, and so on.
        """
        values = np.concatenate([np.empty(0, dtype=dtype), *(part.values for part in parts)])
        return cls.from_lengths(values, np.concatenate([np.empty(0, dtype=np.int64), *(np.diff(p.offsets) for p in parts)]))

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
            (n, longest of these rows); int64 where ``values`` are integers, else their dtype.
        """
        dtype = np.int64 if self.values.dtype.kind == "i" else self.values.dtype
        if self.values.size == 0 or len(rows) == 0:  # fields that a data set does not have cost nothing
            return np.empty((len(rows), 0), dtype=dtype)
        lengths = self.lengths(rows)
        columns = np.arange(lengths.max(initial=0))
        exists = columns < lengths[:, None]
        padded = np.full(exists.shape, fill, dtype=dtype)
        padded[exists] = self.values[(self.offsets[rows][:, None] + columns)[exists]]
        return padded


class Texts(Sequence[str]):
    """Texts as one run of UTF-8 bytes, decoded when asked for: ids of millions of questions need no Python objects."""

    def __init__(self, content: Ragged) -> None:
        """Hold texts.

        Args:
            content: uint8 rows.
        """
        self.content = content

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Texts":
        """Pack texts.

        Args:
            texts: The texts.

        Returns:
            The same, packed.
        """
        encoded = [text.encode() for text in texts]
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        return cls(Ragged.from_lengths(np.frombuffer(b"".join(encoded), dtype=np.uint8), lengths))

    def __len__(self) -> int:
        return len(self.content.offsets) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        start, end = self.content.offsets[place : place + 2]
        return bytes(self.content.values[start:end]).decode()

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedQuestions:
    """Questions of one split, ready to be gathered.

    Attributes:
        question_ids: (N,) ids.
        image_ids: The distinct images.
        image: (N,) index into ``image_ids``.
        tokens: Token ids of each distinct text.
        round_question: (texts,) how many tokens of each distinct text are the question of an earlier round, 0 for other texts.
        text_class: (texts,) the class that stands for each distinct text, -1 where none does.
        question: (N,) the question's text.
        dialog: (N,) the question's dialog.
        dialog_facts: Texts of each dialog's facts in order.
        history_length: (N,) how many of them came before.
        choices: Texts of each question's choices, in the order of ``choice_order``.
        choice_regions: Regions of each question's choices, in that order.
        relevance: float32, graded relevance of each question's choices, in that order; empty where it was not judged.
        correct_choice: (N,) in that order, -1 where unknown.
        answer: (N,) the text of the true answer, -1 where it is not known or not asked for.
        answer_ids: Classes that score.
        answer_scores: Their scores.
    """

    question_ids: Texts
    image_ids: Texts
    image: Ints
    tokens: Ragged
    round_question: Ints
    text_class: Ints
    question: Ints
    dialog: Ints
    dialog_facts: Ragged
    history_length: Ints
    choices: Ragged
    choice_regions: Ragged
    relevance: Ragged
    correct_choice: Ints
    answer: Ints
    answer_ids: Ragged
    answer_scores: Ragged

    def __len__(self) -> int:
        return len(self.question_ids)

    @property
    def num_choices(self) -> int:
        """The most choices, among texts or regions, that a question has; 0 where none has any."""
        rows = np.arange(len(self))
        return int(max(self.choices.lengths(rows).max(initial=0), self.choice_regions.lengths(rows).max(initial=0)))

    def choice_classes(self, rows: Ints) -> Ints:
        """What a classifier takes the choices among texts for.

        Args:
            rows: (n,) which questions.

        Returns:
            (n, C) classes, -1 where there is no such choice or no class stands for it.
        """
        texts = self.choices.padded(rows, -1)
        return np.where(texts < 0, -1, self.text_class[texts])

    def without_choices(self) -> "EncodedQuestions":
        """The same questions as if they had no choices among texts: nothing of them goes into a batch.

        Returns:
            The columns.
        """
        nothing = [()] * len(self)
        return replace(self, choices=Ragged.of(nothing, "int32"), relevance=Ragged.of(nothing, "float32"))
