"""Questions as integer columns over one table of distinct texts.

A large benchmark is stored as arrays instead of Python objects. Batches are gathered from them by index.
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
    """Rows of different lengths, stored end to end.

    Attributes:
        values: (sum of lengths,) elements of all rows.
        offsets: (rows + 1,) int64, start of each row, and the end of the last row.
    """

    values: NDArray[Any]
    offsets: Ints

    @classmethod
    def of(cls, rows: Iterable[Collection[float]], dtype: str) -> "Ragged":
        """Concatenate rows.

        Args:
            rows: The rows.
            dtype: Dtype of the elements.

        Returns:
            The ragged array.
        """
        rows = list(rows)
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        values = np.fromiter(chain.from_iterable(rows), dtype=dtype, count=int(lengths.sum()))
        return cls.from_lengths(values, lengths)

    @classmethod
    def from_lengths(cls, values: NDArray[Any], lengths: Ints) -> "Ragged":
        """Build a ragged array from concatenated rows.

        Args:
            values: Elements of all rows.
            lengths: (rows,) length of each row.

        Returns:
            The ragged array, which shares the memory of ``values``.
        """
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return cls(values, offsets)

    @classmethod
    def join(cls, parts: Sequence["Ragged"], dtype: str) -> "Ragged":
        """Concatenate ragged arrays.

        Args:
            parts: The arrays; may be empty.
            dtype: Dtype of the elements.

        Returns:
            The rows of all parts, in order.
        """
        values = np.concatenate([np.empty(0, dtype=dtype), *(part.values for part in parts)])
        return cls.from_lengths(values, np.concatenate([np.empty(0, dtype=np.int64), *(np.diff(p.offsets) for p in parts)]))

    def lengths(self, rows: Ints) -> Ints:
        """Return the lengths of rows.

        Args:
            rows: (n,) row indices.

        Returns:
            (n,) int64 lengths.
        """
        return self.offsets[rows + 1] - self.offsets[rows]

    def padded(self, rows: Ints, fill: float) -> NDArray[Any]:
        """Return rows as a padded two-dimensional array.

        Args:
            rows: (n,) row indices.
            fill: Padding value.

        Returns:
            (n, length of the longest of these rows) array; int64 if ``values`` are signed integers, otherwise their dtype.
        """
        dtype = np.int64 if self.values.dtype.kind == "i" else self.values.dtype
        if self.values.size == 0 or len(rows) == 0:  # fast path for fields that the data set does not have
            return np.empty((len(rows), 0), dtype=dtype)
        lengths = self.lengths(rows)
        columns = np.arange(lengths.max(initial=0))
        exists = columns < lengths[:, None]
        padded = np.full(exists.shape, fill, dtype=dtype)
        padded[exists] = self.values[(self.offsets[rows][:, None] + columns)[exists]]
        return padded


class Texts(Sequence[str]):
    """Sequence of texts stored as one array of UTF-8 bytes and decoded on access.

    The ids of millions of questions then need no Python objects.
    """

    def __init__(self, content: Ragged) -> None:
        """Wrap packed texts.

        Args:
            content: uint8 rows, one per text.
        """
        self.content = content

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Texts":
        """Pack texts.

        Args:
            texts: The texts.

        Returns:
            The packed texts.
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
    """Encoded questions of one split, from which batches are gathered.

    Attributes:
        question_ids: (N,) question ids.
        image_ids: Ids of the distinct images.
        image: (N,) index into ``image_ids``.
        tokens: Token ids of each distinct text.
        round_question: (texts,) number of tokens of a text that are the question of an earlier round; 0 for other texts.
        text_class: (texts,) answer class of each distinct text, -1 if there is none.
        question: (N,) text index of the question.
        dialog: (N,) index into ``dialog_facts``.
        dialog_facts: Text indices of the facts of each dialog, in order.
        history_length: (N,) number of these facts that precede the question.
        choices: Text indices of the choices of each question, in the order of ``choice_order``.
        choice_regions: Region indices of the choices of each question, in the same order.
        relevance: float32, graded relevance of the choices of each question, in the same order; empty if it was not judged.
        correct_choice: (N,) position of the true choice in the same order, -1 if unknown.
        answer: (N,) text index of the true answer, -1 if it is unknown or was not requested.
        references: Text indices of the human answers about each of ``image_ids``; empty if they were not requested.
        answer_ids: Answer classes of each question with a score above 0.
        answer_scores: float32, the scores of these classes.
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
    references: Ragged
    answer_ids: Ragged
    answer_scores: Ragged

    def __len__(self) -> int:
        return len(self.question_ids)

    @property
    def num_choices(self) -> int:
        """Largest number of choices (texts or regions) of any question; 0 if no question has choices."""
        rows = np.arange(len(self))
        return int(max(self.choices.lengths(rows).max(initial=0), self.choice_regions.lengths(rows).max(initial=0)))

    def choice_classes(self, rows: Ints) -> Ints:
        """Return the answer classes of the text choices.

        Args:
            rows: (n,) question indices.

        Returns:
            (n, C) classes, -1 for padding and for choices without a class.
        """
        texts = self.choices.padded(rows, -1)
        return np.where(texts < 0, -1, self.text_class[texts])

    def without_choices(self) -> "EncodedQuestions":
        """Return the same questions without text choices and their relevance, which then do not go into batches.

        Returns:
            The columns. ``correct_choice`` is unchanged.
        """
        nothing = [()] * len(self)
        return replace(self, choices=Ragged.of(nothing, "int32"), relevance=Ragged.of(nothing, "float32"))
