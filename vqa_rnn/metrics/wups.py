"""WUPS, the score of DAQUAR (Malinowski and Fritz 2014, https://arxiv.org/abs/1410.0210, eq. 7): near words are nearly right.

How near two words are is the measure of Wu and Palmer (1994) over WordNet's nouns. NLTK reads WordNet; nothing else here
imports NLTK, and of WordNet three files are read: ``data.noun``, ``index.noun`` and ``noun.exc``.
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
# The lexicographer files' names (lexnames(5WN)) decide nothing here, and not every distribution of WordNet has the list.
_NUM_LEXICOGRAPHER_FILES = 45
_VERSION = re.compile(rb"WordNet (\d+\.\d+) Copyright")
_HOW_TO_GET_IT = (
    'run python -m nltk.downloader wordnet, or give a folder with the "dict" files of WordNet 3.0 '
    f"({', '.join(NOUN_FILES)}; Debian's package wordnet-base puts them in /usr/share/wordnet) with --wordnet FOLDER"
)


class WordNet:
    """The nouns of WordNet.

    Attributes:
        version: Such as ``3.0``, the one that the official scores are made with; ``unknown`` where the files do not say.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Read the index.

        Args:
            folder: With WordNet's files; by default where NLTK keeps its data.

        Raises:
            UserError: There is no WordNet, or its files are damaged.
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
        """The measure of two words: 1 for equal ones, else the best over their noun senses, 0 where one has none."""
        if word == other:
            return 1.0
        try:
            pairs = ((one, two) for one in self._senses(word) for two in self._senses(other))
            return max((one.wup_similarity(two) or 0.0 for one, two in pairs), default=0.0)
        except (ValueError, RuntimeError, LookupError, WordNetError) as error:
            raise UserError(self._damaged(error)) from error

    def _senses(self, word: str) -> list[Synset]:
        with warnings.catch_warnings(action="error", category=UserWarning):  # NLTK's word for an offset that leads nowhere
            try:
                return self._reader.synsets(word, pos="n")
            except UserWarning as warning:
                raise WordNetError(str(warning)) from None

    def _damaged(self, error: Exception) -> str:
        return f"WordNet in {self._files} is damaged or in another format: {str(error) or type(error).__name__}"


class _Files(nltk.data.PathPointer):  # type: ignore[misc]  # NLTK has no types
    """WordNet's files: the noun files as they are, and nothing in those of other parts of speech."""

    def __init__(self, folder: Traversable, name: str = "") -> None:
        self._folder, self._name = folder, name

    def join(self, fileid: str) -> "_Files":
        return _Files(self._folder, fileid)

    def file_size(self) -> int:
        return len(self._content())

    def open(self, encoding: str | None = None) -> io.TextIOWrapper:
        # in memory: it comes out of an archive as well, and senses are found by their byte offset
        return io.TextIOWrapper(io.BytesIO(self._content()), encoding=encoding or "utf-8")

    def _content(self) -> bytes:
        if self._name == "lexnames":
            return "".join(f"{number:02d}\t{number}\t1\n" for number in range(_NUM_LEXICOGRAPHER_FILES)).encode()
        return self._folder.joinpath(self._name).read_bytes() if self._name in NOUN_FILES else b""


class _NounReader(WordNetCorpusReader):  # type: ignore[misc]
    """NLTK's reader, which takes files from its own data folders only and insists on all parts of speech."""

    def __init__(self, folder: Traversable) -> None:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # no other languages: none are asked for
            super().__init__(_Files(folder), omw_reader=None)

    def open(self, file: str) -> io.TextIOWrapper:
        return self._root.join(file).open(self._ENCODING)

    def map_wn(self, version: str = "wordnet") -> None:
        """Other languages' senses are looked up through it."""


def _find(folder: Path | None) -> Traversable:
    """Where WordNet's files are: in a folder, or in the archive that NLTK downloads."""
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
    """Take a line of answers apart.

    Args:
        line: Such as ``book, scissor``.

    Returns:
        The answers, stripped; an empty line is one empty answer.
    """
    return [answer.strip() for answer in line.split(",")]


def equality(word: str, other: str) -> float:
    """The measure behind accuracy.

    Args:
        word: An answer.
        other: Another.

    Returns:
        1 if they are equal, else 0.
    """
    return float(word == other)


def down_weighted(similarity: Similarity, threshold: float) -> Similarity:
    """The measure behind WUPS at a threshold.

    Args:
        similarity: Of two words.
        threshold: What is below it counts a tenth.

    Returns:
        The measure.
    """

    def measure(word: str, other: str) -> float:
        value = similarity(word, other)
        return value if value >= threshold else DOWN_WEIGHT * value

    return measure


def score_answers(answers: Sequence[str], truths: Sequence[str], measure: Similarity) -> float:
    """Score the answers to one question: neither too many nor too few.

    Args:
        answers: What was answered.
        truths: What people answered.
        measure: ``equality``, or ``down_weighted`` similarity.

    Returns:
        The smaller of two products, over the answers of how well the best truth fits, and over the truths of how well the
        best answer fits. No answers score 1 where there are no truths, else 0.
    """
    if not answers or not truths:
        return float(len(answers) == len(truths))
    every_answer = math.prod(max(measure(answer, truth) for truth in truths) for answer in answers)
    every_truth = math.prod(max(measure(answer, truth) for answer in answers) for truth in truths)
    return min(every_answer, every_truth)
