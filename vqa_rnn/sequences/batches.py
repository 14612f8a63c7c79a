"""Batches of independent examples, in an order that depends only on the seed and the epoch."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

PartT = TypeVar("PartT")


class ExampleBatches(Generic[PartT]):
    """The batches of a set of examples.

    Attributes:
        num_examples: Number of examples.
        epoch: The next epoch; it decides the order.
        start: Number of batches of that epoch to skip, because they were done before an interruption.
    """

    def __init__(
        self,
        num_examples: int,
        batch_size: int,
        collate: Callable[[NDArray[np.int64]], PartT],
        *,
        shuffle: bool,
        seed: int = 0,
    ) -> None:
        """Set the batches up.

        Args:
            num_examples: Number of examples.
            batch_size: Examples per batch; the last batch may be smaller.
            collate: Makes a batch from (N,) indices of examples.
            shuffle: Whether to shuffle the examples in each epoch.
            seed: Seed of the order.
        """
        self.num_examples = num_examples
        self.epoch = 0
        self.start = 0
        self._batch_size = batch_size
        self._collate = collate
        self._shuffle = shuffle
        self._seed = seed

    def __len__(self) -> int:
        return -(-self.num_examples // self._batch_size)

    def __iter__(self) -> Iterator[tuple[PartT]]:
        order = np.arange(self.num_examples)
        if self._shuffle:
            order = np.random.default_rng([self._seed, self.epoch]).permutation(self.num_examples)
        for number in range(self.start, len(self)):
            yield (self._collate(order[number * self._batch_size : (number + 1) * self._batch_size]),)
