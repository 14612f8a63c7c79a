"""Telling whether the files that questions were read from are still the same, without reading the questions again."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from vqa_rnn.config import Dataset
from vqa_rnn.files import file_hash


def hash_files(dataset: Dataset, files: Sequence[Path]) -> dict[str, str]:
    """Hash annotation files, under names that outlast a move of the data set.

    Args:
        dataset: The data set's options.
        files: ``Annotations.files``.

    Returns:
        SHA-256 of each file's bytes by its path relative to ``dataset.place``.
    """
    place = dataset.place or Path()
    return {Path(os.path.relpath(file, place)).as_posix(): file_hash(file) for file in files}


def changed_files(dataset: Dataset, hashes: Mapping[str, str]) -> tuple[list[Path], list[Path]]:
    """Compare annotation files with what they were.

    Args:
        dataset: The data set's options; it may lie elsewhere now.
        hashes: From ``hash_files``.

    Returns:
        Files that hold something else now, and files that are gone.
    """
    place = dataset.place or Path()
    paths = {place / name: digest for name, digest in hashes.items()}
    gone = [path for path in paths if not path.is_file()]
    return [path for path, digest in paths.items() if path not in gone and file_hash(path) != digest], gone
