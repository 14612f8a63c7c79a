"""Images read, decoded and scaled ahead of the backbone that wants them: in threads between its passes, or in processes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from vqa_rnn.data.loader import outlive_signals
from vqa_rnn.errors import UserError
from vqa_rnn.features.detectors.base import DetectorTransform
from vqa_rnn.features.image_files import read_content
from vqa_rnn.features.regions import NO_BOXES
from vqa_rnn.features.transform import Transform
from vqa_rnn.threads import num_cpus

IMAGES_AT_ONCE = 32  # decoded before a backbone that needs the same cores goes on
IMAGES_A_PROCESS = 16  # that a loader process decodes in one piece


class ImageBatch(NamedTuple):
    """Images of some rows, as far as they could be read.

    Attributes:
        good: The rows whose images could be read.
        hashes: XXH64 of the file of each.
        failed: What was wrong with the others, by row.
        images: Of the good ones, as the transform packs them; None if there are none.
    """

    good: list[int]
    hashes: list[int]
    failed: dict[int, UserError]
    images: Any


@dataclass(frozen=True, slots=True)
class ImageFiles(Dataset[ImageBatch]):
    """The image files of the rows of a store; indexed by rows, gives their images.

    Attributes:
        paths: Of each row.
        transform: From a file to what the backbone takes.
        boxes: (n, 4) of the rows that have some.
        mirrored: The rows of images that are shown as a mirror does.
    """

    paths: Sequence[Path]
    transform: Transform | DetectorTransform
    boxes: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)
    mirrored: frozenset[int] = frozenset()

    def __getitem__(self, rows: Sequence[int]) -> ImageBatch:
        return self.pack(rows, [self.decode(row) for row in rows])

    def fetch(self, row: int) -> bytes:
        """Read a file.

        Args:
            row: Whose.

        Returns:
            Its content.

        Raises:
            UserError: It cannot be read.
        """
        return read_content(self.paths[row])

    def decode(self, row: int, content: bytes | None = None) -> tuple[Any, int] | UserError:
        """Read, decode and scale an image.

        Args:
            row: Whose.
            content: Of its file, if it was read before.

        Returns:
            The image and the hash of its file, or what is wrong with it.
        """
        try:
            content = self.fetch(row) if content is None else content
            boxes, mirror = self.boxes.get(row, NO_BOXES), row in self.mirrored
            image = self.transform.prepare(self.paths[row], boxes, content, mirror=mirror)
        except UserError as error:
            return error
        return image, xxhash.xxh64_intdigest(content)

    def pack(self, rows: Sequence[int], results: Sequence[tuple[Any, int] | BaseException]) -> ImageBatch:
        """Put the images of some rows together.

        Args:
            rows: The rows.
            results: What ``decode`` gave or raised for each.

        Returns:
            The batch. What was raised is raised again.
        """
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, UserError):
                raise result
        found = {row: result for row, result in zip(rows, results, strict=True) if not isinstance(result, BaseException)}
        failed = {row: result for row, result in zip(rows, results, strict=True) if isinstance(result, UserError)}
        images = [image for image, _ in found.values()]
        packed = self.transform.pack(images) if images else None
        return ImageBatch(list(found), [source_hash for _, source_hash in found.values()], failed, packed)

    def join(self, parts: Sequence[ImageBatch], *, pin_memory: bool) -> ImageBatch:
        """Put the parts of a batch together.

        Args:
            parts: At least one.
            pin_memory: Put pixels where a GPU can fetch them by itself.

        Returns:
            The batch.
        """
        packs = [part.images for part in parts if part.images is not None]
        return ImageBatch(
            good=[row for part in parts for row in part.good],
            hashes=[source_hash for part in parts for source_hash in part.hashes],
            failed={row: error for part in parts for row, error in part.failed.items()},
            images=self.transform.join(packs, pin_memory=pin_memory) if packs else None,
        )


def read_between(files: ImageFiles, batches: Sequence[Sequence[int]]) -> Iterator[ImageBatch]:
    """Read and decode batches for a backbone that needs every core.

    While it works the next files are read and no more; then they are decoded on all cores at once.

    Args:
        files: The image files.
        batches: The rows of each batch.

    Yields:
        The images of each batch.
    """
    contents: dict[int, bytes] = {}

    def read(row: int) -> None:
        with suppress(UserError):  # decode says so
            contents[row] = files.fetch(row)

    def decode(row: int) -> Any:
        return files.decode(row, contents.pop(row, None))

    batches_at_once = max(1, IMAGES_AT_ONCE // max(map(len, batches), default=1))
    groups = [batches[start : start + batches_at_once] for start in range(0, len(batches), batches_at_once)]
    reading: list[Future[None]] = []
    with ThreadPoolExecutor(num_cpus()) as pool:
        for group, following in zip(groups, [*groups[1:], []], strict=True):
            rows = [row for batch in group for row in batch]
            wait(reading)
            results, decoding = _start(pool, rows, decode)
            wait(decoding)
            _, reading = _start(pool, [row for batch in following for row in batch], read)
            place = 0
            for batch in group:
                yield files.pack(batch, results[place : place + len(batch)])
                place += len(batch)


def read_beside(
    files: ImageFiles, batches: Sequence[Sequence[int]], num_workers: int, *, pin_memory: bool
) -> Iterator[ImageBatch]:
    """Read and decode batches in processes of their own, while a backbone computes on a GPU.

    Threads would share Python's lock with it: on 16 cores they left it waiting for more than half of the time.

    Args:
        files: The image files.
        batches: The rows of each batch.
        num_workers: How many processes.
        pin_memory: Put pixels where a GPU can fetch them by itself.

    Yields:
        The images of each batch.
    """
    pieces = [[rows[start : start + IMAGES_A_PROCESS] for start in range(0, len(rows), IMAGES_A_PROCESS)] for rows in batches]
    loader: DataLoader[ImageBatch] = DataLoader(
        files,
        sampler=[piece for batch in pieces for piece in batch],  # type: ignore[arg-type]
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=num_workers,
        worker_init_fn=outlive_signals,
        generator=torch.Generator(),
    )
    decoded = iter(loader)
    yield from _one_ahead(files.join([next(decoded) for _ in batch], pin_memory=pin_memory) for batch in pieces)


def _one_ahead(batches: Iterator[ImageBatch]) -> Iterator[ImageBatch]:
    """Let a thread put the next batch together while the last is used."""
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = thread.submit(next, batches, None)
            yield batch


def _as_it_is(batch: Any) -> Any:
    return batch


def _start(pool: ThreadPoolExecutor, rows: Sequence[int], work: Callable[[int], Any]) -> tuple[list[Any], list[Future[None]]]:
    """Let threads take one row after the other; a task a row would cost more than to decode a small image."""
    results: list[Any] = [None] * len(rows)
    places = iter(range(len(rows)))

    def take() -> None:
        for place in places:
            try:
                results[place] = work(rows[place])
            except BaseException as error:  # ``pack`` raises it when it comes to this row, with those before it done
                results[place] = error

    return results, [pool.submit(take) for _ in range(min(num_cpus(), len(rows)))]
