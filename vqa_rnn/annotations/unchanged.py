"""Detection of changes in annotation files by their hashes, without reading the questions again."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from vqa_rnn.config import Dataset
from vqa_rnn.files import file_hash


def hash_files(dataset: Dataset, files: Sequence[Path]) -> dict[str, str]:
    """Hash annotation files, by names that stay valid if the data set is moved.

    Args:
        dataset: Options of the data set.
        files: ``Annotations.files``.

    Returns:
        SHA-256 hash of each file, by its path relative to ``dataset.place``.
    """
    place = dataset.place or Path()
    return {Path(os.path.relpath(file, place)).as_posix(): file_hash(file) for file in files}


def changed_files(dataset: Dataset, hashes: Mapping[str, str]) -> tuple[list[Path], list[Path]]:
    """Compare annotation files with earlier hashes.

    Args:
        dataset: Options of the data set, which may have been moved.
        hashes: Result of ``hash_files``.

    Returns:
        The files whose content has changed, and the files that are missing.
    """
    place = dataset.place or Path()
    paths = {place / name: digest for name, digest in hashes.items()}
    gone = [path for path in paths if not path.is_file()]
    return [path for path, digest in paths.items() if path not in gone and file_hash(path) != digest], gone
