"""A text as parallel streams, read in chunks: the data of truncated backpropagation through time.

Shape letters: M entries of the text, N streams, T steps of a chunk.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

IGNORED = -100  # the target of a step behind the end of the text; torch's cross-entropy leaves it out


@dataclass(frozen=True, slots=True)
class TextChunk:
    """Consecutive steps of all streams.

    Attributes:
        inputs: (N, T) int64, the entries that are read; 0 behind the end of the text.
        targets: (N, T) int64, the entry after each of them; ``IGNORED`` behind the end of the text.
        is_first: Whether the streams start with this chunk; otherwise the state of the chunk before is carried on.
    """

    inputs: Tensor
    targets: Tensor
    is_first: bool

    @property
    def num_examples(self) -> int:
        """Number of predictions."""
        return int((self.targets != IGNORED).sum())

    @property
    def example_index(self) -> Tensor:
        """(N,) int64, the streams."""
        return torch.arange(len(self.inputs))

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "TextChunk":
        """Copy to a device.

        Args:
            device: The device.
            non_blocking: Copy asynchronously, where the memory is pinned.

        Returns:
            The chunk there.
        """
        inputs = self.inputs.to(device, non_blocking=non_blocking)
        return TextChunk(inputs, self.targets.to(device, non_blocking=non_blocking), self.is_first)


class TextStreams:
    """The chunks of a text that was cut into streams of equal length.

    Stream n starts where stream n - 1 ends, so every entry but the first is predicted exactly once a pass.

    Attributes:
        num_streams: N; less than asked for where the text is too short for so many.
        num_predictions: M - 1.
        epoch: Unused: every pass has the same order.
        start: Chunks of the next pass to skip, because they were done before an interruption.
    """

    def __init__(self, entries: NDArray[np.int32], num_streams: int, chunk_length: int) -> None:
        """Cut the text.

        Args:
            entries: (M,) the numbers of the text's entries; M at least 2.
            num_streams: N, at most.
            chunk_length: T, the steps of a chunk; the last chunk may be shorter.
        """
        self.num_predictions = len(entries) - 1
        self._width = -(-self.num_predictions // min(num_streams, self.num_predictions))
        self.num_streams = -(-self.num_predictions // self._width)
        self._chunk_length = chunk_length
        self._entries = entries
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return -(-self._width // self._chunk_length)

    def __iter__(self) -> Iterator[tuple[TextChunk]]:
        for chunk in range(self.start, len(self)):
            yield (self._chunk(chunk),)

    def _chunk(self, number: int) -> TextChunk:
        steps = np.arange(number * self._chunk_length, min((number + 1) * self._chunk_length, self._width))
        places_NT = np.arange(self.num_streams)[:, None] * self._width + steps
        exists_NT = places_NT < self.num_predictions
        places_NT = np.where(exists_NT, places_NT, 0)
        inputs = np.where(exists_NT, self._entries[places_NT], 0).astype(np.int64)
        targets = np.where(exists_NT, self._entries[places_NT + 1], IGNORED).astype(np.int64)
        return TextChunk(torch.from_numpy(inputs), torch.from_numpy(targets), is_first=number == 0)
