"""Writing files so that nothing is ever half-written, and guessing what a misspelt name meant."""

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
    """Give a temporary path beside ``path``; rename it to ``path`` when the block ends well, delete it otherwise.

    Args:
        path: Where the finished file will lie. Its folder is made if it is missing.

    Yields:
        The temporary path to write to, with the same suffix as ``path``.

    Raises:
        UserError: It is a folder, its folder cannot be made or the file cannot be put in place (no permission, disk full).
    """
    if not path.name or path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # or a machine that stops may leave an empty file under the new name
        os.chmod(temporary, 0o666 & ~_umask())  # some writers make private files
        os.replace(temporary, path)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error  # HDF5 says much more
        raise UserError(f"cannot write {path}: {why}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def hold(lock: Path, busy: str) -> Iterator[None]:
    """Keep other processes out while the block runs.

    Args:
        lock: A file that stands for what is held; it is removed at the end. Its folder is made if it is missing.
        busy: What to say to the others.

    Yields:
        Nothing.

    Raises:
        HeldError: Another process holds it.
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
    """See that a file that was renamed into a folder keeps its new name after a power cut, where the system can tell.

    Args:
        folder: The folder.
    """
    with suppress(OSError):  # not every file system opens folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text in one piece: readers see the old file or the new one, never half of it.

    Args:
        path: The file to write.
        text: Its whole content.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def file_hash(path: Path) -> str:
    """Hash what is in a file.

    Args:
        path: The file.

    Returns:
        Its SHA-256, in hexadecimal digits.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def append_line(path: Path, line: str) -> None:
    """Add a line of UTF-8 text to a file.

    Args:
        path: The file; made if it is missing.
        line: Without its line end.

    Raises:
        UserError: The file cannot be written (no permission, disk full).
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON in one piece.

    Args:
        path: The file to write.
        value: Anything ``json.dumps`` takes.
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
    """The name that may have been meant.

    Args:
        name: The name given.
        valid: The names that exist.
        cutoff: How alike they must be, from 0 to 1; capitals do not count.

    Returns:
        The most alike, or None.
    """
    folded = {other.lower(): other for other in valid}
    near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=cutoff)
    return folded[near[0]] if near else None


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> str:
    """Say that a name is unknown, with the nearest valid one and the whole list.

    Args:
        kind: What was named ("fusion", "config key").
        name: The name given.
        valid: The names that exist.

    Returns:
        One line, such as ``unknown fusion 'prodct': did you mean 'product'? (known: concat, product)``. Of many names only
        the nearest are listed.
    """
    names = sorted(valid)
    longer = [known for known in names if len(name) > 3 and name.lower() in known.lower()]
    near = min(longer, key=len) if longer else nearest(name, names, cutoff=0.5)
    guess = f": did you mean '{near}'?" if near else ""
    known = ", ".join(names)
    if len(names) > _MOST_LISTED:
        known = ", ".join((longer + difflib.get_close_matches(name, names, n=5, cutoff=0.0))[:5]) + f", … {len(names)} in all"
    return f"unknown {kind} '{name}'{guess} (known: {known})"
