"""Check for missing and damaged files of a data set."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vqa_rnn.datasets.catalogue import OfficialFile, Wanted, find_dataset
from vqa_rnn.datasets.records import ArchiveRecord, Downloads, FileRecord, read_downloads
from vqa_rnn.datasets.unpack import IMAGE_SUFFIXES
from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash

_LAST_BYTES = 64
_CHANGED = "changed since the download (sha256 differs)"


@dataclass(frozen=True)
class FileState:
    """State of a file or image folder.

    Attributes:
        path: Path relative to the folder of the data set.
        state: ``there``, ``missing`` or ``damaged``.
        detail: What was found, or the official file that contains it.
        images: Whether it is downloaded only if images are requested.
    """

    path: str
    state: Literal["there", "missing", "damaged"]
    detail: str
    images: bool = False


@dataclass(frozen=True)
class CheckReport:
    """Result of ``check``.

    Attributes:
        dataset: Name of the data set.
        folder: The folder that was checked.
        files: One entry per file or folder.
    """

    dataset: str
    folder: Path
    files: tuple[FileState, ...]

    @property
    def complete(self) -> bool:
        """Whether no file is missing or damaged."""
        return all(file.state == "there" for file in self.files)


def check(name: str, folder: Path | None = None) -> CheckReport:
    """Check every file that the reader needs, and the archives that were kept.

    Args:
        name: Name of the data set.
        folder: Folder of the data set; defaults to that of its reader.

    Returns:
        The state of each file, and for missing ones the official file that contains them.

    Raises:
        UserError: The name is unknown, or a file cannot be read.
    """
    dataset = find_dataset(name)
    folder = folder or dataset.folder
    downloads = read_downloads(folder)
    found = []
    try:
        for file in dataset.files:
            found += [_advise(look_at(folder, wanted, downloads), file) for wanted in file.unpacks]
            record = downloads.archives.get(file.name)
            if record and file.is_archive and (folder / file.name).is_file():
                found.append(_look_at_archive(folder, file, record))
    except OSError as error:
        raise UserError(f"cannot read {error.filename or folder}: {error.strerror or error}") from error
    return CheckReport(name, folder, tuple(found))


def look_at(folder: Path, wanted: Wanted, downloads: Downloads) -> FileState:
    """Compare a file or folder with the record of its download or, without a record, with what is known about it.

    Args:
        folder: Folder of the data set.
        wanted: The file or folder to check.
        downloads: Records of the folder.

    Returns:
        The state of the file or folder.
    """
    path = folder / wanted.path
    record = downloads.files.get(wanted.path)
    other = next((name for name in wanted.also if (folder / name).exists()), None)
    if not path.exists() and other is not None:
        return look_at(folder, replace(wanted, path=other, also=()), downloads)
    if not path.exists():
        return FileState(wanted.path, "missing", "")
    if wanted.num_images is not None:
        return _look_at_images(path, wanted, wanted.num_images, record)
    return _look_at_recorded(path, wanted, record) if record else _look_at_unknown(path, wanted)


def _look_at_images(path: Path, wanted: Wanted, known: int, record: FileRecord | None) -> FileState:
    if not path.is_dir():
        return FileState(wanted.path, "damaged", "not a folder")
    sizes = [size for size in _image_sizes(path) if size]
    expected = known if record is None or record.num_images is None else record.num_images
    if not sizes:
        return FileState(wanted.path, "missing", "")
    if len(sizes) < expected:
        return FileState(wanted.path, "missing", f"{len(sizes):,} of {expected:,} images")
    if record and len(sizes) == expected and sum(sizes) != record.size:
        return FileState(wanted.path, "damaged", f"{sum(sizes):,} bytes of images, {record.size:,} were unpacked")
    return FileState(wanted.path, "there", f"{len(sizes):,} images")


def _image_sizes(folder: Path) -> list[int]:
    sizes = []
    for where, _, names in os.walk(folder):
        sizes += [os.stat(os.path.join(where, name)).st_size for name in names if name.lower().endswith(IMAGE_SUFFIXES)]  # noqa: PTH116, PTH118  # faster, for 80,000 images
    return sizes


def _look_at_recorded(path: Path, wanted: Wanted, record: FileRecord) -> FileState:
    size = path.stat().st_size
    if size != record.size:
        return FileState(wanted.path, "damaged", f"{size:,} bytes, but {record.size:,} were downloaded")
    if file_hash(path) != record.sha256:
        return FileState(wanted.path, "damaged", _CHANGED)
    return FileState(wanted.path, "there", "unchanged since the download")


def _look_at_unknown(path: Path, wanted: Wanted) -> FileState:
    """Check a file without a record: only whether it appears to be complete."""
    if not path.is_file():
        return FileState(wanted.path, "damaged", "not a file")
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - _LAST_BYTES, 0))
        end = file.read().rstrip()
    if not end:
        return FileState(wanted.path, "damaged", "empty" if not size else "ends in the middle")
    if path.suffix == ".json" and not end.endswith((b"}", b"]")):
        return FileState(wanted.path, "damaged", "ends in the middle")
    return FileState(wanted.path, "there", "added by hand, not verified")


def _look_at_archive(folder: Path, file: OfficialFile, record: ArchiveRecord) -> FileState:
    right = file_hash(folder / file.name) == record.sha256
    detail = f"sha256 of {record.verified_by}" if file.sha256 else "unchanged since the download, no published hash"
    return FileState(file.name, "there" if right else "damaged", detail if right else _CHANGED, file.images)


def _advise(found: FileState, file: OfficialFile) -> FileState:
    detail = found.detail
    if found.state == "missing":
        detail = f"{detail}; the rest is in {file.name}" if detail else f"from {file.name}"
    return FileState(found.path, found.state, detail, file.images)
