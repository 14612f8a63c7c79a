"""Download of official files: fetch, verify, unpack and record one file after the other."""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pooch

from vqa_rnn.datasets.catalogue import UNVERIFIED, OfficialFile, find_dataset
from vqa_rnn.datasets.check import look_at
from vqa_rnn.datasets.records import ArchiveRecord, Downloads, FileRecord, read_downloads, write_downloads
from vqa_rnn.datasets.transfer import Unavailable, fetch, forget, part_of
from vqa_rnn.datasets.unpack import DamagedArchive, unpack
from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash, hold

pooch.get_logger().setLevel(logging.WARNING)  # pooch would log each file and its hash


@dataclass(frozen=True)
class Outcome:
    """Result for one official file.

    Attributes:
        file: File name.
        state: ``fetched``; ``unpacked`` if the archive was already there; ``already there`` if nothing had to be done.
        size: Size in bytes; None if nothing had to be done.
        sha256: Hash of the file; None if nothing had to be done.
        verified_by: Publisher of that hash, or ``unverified``; None if nothing had to be done.
    """

    file: str
    state: Literal["fetched", "unpacked", "already there"]
    size: int | None = None
    sha256: str | None = None
    verified_by: str | None = None


def download(
    name: str, folder: Path | None = None, *, images: bool = False, keep_archives: bool = False
) -> tuple[Outcome, ...]:
    """Download the official files of a data set. Undamaged files are kept, and partial downloads are resumed.

    Args:
        name: Name of the data set.
        folder: Target folder; defaults to that of its reader.
        images: Whether to download the images as well, which are large.
        keep_archives: Whether to keep archives after they are unpacked.

    Returns:
        The result for each file.

    Raises:
        UserError: A file cannot be downloaded, differs from the published one or cannot be unpacked, or the disk is full. Files
            that were completed before are kept.
    """
    dataset = find_dataset(name)
    folder = folder or dataset.folder
    files = [file for file in dataset.files if images or not file.images]
    with _workplace(folder) as workplace:
        return tuple(_provide(file, folder, workplace, dataset.page, keep_archives) for file in files)


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """Give a temporary folder next to the files, for one process at a time. Files of a killed process are deleted from it."""
    workplace = folder / ".downloading"
    busy = f"another process is downloading into {folder}: wait for it, or give another --folder"
    try:
        with hold(folder / ".downloading.lock", busy):
            shutil.rmtree(workplace, ignore_errors=True)
            try:
                yield workplace
            finally:
                shutil.rmtree(workplace, ignore_errors=True)
    except OSError as error:
        said = os.strerror(error.errno) if error.errno else error
        raise UserError(f"cannot write {error.filename or folder}: {said}") from error


def _provide(file: OfficialFile, folder: Path, workplace: Path, page: str, keep: bool) -> Outcome:
    downloads = read_downloads(folder)
    archive = folder / file.name
    if all(look_at(folder, wanted, downloads).state == "there" for wanted in file.unpacks):
        return Outcome(file.name, "already there")
    lay_there = file.is_archive and archive.is_file()
    url = None if lay_there else _fetch(file, folder, workplace, page)
    record = _record(file, archive, url)
    if file.is_archive:
        files = _unpack(file, archive, folder, workplace, remove_damaged=not lay_there)
    else:
        files = {file.unpacks[0].path: FileRecord(archive=file.name, size=record.size, sha256=record.sha256)}
    write_downloads(folder, Downloads(archives=downloads.archives | {file.name: record}, files=downloads.files | files))
    if file.is_archive and not keep:
        archive.unlink()
    return Outcome(file.name, "unpacked" if lay_there else "fetched", record.size, record.sha256, record.verified_by)


def _fetch(file: OfficialFile, folder: Path, workplace: Path, page: str) -> str:
    """Download the file, move it into place, and return its URL."""
    target = folder / file.name
    part = part_of(target)
    known = f"sha256:{file.sha256}" if file.sha256 else None

    def fetch_part(url: str, output: str, _: Any) -> None:
        fetch(url, part)
        _lend(part, Path(output))

    reasons = []
    for url in file.urls:
        try:
            got = pooch.retrieve(url, known, fname=file.name, path=workplace, downloader=fetch_part)
        except Unavailable as error:
            reasons.append(str(error))
        except ValueError:  # the hash differs
            found = file_hash(part) if part.is_file() else "another"
            forget(part)
            reasons.append(f"{url} is not the published file: sha256 expected {file.sha256} ({file.hash_source}), got {found}")
        else:
            os.replace(got, target)
            forget(part)
            return url
    raise UserError(
        f"cannot fetch {file.name}: {'; '.join(reasons)}; "
        f"get it by hand from {page} and put it, or what is in it, into {folder}"
    )


def _lend(part: Path, output: Path) -> None:
    """Link the part to the temporary file of pooch. The part is kept, in case the check of its hash is interrupted."""
    output.unlink(missing_ok=True)
    try:
        os.link(part, output)
    except OSError:  # a file system without hard links
        os.replace(part, output)


def _record(file: OfficialFile, archive: Path, url: str | None) -> ArchiveRecord:
    # pooch has compared the hash of a download; a file without a URL was added by hand
    found = file.sha256 if url and file.sha256 else file_hash(archive)
    if file.sha256 and found != file.sha256:
        raise UserError(
            f"{archive} is not the published file: sha256 expected {file.sha256} ({file.hash_source}), got {found}; "
            "remove it and run the same command again"
        )
    verified_by = file.hash_source if file.sha256 else UNVERIFIED
    return ArchiveRecord(url=url, size=archive.stat().st_size, sha256=found, verified_by=verified_by)


def _unpack(file: OfficialFile, archive: Path, folder: Path, workplace: Path, *, remove_damaged: bool) -> dict[str, FileRecord]:
    unpacked = workplace / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir(parents=True)
    try:
        files = unpack(archive, file.unpacks, unpacked)
    except DamagedArchive as error:
        if remove_damaged:
            archive.unlink()
            raise UserError(f"{error}; it was deleted; run the same command again to download it") from None
        raise UserError(f"{error}; remove it and run the same command again") from None
    for wanted in file.unpacks:
        _put(unpacked / wanted.path, folder / wanted.path)
    return files


def _put(source: Path, target: Path) -> None:
    """Move a file or folder into place. An existing folder is merged, so that other files in it are kept."""
    if source.is_dir() and target.is_dir():
        for child in source.iterdir():
            _put(child, target / child.name)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, target)
