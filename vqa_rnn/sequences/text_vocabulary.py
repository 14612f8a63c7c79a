"""The vocabulary of a language model: the characters or the words of a text, and their numbers."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.errors import UserError
from vqa_rnn.files import read_json, read_utf8, write_json

Unit = Literal["characters", "words"]

UNKNOWN = "<unknown>"  # stands for every word outside the vocabulary; characters have no such entry
# A word keeps the space before it, so that the words of a text joined together are the text.
_WORD = re.compile(r" ?\w+(?:['’]\w+)*| ?[^\w\s]|\s")


@dataclass(frozen=True, slots=True)
class TextVocabulary:
    """The entries of a text in a fixed order; an entry's number is its place.

    Attributes:
        unit: What an entry is: a character or a word.
        entries: All different entries. Of words the first one is ``UNKNOWN``.
    """

    unit: Unit
    entries: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.entries)

    @classmethod
    def build(cls, text: str, unit: Unit, min_count: int = 1) -> "TextVocabulary":
        """Collect the entries of a text.

        Args:
            text: The text.
            unit: Characters or words.
            min_count: Words that occur less often are read as ``UNKNOWN``. Every character has an entry.

        Returns:
            The vocabulary: characters in the order of their code points, words from the most to the least frequent.
        """
        if unit == "characters":
            return cls(unit, tuple(sorted(set(text))))
        counts = sorted(Counter(_WORD.findall(text)).items(), key=lambda pair: (-pair[1], pair[0]))
        return cls(unit, (UNKNOWN, *(word for word, count in counts if count >= min_count)))

    def split(self, text: str) -> list[str]:
        """Split a text into characters or words.

        Args:
            text: The text.

        Returns:
            Its parts, which joined together are the text.
        """
        return list(text) if self.unit == "characters" else _WORD.findall(text)

    def encode(self, text: str) -> NDArray[np.int32]:
        """Number the entries of a text.

        Args:
            text: The text.

        Returns:
            (M,) int32.

        Raises:
            UserError: The text has a character that is not in the vocabulary.
        """
        if self.unit == "words":
            number_of = {word: number for number, word in enumerate(self.entries)}
            return np.fromiter((number_of.get(word, 0) for word in self.split(text)), dtype=np.int32)
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        known = np.array([ord(character) for character in self.entries], dtype=np.uint32)  # sorted
        numbers = np.searchsorted(known, points).clip(max=len(known) - 1)
        is_unknown = known[numbers] != points
        if is_unknown.any():
            character = chr(int(points[is_unknown.argmax()]))
            raise UserError(
                f"the character {character!r} is unknown: it does not occur in the text that the model was trained on"
            )
        return numbers.astype(np.int32)

    def decode(self, numbers: NDArray[np.integer]) -> str:
        """Join entries to a text.

        Args:
            numbers: (M,) integers.

        Returns:
            The text.
        """
        return "".join(self.entries[number] for number in numbers.tolist())

    def save(self, path: Path) -> None:
        """Write the vocabulary as JSON.

        Args:
            path: The file.
        """
        write_json(path, {"unit": self.unit, "entries": list(self.entries)})

    @classmethod
    def load(cls, path: Path) -> "TextVocabulary":
        """Read a vocabulary.

        Args:
            path: A file written by ``save``.

        Returns:
            The vocabulary.

        Raises:
            UserError: The file is missing or damaged.
        """
        content = read_json(path, "vocabulary")
        try:
            return cls(content["unit"], tuple(map(str, content["entries"])))
        except (KeyError, TypeError) as error:
            raise UserError(f"{path} is damaged: it is not a vocabulary written by vqa-rnn") from error


def read_text(path: Path) -> str:
    """Read a text file.

    Args:
        path: A UTF-8 file.

    Returns:
        Its text, with Unix line ends.

    Raises:
        UserError: The file is missing, not UTF-8, or has fewer than two characters.
    """
    text = read_utf8(path, f"no text file at {path}")
    if len(text) < 2:
        raise UserError(f"{path} is too short: a language model needs at least two characters")
    return text
