"""Images read, decoded and scaled in threads, ahead of the backbone that wants them."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from vqa_rnn.threads import num_cpus

BATCHES_AHEAD, IMAGES_AHEAD = 3, 32  # decoded beside a GPU
IMAGES_AT_ONCE = 32  # decoded before a backbone that needs the same cores goes on


def read_ahead(
    pool: ThreadPoolExecutor,
    batches: Sequence[Sequence[int]],
    fetch: Callable[[int], bytes],
    decode: Callable[[int, bytes], Any],
    *,
    beside: bool,
) -> Iterator[tuple[Sequence[int], list[Any]]]:
    """Read and decode batches of images.

    Args:
        pool: Threads, one a core.
        batches: The rows of each batch.
        fetch: Reads the file of a row.
        decode: What is wanted of a row, from the content of its file.
        beside: Decode the next batches while the caller works on a GPU. A backbone on the CPU needs every core: while it works
            the next files are read and no more, and then decoded on all cores at once.

    Yields:
        The rows of a batch, and for each row what ``decode`` gave or the exception that it or ``fetch`` raised.
    """
    contents: dict[int, bytes] = {}

    def read(row: int) -> None:
        contents[row] = fetch(row)

    def decode_row(row: int) -> Any:
        content = contents.pop(row, None)
        return decode(row, fetch(row) if content is None else content)

    if beside:
        queue: list[tuple[Sequence[int], list[Any], list[Future[None]]]] = []
        for rows in batches:
            queue.append((rows, *_start(pool, rows, decode_row)))
            if len(queue) > max(BATCHES_AHEAD, IMAGES_AHEAD // len(rows)):
                yield _wait(*queue.pop(0))
        for begun in queue:
            yield _wait(*begun)
        return
    batches_at_once = max(1, IMAGES_AT_ONCE // max(map(len, batches), default=1))
    groups = [batches[start : start + batches_at_once] for start in range(0, len(batches), batches_at_once)]
    reading: list[Future[None]] = []
    for group, following in zip(groups, [*groups[1:], []], strict=True):
        rows = [row for batch in group for row in batch]
        wait(reading)
        _, decoded = _wait(rows, *_start(pool, rows, decode_row))
        _, reading = _start(pool, [row for batch in following for row in batch], read)
        place = 0
        for batch in group:
            yield batch, decoded[place : place + len(batch)]
            place += len(batch)


def _start(pool: ThreadPoolExecutor, rows: Sequence[int], work: Callable[[int], Any]) -> tuple[list[Any], list[Future[None]]]:
    """Let threads take one row after the other; a task a row would cost more than to decode a small image."""
    results: list[Any] = [None] * len(rows)
    places = iter(range(len(rows)))

    def take() -> None:
        for place in places:
            try:
                results[place] = work(rows[place])
            except BaseException as error:  # the caller raises it when it comes to this row
                results[place] = error

    return results, [pool.submit(take) for _ in range(min(num_cpus(), len(rows)))]


def _wait(rows: Sequence[int], results: list[Any], threads: list[Future[None]]) -> tuple[Sequence[int], list[Any]]:
    for thread in threads:
        thread.result()
    return rows, results
