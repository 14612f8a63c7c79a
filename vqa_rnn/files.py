"""Atomic writing of files, locks, and suggestions for misspelt names."""

import difflib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vqa_rnn.errors import HeldError, UserError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; rename it to ``path`` if the block succeeds, else delete it.

    Args:
        path: The final path. Its folder is created if it does not exist.

    Yields:
        The temporary path to write to, with the same suffix as ``path``.

    Raises:
        UserError: ``path`` is a folder, its folder cannot be created, or the file cannot be written (no permission, disk full).
    """
    if not path.name or path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # otherwise a power cut may leave an empty file under the new name
        os.chmod(temporary, 0o666 & ~_umask())  # some writers create private files
        os.replace(temporary, path)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error  # HDF5 messages are long
        raise UserError(f"cannot write {path}: {why}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def hold(lock: Path, busy: str) -> Iterator[None]:
    """Hold a lock file while the block runs.

    Args:
        lock: The lock file, deleted at the end. Its folder is created if it does not exist.
        busy: The error message for other processes.

    Yields:
        Nothing.

    Raises:
        HeldError: Another process holds the lock.
        UserError: The file cannot be written.
    """
    held = FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held.acquire(timeout=0)
    except Timeout:
        raise HeldError(busy) from None
    except OSError as error:
        raise UserError(f"cannot write {lock}: {error.strerror or error}") from error
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        held.release()


def sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that a file renamed in it keeps its new name after a power cut.

    Nothing happens if the file system does not support this.

    Args:
        folder: The folder.
    """
    with suppress(OSError):  # not every file system can open folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_utf8(path: Path, missing: str) -> str:
    """Read a text file of the user.

    Args:
        path: A UTF-8 file, with or without a byte order mark.
        missing: The error message if there is no such file.

    Returns:
        Its text, with Unix line ends.

    Raises:
        UserError: The file is missing, cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(missing) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start:,}): convert it to UTF-8 first") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically: readers see either the old file or the complete new one.

    Args:
        path: The file to write.
        text: The whole content.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def file_hash(path: Path) -> str:
    """Compute the hash of a file's content.

    Args:
        path: The file.

    Returns:
        The SHA-256 in hexadecimal digits.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def append_line(path: Path, line: str) -> None:
    """Append a line of UTF-8 text to a file.

    Args:
        path: The file; created if it does not exist.
        line: The line, without line end.

    Raises:
        UserError: The file cannot be written (no permission, disk full).
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically.

    Args:
        path: The file to write.
        value: Any value that ``json.dumps`` accepts.
    """
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        what: What the file is, for the error message ("run description").

    Returns:
        The parsed value.

    Raises:
        UserError: The file is missing, cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no {what} at {path}") from None
    except OSError as error:
        raise UserError(f"cannot read the {what} {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"the {what} {path} is not valid JSON: {error}") from error


_MOST_LISTED = 20


def nearest(name: str, valid: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Find the valid name that is most similar to a given name.

    Args:
        name: The given name.
        valid: The valid names.
        cutoff: Minimum similarity, from 0 to 1; case is ignored.

    Returns:
        The most similar name; None if none is similar enough.
    """
    folded = {other.lower(): other for other in valid}
    near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=cutoff)
    return folded[near[0]] if near else None


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> str:
    """Format the error message for an unknown name, with the nearest valid name and the list of valid names.

    Args:
        kind: What was named ("fusion", "config key").
        name: The given name.
        valid: The valid names.

    Returns:
        One line, such as ``unknown fusion 'prodct': did you mean 'product'? (known: concat, product)``. If there are many valid
        names, only the nearest are listed.
    """
    names = sorted(valid)
    longer = [known for known in names if len(name) > 3 and name.lower() in known.lower()]
    near = min(longer, key=len) if longer else nearest(name, names, cutoff=0.5)
    guess = f": did you mean '{near}'?" if near else ""
    known = ", ".join(names)
    if len(names) > _MOST_LISTED:
        close = dict.fromkeys(longer + difflib.get_close_matches(name, names, n=5, cutoff=0.0))  # each once
        known = ", ".join(list(close)[:5]) + f", … {len(names)} in all"
    return f"unknown {kind} '{name}'{guess} (known: {known})"
