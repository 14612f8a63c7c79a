"""WUPS, the score of DAQUAR (Malinowski and Fritz 2014, https://arxiv.org/abs/1410.0210, eq. 7).

Similar words get a partial score: the similarity of Wu and Palmer (1994) over WordNet's nouns. WordNet is read with NLTK, which
no other module imports. Only three of its files are needed: ``data.noun``, ``index.noun`` and ``noun.exc``.
"""

import io
import math
import re
import warnings
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path

import nltk.data
from nltk.corpus.reader.wordnet import Synset, WordNetCorpusReader, WordNetError

from vqa_rnn.errors import UserError

Similarity = Callable[[str, str], float]
DOWN_WEIGHT = 0.1
NOUN_FILES = ("data.noun", "index.noun", "noun.exc")
# The names of the lexicographer files (lexnames(5WN)) do not matter here, and some distributions of WordNet lack the list.
_NUM_LEXICOGRAPHER_FILES = 45
_VERSION = re.compile(rb"WordNet (\d+\.\d+) Copyright")
_HOW_TO_GET_IT = (
    'run python -m nltk.downloader wordnet, or give a folder with the "dict" files of WordNet 3.0 '
    f"({', '.join(NOUN_FILES)}; Debian's package wordnet-base puts them in /usr/share/wordnet) with --wordnet FOLDER"
)


class WordNet:
    """The nouns of WordNet.

    Attributes:
        version: Version such as ``3.0``, which the official scores use; ``unknown`` if the files do not contain it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Read the index.

        Args:
            folder: Folder with WordNet's files; by default NLTK's data folders are searched.

        Raises:
            UserError: WordNet is not found, or its files are damaged.
        """
        self._files = _find(folder)
        try:
            version = _VERSION.search(self._files.joinpath("data.noun").read_bytes()[:4096])
            self._reader = _NounReader(self._files)
        except (OSError, ValueError, RuntimeError, LookupError, WordNetError, zipfile.BadZipFile) as error:
            raise UserError(self._damaged(error)) from error
        self.version = version[1].decode() if version else "unknown"
        self.similarity: Similarity = cache(self._similarity)

    def _similarity(self, word: str, other: str) -> float:
        """Return the similarity of two words: 1 if equal, else the maximum over their noun senses, 0 if one has none."""
        if word == other:
            return 1.0
        try:
            pairs = ((one, two) for one in self._senses(word) for two in self._senses(other))
            return max((one.wup_similarity(two) or 0.0 for one, two in pairs), default=0.0)
        except (ValueError, RuntimeError, LookupError, WordNetError) as error:
            raise UserError(self._damaged(error)) from error

    def _senses(self, word: str) -> list[Synset]:
        with warnings.catch_warnings(action="error", category=UserWarning):  # NLTK warns about an invalid offset
            try:
                return self._reader.synsets(word, pos="n")
            except UserWarning as warning:
                raise WordNetError(str(warning)) from None

    def _damaged(self, error: Exception) -> str:
        return f"WordNet in {self._files} is damaged or in another format: {str(error) or type(error).__name__}"


class _Files(nltk.data.PathPointer):  # type: ignore[misc]  # NLTK has no types
    """WordNet's files. Those of other parts of speech than nouns appear empty."""

    def __init__(self, folder: Traversable, name: str = "") -> None:
        self._folder, self._name = folder, name

    def join(self, fileid: str) -> "_Files":
        return _Files(self._folder, fileid)

    def file_size(self) -> int:
        return len(self._content())

    def open(self, encoding: str | None = None) -> io.TextIOWrapper:
        # in memory: the file may be in an archive, and senses are found by byte offset
        return io.TextIOWrapper(io.BytesIO(self._content()), encoding=encoding or "utf-8")

    def _content(self) -> bytes:
        if self._name == "lexnames":
            return "".join(f"{number:02d}\t{number}\t1\n" for number in range(_NUM_LEXICOGRAPHER_FILES)).encode()
        return self._folder.joinpath(self._name).read_bytes() if self._name in NOUN_FILES else b""


class _NounReader(WordNetCorpusReader):  # type: ignore[misc]
    """NLTK's reader for WordNet's nouns in any folder. NLTK accepts only its data folders, with all parts of speech."""

    def __init__(self, folder: Traversable) -> None:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # about other languages, which are not used
            super().__init__(_Files(folder), omw_reader=None)

    def open(self, file: str) -> io.TextIOWrapper:
        return self._root.join(file).open(self._ENCODING)

    def map_wn(self, version: str = "wordnet") -> None:
        """Do nothing: NLTK maps the senses of other languages here."""


def _find(folder: Path | None) -> Traversable:
    """Find WordNet's files in the given folder, or in NLTK's data folders, where they may be in an archive."""
    if folder is not None:
        missing = [name for name in NOUN_FILES if not (folder / name).is_file()]
        if missing:
            raise UserError(f"--wordnet {folder}: there is no {missing[0]} in it; {_HOW_TO_GET_IT}")
        return folder
    for data in map(Path, nltk.data.path):
        unpacked, archive = data / "corpora" / "wordnet", data / "corpora" / "wordnet.zip"
        if (unpacked / "data.noun").is_file():
            return unpacked
        if archive.is_file() and zipfile.is_zipfile(archive):
            return zipfile.Path(archive, "wordnet/")
    raise UserError(f"WUPS needs WordNet, which was not found: {_HOW_TO_GET_IT}")


def split_answers(line: str) -> list[str]:
    """Split a line of answers.

    Args:
        line: Answers separated by commas, such as ``book, scissor``.

    Returns:
        The answers, stripped; an empty line gives one empty answer.
    """
    return [answer.strip() for answer in line.split(",")]


def equality(word: str, other: str) -> float:
    """Compare two answers for equality, the measure behind accuracy.

    Args:
        word: An answer.
        other: Another answer.

    Returns:
        1 if they are equal, else 0.
    """
    return float(word == other)


def down_weighted(similarity: Similarity, threshold: float) -> Similarity:
    """Build the measure behind WUPS at a threshold.

    Args:
        similarity: Similarity of two words.
        threshold: Similarities below it are multiplied by ``DOWN_WEIGHT``.

    Returns:
        The measure.
    """

    def measure(word: str, other: str) -> float:
        value = similarity(word, other)
        return value if value >= threshold else DOWN_WEIGHT * value

    return measure


def score_answers(answers: Sequence[str], truths: Sequence[str], measure: Similarity) -> float:
    """Score the answers to one question. Both missing and surplus answers lower the score.

    Args:
        answers: The given answers.
        truths: The human answers.
        measure: ``equality``, or ``down_weighted`` similarity.

    Returns:
        The smaller of two products: over the answers, the best measure with any truth; over the truths, the best measure with
        any answer. If one of them is empty, 1 if both are, else 0.
    """
    if not answers or not truths:
        return float(len(answers) == len(truths))
    every_answer = math.prod(max(measure(answer, truth) for truth in truths) for answer in answers)
    every_truth = math.prod(max(measure(answer, truth) for answer in answers) for truth in truths)
    return min(every_answer, every_truth)
