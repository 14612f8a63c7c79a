"""Resumable downloads over HTTP.

The downloaded part of a file is kept in ``NAME.part``. ``NAME.part.json`` identifies the file: its URL, its size, and the
server's version mark (``ETag`` or ``Last-Modified``). A download is resumed only if all three still match, so that parts of
different versions are never joined.
"""

import http.client
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from rich.progress import Progress, TaskID

from vqa_rnn.datasets.catalogue import readable_size
from vqa_rnn.errors import UserError
from vqa_rnn.files import write_json
from vqa_rnn.progress import progress_bar

BACKOFF_SECONDS = (1.0, 2.0, 4.0)
TIMEOUT_SECONDS = 60.0
_CHUNK_BYTES = 2**18
_WORTHWHILE_BYTES = 2**20  # an attempt that downloads this much resets the count of failures
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_RANGE_REFUSED = 416
_PARTIAL = 206
_TRANSIENT = (URLError, http.client.HTTPException, ConnectionError, TimeoutError)


class Unavailable(Exception):  # noqa: N818  # not a UserError, as another URL may work
    """A URL does not provide the file: it is not found, it is a web page, or the server cannot be reached."""


class _Cut(ConnectionError):  # noqa: N818
    """The response ended before the end of the file, or does not continue the downloaded part."""


@dataclass(frozen=True)
class _Begun:
    """Identity of the file that a part belongs to."""

    url: str
    size: int | None
    mark: str | None


def part_of(target: Path) -> Path:
    """Return the path of the downloaded part of a file.

    Args:
        target: Path of the file.

    Returns:
        The same path with ``.part`` appended.
    """
    return target.with_name(f"{target.name}.part")


def forget(part: Path) -> None:
    """Delete a part and its ``.json`` file.

    Args:
        part: Path of the part, which may be missing.
    """
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def fetch(url: str, part: Path) -> None:
    """Download a file. A part is resumed, and failed connections are retried a few times.

    Args:
        url: URL of the file.
        part: Path to download to.

    Raises:
        Unavailable: The server does not have the file, or cannot be reached.
        UserError: All retries failed in the middle of the file, or the disk is full. The downloaded part is kept.
    """
    name = part.name.removesuffix(".part")
    failures = 0
    with progress_bar() as bar:
        shown = _Shown(bar, bar.add_task(f"{name} (MB)", total=None, rate=""))
        while True:
            before = _size(part)
            try:
                _fetch_rest(url, part, shown)
                return
            except HTTPError as error:
                if error.code == _RANGE_REFUSED:
                    forget(part)
                elif error.code not in _PASSING:
                    raise Unavailable(f"{url} answers {error.code} {error.reason}") from None
                reason = f"{error.code} {error.reason}"
            except _TRANSIENT as error:
                reason = str(getattr(error, "reason", error)) or type(error).__name__
            if _size(part) - before >= _WORTHWHILE_BYTES:
                failures = 0
            if failures == len(BACKOFF_SECONDS):
                break
            time.sleep(BACKOFF_SECONDS[failures])
            failures += 1
    if not _size(part):
        raise Unavailable(f"{url} cannot be reached ({reason})")
    begun = _read_note(part)
    whole = f" of {readable_size(begun.size)}" if begun and begun.size else ""
    raise UserError(
        f"{name}: the connection to {url} was cut at {readable_size(_size(part))}{whole} ({reason}); "
        "run the same command again to continue"
    )


