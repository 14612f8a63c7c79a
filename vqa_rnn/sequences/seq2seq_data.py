"""The data of sequence-to-sequence models: pairs of texts, their vocabularies, and batches.

Shape letters: N pairs, S steps of the sources, T steps of the targets.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqa_rnn.errors import UserError
from vqa_rnn.files import read_utf8
from vqa_rnn.models.text_encoder import PADDING_ID
from vqa_rnn.progress import counted
from vqa_rnn.sequences.batches import ExampleBatches
from vqa_rnn.sequences.text_vocabulary import UNKNOWN, TextVocabulary, Unit

PADDING = "<padding>"  # the entry with number PADDING_ID; the text is never split into a word like this


class Pair(NamedTuple):
    """A pair of texts.

    Attributes:
        source: What the model reads.
        target: What it has to write.
    """

    source: str
    target: str


Splits = Mapping[str, Sequence[Pair]]
"""The pairs of ``train``, ``val`` and ``test``."""


def read_pairs(path: Path) -> list[Pair]:
    """Read a file of pairs.

    Args:
        path: A UTF-8 file with one pair per line, source and target separated by a tab. Empty lines are skipped.

    Returns:
        The pairs, without white space at the ends of the texts.

    Raises:
        UserError: The file is missing, not UTF-8 or empty, or a line is not a pair.
    """
    text = read_utf8(path, f"no file of pairs at {path}")
    pairs = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) != 2:
            raise UserError(f"{path}:{number}: {len(parts) - 1} tabs: write a source, one tab and a target")
        if not all(parts):
            raise UserError(f"{path}:{number}: the {'target' if parts[0] else 'source'} is empty")
        pairs.append(Pair(*parts))
    if not pairs:
        raise UserError(f"{path} is empty: write one pair per line, a source, a tab and a target")
    return pairs


def split_pairs(pairs: Sequence[Pair], validation_share: float, test_share: float, seed: int) -> Splits:
    """Split pairs at random. Pairs with the same source are in the same split.

    Args:
        pairs: The pairs.
        validation_share: Share of the sources in the validation split.
        test_share: Share of the sources in the test split.
        seed: Seed of the random numbers.

    Returns:
        The pairs of each split, in the order of the file. A split whose share is 0 is empty.

    Raises:
        UserError: There are too few sources for a split.
    """
    sources = list(dict.fromkeys(pair.source for pair in pairs))
    counts = {"val": round(validation_share * len(sources)), "test": round(test_share * len(sources))}
    counts["train"] = len(sources) - sum(counts.values())
    for split, share in (("val", validation_share), ("test", test_share), ("train", 1.0)):
        if share and not counts[split]:
            raise UserError(
                f"{counted(len(sources), 'different sources')} are too few for data.validation_share={validation_share} and "
                f"data.test_share={test_share}: the {split} split would be empty"
            )
    names = np.repeat(list(counts), list(counts.values()))[np.random.default_rng(seed).permutation(len(sources))].tolist()
    split_of = dict(zip(sources, names, strict=True))
    return {split: [pair for pair in pairs if split_of[pair.source] == split] for split in ("train", "val", "test")}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The entries of one side of the pairs: characters or words. The number of an entry is its place.

    Attributes:
        unit: What an entry is.
        entries: First ``PADDING``; of words then ``UNKNOWN``.
    """

    unit: Unit
    entries: tuple[str, ...]

    @classmethod
    def build(cls, texts: Iterable[str], unit: Unit, min_count: int = 1) -> "Vocabulary":
        """Collect the entries of texts.

        Args:
            texts: The texts.
            unit: Characters or words.
            min_count: Words that occur less often are read as ``UNKNOWN``. Every character has an entry.

        Returns:
            The vocabulary: characters in the order of their code points, words from the most to the least frequent.
        """
        counts = Counter(entry for text in texts for entry in split(text, unit))
        if unit == "characters":
            return cls(unit, (PADDING, *sorted(counts)))
        by_count = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
        return cls(unit, (PADDING, UNKNOWN, *(word for word, count in by_count if count >= min_count)))

    @property
    def end_id(self) -> int:
        """The number of the end of a text, which is the number after the last entry."""
        return len(self.entries)

    @property
    def unknown_id(self) -> int | None:
        """The number of the unknown word; None for characters."""
        return None if self.unit == "characters" else self.entries.index(UNKNOWN)

    def encode(self, texts: Iterable[str]) -> list[NDArray[np.int64]]:
        """Number the entries of texts.

        Args:
            texts: The texts.

        Returns:
            (T,) int64 for each text.

        Raises:
            UserError: A text has a character that is not in the vocabulary.
        """
        number_of = {entry: number for number, entry in enumerate(self.entries)}
        encoded = []
        for text in texts:
            entries = split(text, self.unit)
            numbers = [number_of.get(entry, self.unknown_id) for entry in entries]
            if None in numbers:
                unknown = entries[numbers.index(None)]
                raise UserError(
                    f"the character {unknown!r} of {text!r} is unknown: it does not occur in the pairs that the model was "
                    "trained on"
                )
            encoded.append(np.array(numbers, dtype=np.int64))
        return encoded

    def decode(self, numbers: Iterable[int]) -> str:
        """Join entries to a text.

        Args:
            numbers: The numbers of the entries, without padding and end.

        Returns:
            The text.
        """
        return join([self.entries[number] for number in numbers], self.unit)


