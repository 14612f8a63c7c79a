"""Fetch, verify, unpack, record: one official file after the other."""

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

pooch.get_logger().setLevel(logging.WARNING)  # it announces each file and prints hashes to copy


@dataclass(frozen=True)
class Outcome:
    """What became of one official file.

    Attributes:
        file: Its name.
        state: ``fetched``; ``unpacked`` where it lay there already; ``already there`` where nothing had to be done.
        size: Its bytes, where it was looked at.
        sha256: Its hash, where it was looked at.
        verified_by: Who published the hash that it has, or ``unverified``.
    """

    file: str
    state: Literal["fetched", "unpacked", "already there"]
    size: int | None = None
    sha256: str | None = None
    verified_by: str | None = None


def download(
    name: str, folder: Path | None = None, *, images: bool = False, keep_archives: bool = False
) -> tuple[Outcome, ...]:
    """Fetch a data set's official files. What is there and right stays; what was begun is gone on with.

    Args:
        name: The data set.
        folder: Where it goes; by default where its reader looks.
        images: Also the images, which are large.
        keep_archives: Leave the archives beside what was unpacked.

    Returns:
        What became of each file.

    Raises:
        UserError: A file cannot be fetched, is not the published one, cannot be unpacked, or the disc is full. Files that were
            done before it stay.
    """
    dataset = find_dataset(name)
    folder = folder or dataset.folder
    files = [file for file in dataset.files if images or not file.images]
    with _workplace(folder) as workplace:
        return tuple(_provide(file, folder, workplace, dataset.page, keep_archives) for file in files)


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """A temporary folder beside the files, for one process at a time; what a killed one left in it goes."""
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
    """Put the file in place and say where it came from."""
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
        except ValueError:  # the hash
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
    """Give pooch the part under its own temporary name; the part stays, in case the check of its hash is interrupted."""
    output.unlink(missing_ok=True)
    try:
        os.link(part, output)
    except OSError:  # a file system without links
        os.replace(part, output)


def _record(file: OfficialFile, archive: Path, url: str | None) -> ArchiveRecord:
    found = file_hash(archive)
    if file.sha256 and found != file.sha256:  # only one that was put there by hand can be wrong
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
            raise UserError(f"{error}; it was removed; the same command fetches it anew") from None
        raise UserError(f"{error}; remove it and run the same command again") from None
    for wanted in file.unpacks:
        _put(unpacked / wanted.path, folder / wanted.path)
    return files


def _put(source: Path, target: Path) -> None:
    """Move into place; a folder that is there is filled up, so that nothing of the user's goes."""
    if source.is_dir() and target.is_dir():
        for child in source.iterdir():
            _put(child, target / child.name)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, target)
