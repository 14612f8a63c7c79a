"""Extraction of files from untrusted zip and tar archives.

All names are checked before anything is written. Files are extracted to a separate folder; the caller moves them into place.
"""

import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from vqa_rnn.datasets.catalogue import Wanted, readable_size
from vqa_rnn.datasets.records import FileRecord
from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_CHUNK_BYTES = 2**20
_DRIVE = re.compile(r"^[A-Za-z]:")
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError)  # RuntimeError: an encrypted zip member
_TAR_END = bytes(1024)  # the end of every complete tar file


class DamagedArchive(UserError):  # noqa: N818
    """The archive is truncated, has a wrong checksum, or has a member with an unsafe name or of a refused kind."""


@dataclass(frozen=True)
class _Member:
    """A file in an archive."""

    parts: tuple[str, ...]
    size: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, wanted: tuple[Wanted, ...], folder: Path) -> dict[str, FileRecord]:
    """Extract files and folders from an archive.

    Args:
        archive: A ``.zip`` or ``.tar`` file.
        wanted: Files and folders to extract. Each may be below top-level folders in the archive; the least deep match is used.
        folder: An empty folder. Each file or folder is written to its ``path`` in it.

    Returns:
        The records of the extracted files and folders, by path.

    Raises:
        DamagedArchive: The archive is damaged or truncated, or a member has a name or a kind that is refused.
        UserError: A file or folder is not in the archive, or there is not enough disk space.
    """
    try:
        with _members(archive) as members:
            chosen = {each.path: _choose(archive, members, each) for each in wanted}
            _refuse_full_disc(archive, folder, sum(member.size for kind in chosen.values() for _, member in kind))
            return {each.path: _take(archive, each, chosen[each.path], folder) for each in wanted}
    except _DAMAGE as error:
        raise DamagedArchive(f"{archive} is damaged or cut off ({str(error) or type(error).__name__})") from None


@contextmanager
def _members(archive: Path) -> Iterator[list[_Member]]:
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as zipped:
            yield [
                _from_zip(archive, zipped, info) for info in zipped.infolist() if not info.is_dir() or _refused(info.filename)
            ]
    else:
        _refuse_cut_tar(archive)
        with tarfile.open(archive) as tar:
            infos = tar.getmembers()
            yield [_from_tar(archive, tar, info) for info in infos if not info.isdir() or _refused(info.name)]


def _from_zip(archive: Path, zipped: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    is_link = stat.S_ISLNK(info.external_attr >> 16)
    parts = _safe_parts(archive, info.orig_filename, "a link" if is_link else None)
    return _Member(parts, info.file_size, lambda: zipped.open(info))


def _from_tar(archive: Path, tar: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    odd = "a link" if info.issym() or info.islnk() else None if info.isfile() else "neither a file nor a folder"
    parts = _safe_parts(archive, info.name, odd)
    tarfile.data_filter(info, str(archive.parent))  # the checks of the standard library as well
    return _Member(parts, info.size, lambda: tar.extractfile(info))  # type: ignore[arg-type, return-value]  # it is a file


def _safe_parts(archive: Path, name: str, odd: str | None) -> tuple[str, ...]:
    why = odd or _refused(name)
    parts = PurePosixPath(name).parts
    if why or not parts:
        raise DamagedArchive(f"{archive} holds '{name}', {why or 'an empty name'}: nothing of it was unpacked")
    return parts


def _refused(name: str) -> str | None:
    """Return why a name is refused, if it could lead out of the folder on this or another operating system."""
    plain = name.replace("\\", "/")
    if plain.startswith("/") or _DRIVE.match(plain):
        return "an absolute path"
    if ".." in plain.split("/"):
        return "a path that leads out of the folder"
    return None


def _refuse_cut_tar(archive: Path) -> None:
    """Refuse a tar file that is truncated between two members, which ``tarfile`` reads as if it were complete."""
    with archive.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - len(_TAR_END), 0))
        if file.read() != _TAR_END:
            raise tarfile.ReadError("the end is missing")


def _choose(archive: Path, members: list[_Member], wanted: Wanted) -> list[tuple[PurePosixPath, _Member]]:
    """Return the members of a file or folder, each with its path below the folder."""
    inside = PurePosixPath(wanted.name_inside).parts
    found: dict[tuple[str, ...], list[tuple[PurePosixPath, _Member]]] = {}
    for member in members:
        if "__MACOSX" in member.parts or member.parts[-1].startswith("."):
            continue
        for depth in range(len(member.parts) - len(inside) + 1):
            below = member.parts[depth + len(inside) :]
            if member.parts[depth : depth + len(inside)] == inside and bool(below) == (wanted.num_images is not None):
                found.setdefault(member.parts[:depth], []).append((PurePosixPath(*below), member))
                break
    if not found:
        held = ", ".join(sorted({member.parts[0] for member in members})[:5]) or "nothing"
        raise UserError(f"{archive} does not hold {wanted.name_inside}; it holds {held}")
    return found[min(found, key=len)]


def _take(archive: Path, wanted: Wanted, chosen: list[tuple[PurePosixPath, _Member]], folder: Path) -> FileRecord:
    target = folder / wanted.path
    for below, member in chosen:
        path = target / below
        path.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source, path.open("wb") as file:
            shutil.copyfileobj(source, file, _CHUNK_BYTES)
    if wanted.num_images is None:
        return FileRecord(archive=archive.name, size=target.stat().st_size, sha256=file_hash(target))
    images = [member for below, member in chosen if below.suffix.lower() in IMAGE_SUFFIXES]
    return FileRecord(archive=archive.name, size=sum(member.size for member in images), num_images=len(images))


def _refuse_full_disc(archive: Path, folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise UserError(
            f"cannot unpack {archive}: it takes {readable_size(size)} and the disc has {readable_size(free)} free; "
            "make room and run the same command again"
        )
