"""Taking files out of a zip or a tar that came from elsewhere.

Every name is looked at before anything is written. What is taken out goes to a folder of its own; the caller moves it in place.
"""

import hashlib
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

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_CHUNK_BYTES = 2**20
_DRIVE = re.compile(r"^[A-Za-z]:")
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError)  # RuntimeError: zipfile of a locked member
_TAR_END = bytes(1024)  # what every complete tar ends with


class DamagedArchive(UserError):  # noqa: N818
    """An archive ends in the middle, or its checksums do not fit, or a name in it leads out of the folder."""


@dataclass(frozen=True)
class _Member:
    """A file in an archive."""

    parts: tuple[str, ...]
    size: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, wanted: tuple[Wanted, ...], folder: Path) -> dict[str, FileRecord]:
    """Take what is wanted out of an archive.

    Args:
        archive: A ``.zip`` or ``.tar``.
        wanted: The files and folders. Each may lie below top folders; the least deep one counts.
        folder: An empty folder; each lies there under its ``path`` afterwards.

    Returns:
        By path, size and hash of what was unpacked.

    Raises:
        DamagedArchive: It cannot be read to its end, or a member has a name or a kind that is refused.
        UserError: Something wanted is not in it, or the disc is full.
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
    tarfile.data_filter(info, str(archive.parent))  # the standard library's own checks besides
    return _Member(parts, info.size, lambda: tar.extractfile(info))  # type: ignore[arg-type, return-value]  # it is a file


def _safe_parts(archive: Path, name: str, odd: str | None) -> tuple[str, ...]:
    why = odd or _refused(name)
    parts = PurePosixPath(name).parts
    if why or not parts:
        raise DamagedArchive(f"{archive} holds '{name}', {why or 'an empty name'}: nothing of it was unpacked")
    return parts


def _refused(name: str) -> str | None:
    """Why a name is refused: it could lead out of the folder, on this or on another system."""
    plain = name.replace("\\", "/")
    if plain.startswith("/") or _DRIVE.match(plain):
        return "an absolute path"
    if ".." in plain.split("/"):
        return "a path that leads out of the folder"
    return None


def _refuse_cut_tar(archive: Path) -> None:
    """Tell a tar that ends between two members, which reads as if it were whole."""
    with archive.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - len(_TAR_END), 0))
        if file.read() != _TAR_END:
            raise tarfile.ReadError("the end is missing")


def _choose(archive: Path, members: list[_Member], wanted: Wanted) -> list[tuple[PurePosixPath, _Member]]:
    """The members that make up what is wanted, each with its path below it."""
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
    digest = hashlib.sha256()
    for below, member in chosen:
        path = target / below
        path.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source:
            _copy(source, path, digest.update)
    if wanted.num_images is None:
        return FileRecord(archive=archive.name, size=target.stat().st_size, sha256=digest.hexdigest())
    images = [member for below, member in chosen if below.suffix.lower() in IMAGE_SUFFIXES]
    return FileRecord(archive=archive.name, size=sum(member.size for member in images), num_images=len(images))


def _copy(source: IO[bytes], path: Path, update: Callable[[bytes], None]) -> None:
    with path.open("wb") as file:
        while chunk := source.read(_CHUNK_BYTES):
            file.write(chunk)
            update(chunk)


def _refuse_full_disc(archive: Path, folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise UserError(
            f"cannot unpack {archive}: it takes {readable_size(size)} and the disc has {readable_size(free)} free; "
            "make room and run the same command again"
        )