class _Shown:
    """Progress bar of a download."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task
        self._start, self._at_start = time.monotonic(), 0

    def begin(self, have: int, size: int | None) -> None:
        self._start, self._at_start = time.monotonic(), have
        self._bar.update(self._task, completed=have / 1e6, total=None if size is None else size / 1e6)

    def move(self, have: int) -> None:
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = f"{readable_size((have - self._at_start) / seconds)}/s"
        self._bar.update(self._task, completed=have / 1e6, rate=rate)


def _fetch_rest(url: str, part: Path, shown: _Shown) -> None:
    begun = _read_note(part)
    if begun and (begun.url != url or (begun.size is None and begun.mark is None)):
        begun = None
    have = _size(part) if begun else 0
    if begun and have and begun.size == have:
        return
    with urlopen(_request(url, begun, have), timeout=TIMEOUT_SECONDS) as response:
        now = _Begun(url, _whole_size(response), _mark(response))
        goes_on = response.status == _PARTIAL
        if goes_on and (now != begun or _first_byte(response) != have):
            forget(part)
            raise _Cut("the file on the server has changed")
        if not goes_on:
            _refuse_web_page(url, part, response)
            have = 0
            forget(part)
            _write(lambda: write_json(_note(part), asdict(now)), part)
        _refuse_full_disc(part, now.size, have)
        shown.begin(have, now.size)
        with _open(part, goes_on) as file:
            while chunk := _read(response):
                write_chunk(file, chunk, part)
                have += len(chunk)
                shown.move(have)
    if now.size is not None and have < now.size:
        raise _Cut("the answer ended too early")


def _read(response: Any) -> bytes:
    try:
        return bytes(response.read(_CHUNK_BYTES))
    except OSError as error:  # any network error, such as no route to the host or a TLS failure; no disk error
        raise _Cut(str(error) or type(error).__name__) from error


def _request(url: str, begun: _Begun | None, have: int) -> Request:
    headers = {"User-Agent": "vqa-rnn", "Accept-Encoding": "identity"}  # a compressed response cannot be resumed
    if begun and have:
        headers["Range"] = f"bytes={have}-"
        if begun.mark and not begun.mark.startswith("W/"):  # HTTP forbids weak ones here; the response is compared anyway
            headers["If-Range"] = begun.mark
    return Request(url, headers=headers)


def _whole_size(response: Any) -> int | None:
    if response.status == _PARTIAL:
        found = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
        return int(found[1]) if found else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _first_byte(response: Any) -> int | None:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _mark(response: Any) -> str | None:
    """Return the server's version mark of the file."""
    return response.headers.get("ETag") or response.headers.get("Last-Modified")


def _refuse_web_page(url: str, part: Path, response: Any) -> None:
    kind = response.headers.get("Content-Type", "")
    if kind.startswith("text/html") and not part.name.endswith((".html.part", ".htm.part")):
        raise Unavailable(f"{url} answers with a web page in place of the file")


def _refuse_full_disc(part: Path, size: int | None, have: int) -> None:
    if size is None:
        return
    free = shutil.disk_usage(part.parent).free
    if free < size - have:
        raise UserError(
            f"cannot write {part}: {readable_size(size - have)} are still to come and the disc has {readable_size(free)} free; "
            "make room and run the same command again"
        )


def write_chunk(file: IO[bytes], chunk: bytes, part: Path) -> None:
    """Write and flush a chunk, so that a full disk is noticed here and all earlier chunks are kept.

    Args:
        file: The open part.
        chunk: The downloaded bytes.
        part: Path of the part, for the error message.

    Raises:
        UserError: The chunk cannot be written, for example because the disk is full.
    """

    def write() -> None:
        file.write(chunk)
        file.flush()

    _write(write, part)


def _open(part: Path, goes_on: bool) -> IO[bytes]:
    try:
        return part.open("ab" if goes_on else "wb")
    except OSError as error:
        raise UserError(f"cannot write {part}: {error.strerror or error}") from error


def _write(write: Callable[[], None], part: Path) -> None:
    try:
        write()
    except OSError as error:
        said = os.strerror(error.errno) if error.errno else error
        raise UserError(f"cannot write {part}: {said}; make room and run the same command again to continue") from error


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_note(part: Path) -> _Begun | None:
    """Return the identity of the file of a part. If it cannot be read, return None: the file is downloaded again."""
    try:
        return _Begun(**json.loads(_note(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0
