"""Reading, decoding and scaling of images ahead of the backbone: in threads between its passes, or in processes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
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

IMAGES_AT_ONCE = 32  # decoded at a time, before a backbone on the same cores continues
IMAGES_A_PROCESS = 16  # decoded at a time by a loader process


class ImageBatch(NamedTuple):
    """Images of some rows of a store.

    Attributes:
        good: The rows whose images could be read.
        hashes: xxh64 of the image file of each of these rows.
        failed: The errors of the other rows, by row.
        images: The images of the good rows, as packed by the transform; None if there are none.
    """

    good: list[int]
    hashes: list[int]
    failed: dict[int, UserError]
    images: Any


@dataclass(frozen=True, slots=True)
class ImageFiles(Dataset[ImageBatch]):
    """The image files of the rows of a store. The index is a sequence of rows, and the item is the batch of their images.

    Attributes:
        paths: The image file of each row.
        transform: Reads an image file for the backbone.
        boxes: (n, 4) boxes by row, for rows with boxes.
        mirrored: The rows whose images are flipped left to right.
    """

    paths: Sequence[Path]
    transform: Transform | DetectorTransform
    boxes: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)
    mirrored: frozenset[int] = frozenset()

    def __getitem__(self, rows: Sequence[int]) -> ImageBatch:
        return self.pack(rows, [self.decode(row) for row in rows])

    def fetch(self, row: int) -> bytes:
        """Read an image file.

        Args:
            row: The row of the image.

        Returns:
            The bytes of the file.

        Raises:
            UserError: The file cannot be read.
        """
        return read_content(self.paths[row])

    def decode(self, row: int, content: bytes | None = None) -> tuple[Any, int] | UserError:
        """Read, decode and scale an image.

        Args:
            row: The row of the image.
            content: The bytes of its file, if it was read before.

        Returns:
            The image and the hash of its file, or the error if it cannot be read.
        """
        try:
            content = self.fetch(row) if content is None else content
            boxes, mirror = self.boxes.get(row, NO_BOXES), row in self.mirrored
            image = self.transform.prepare(self.paths[row], boxes, content, mirror=mirror)
        except UserError as error:
            return error
        return image, xxhash.xxh64_intdigest(content)

    def pack(self, rows: Sequence[int], results: Sequence[tuple[Any, int] | BaseException]) -> ImageBatch:
        """Make a batch from the images of some rows. Errors other than ``UserError`` are raised again.

        Args:
            rows: The rows.
            results: What ``decode`` returned or raised for each row.

        Returns:
            The batch.
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
        """Concatenate the parts of a batch.

        Args:
            parts: At least one.
            pin_memory: Put pixels into pinned memory, from which a GPU copies asynchronously.

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
    """Read and decode batches for a backbone that uses all cores.

    While the backbone runs, the next files are only read. Between its passes they are decoded on all cores.

    Args:
        files: The image files.
        batches: The rows of each batch.

    Yields:
        The images of each batch.
    """
    contents: dict[int, bytes] = {}

    def read(row: int) -> None:
        with suppress(UserError):  # ``decode`` reports it
            contents[row] = files.fetch(row)

    def decode(row: int) -> Any:
        return files.decode(row, contents.pop(row, None))

    batches_at_once = max(1, IMAGES_AT_ONCE // max(map(len, batches), default=1))
    groups = [batches[start : start + batches_at_once] for start in range(0, len(batches), batches_at_once)]
    reading: list[Future[None]] = []
    with ThreadPoolExecutor(num_cpus()) as pool:
        for group, following in pairwise([*groups, []]):
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
    """Read and decode batches in separate processes, while a backbone computes on a GPU.

    Threads would compete with the backbone for the GIL: on 16 cores it then waited for more than half of the time.

    Args:
        files: The image files.
        batches: The rows of each batch.
        num_workers: Number of processes.
        pin_memory: Put pixels into pinned memory, from which a GPU copies asynchronously.

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
    """Prepare the next batch in a thread while the current one is used."""
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = thread.submit(next, batches, None)
            yield batch


def _as_it_is(batch: Any) -> Any:
    return batch


def _start(pool: ThreadPoolExecutor, rows: Sequence[int], work: Callable[[int], Any]) -> tuple[list[Any], list[Future[None]]]:
    """Start threads that take one row after the other. A task per row would cost more than decoding a small image."""
    results: list[Any] = [None] * len(rows)
    places = iter(range(len(rows)))

    def take() -> None:
        for place in places:
            try:
                results[place] = work(rows[place])
            except BaseException as error:  # ``pack`` raises it at this row, after the batches before it
                results[place] = error

    return results, [pool.submit(take) for _ in range(min(num_cpus(), len(rows)))]