class PairVocabulary(NamedTuple):
    """The vocabularies of both sides.

    Attributes:
        source: That of the sources.
        target: That of the targets.
    """

    source: Vocabulary
    target: Vocabulary

    @property
    def entries(self) -> tuple[str, ...]:
        """All entries as a run folder keeps them: those of the sources, then those of the targets."""
        return (*self.source.entries, *self.target.entries)

    @classmethod
    def of(cls, entries: Sequence[str], unit: Unit) -> "PairVocabulary":
        """Restore the vocabularies of a run.

        Args:
            entries: From ``entries``.
            unit: Characters or words.

        Returns:
            The vocabularies.
        """
        middle = entries.index(PADDING, 1)
        return cls(Vocabulary(unit, tuple(entries[:middle])), Vocabulary(unit, tuple(entries[middle:])))


def split(text: str, unit: Unit) -> list[str]:
    """Split a text into characters or words.

    Args:
        text: The text.
        unit: Characters or words. A word keeps the space before it, and the first word gets one.

    Returns:
        The parts.
    """
    return TextVocabulary(unit, ()).split(text if unit == "characters" else f" {text}")


def join(parts: Iterable[str], unit: Unit) -> str:
    """Join what ``split`` returned.

    Args:
        parts: Characters or words.
        unit: Characters or words.

    Returns:
        The text.
    """
    return "".join(parts) if unit == "characters" else "".join(parts).removeprefix(" ")


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Some pairs. Texts are padded on the right with ``PADDING_ID``; the end of a target is not among its tokens.

    Attributes:
        source: (N, S) int64.
        source_lengths: (N,) int64, on the CPU.
        target: (N, T) int64.
        target_lengths: (N,) int64, on the CPU.
        example_index: (N,) int64, the pairs, on the CPU.
    """

    source: Tensor
    source_lengths: Tensor
    target: Tensor
    target_lengths: Tensor
    example_index: Tensor

    @property
    def num_examples(self) -> int:
        """Number of pairs."""
        return len(self.source)

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "PairBatch":
        """Copy to a device.

        Args:
            device: The device.
            non_blocking: Copy asynchronously, where the memory is pinned.

        Returns:
            The batch there. Lengths and indices stay on the CPU.
        """
        source, target = (text.to(device, non_blocking=non_blocking) for text in (self.source, self.target))
        return PairBatch(source, self.source_lengths, target, self.target_lengths, self.example_index)


def pair_batches(
    pairs: Sequence[Pair], vocabulary: PairVocabulary, batch_size: int, *, shuffle: bool = False, seed: int = 0
) -> ExampleBatches[PairBatch]:
    """Batch pairs.

    Args:
        pairs: The pairs.
        vocabulary: Their vocabularies.
        batch_size: Pairs per batch.
        shuffle: Whether to shuffle the pairs in each epoch.
        seed: Seed of the order.

    Returns:
        The batches.

    Raises:
        UserError: A text has a character that is not in the vocabulary.
    """
    sources = vocabulary.source.encode(pair.source for pair in pairs)
    targets = vocabulary.target.encode(pair.target for pair in pairs)

    def collate(index: NDArray[np.int64]) -> PairBatch:
        source, target = (pad([side[place] for place in index]) for side in (sources, targets))
        return PairBatch(*source, *target, torch.from_numpy(index))

    return ExampleBatches(len(pairs), batch_size, collate, shuffle=shuffle, seed=seed)


def pad(texts: Sequence[NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
    """Pad texts to the longest one.

    Args:
        texts: (T,) int64 each.

    Returns:
        (N, T) int64 tokens and (N,) int64 lengths.
    """
    lengths = torch.tensor([len(text) for text in texts])
    tokens = torch.full((len(texts), int(lengths.max())), PADDING_ID)
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text)] = torch.from_numpy(text)
    return tokens, lengths
