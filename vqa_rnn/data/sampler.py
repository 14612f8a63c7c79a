"""Which questions make a batch: grouped by image, so that an image's features are read and projected once."""

from collections.abc import Iterator, Sequence

import numpy as np

from vqa_rnn.data.columns import Ints

Parts = tuple[Ints, ...]


class ImageGroupedBatches:
    """Batches of whole images in an order that depends on the seed and the epoch alone.

    Batch size counts questions. Images are shuffled, the questions of an image stay together; an image that does not fit
    into what is left of a batch is split. This process gets its part of every batch: the batch is cut by image into one part
    a process, and that into ``accumulation`` parts which are computed one after the other. Neither cut moves a question into
    another batch, so that an optimizer step sees the same questions however many processes share it. A part may be empty.

    Attributes:
        epoch: The next pass; set it before each epoch.
        start: Batches of that pass that are left out because they were done before.
    """

    def __init__(
        self,
        image: Ints,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        accumulation: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Group questions.

        Args:
            image: (N,) integers, the image of each question.
            batch_size: Questions a batch, over all processes.
            shuffle: Shuffle the images every epoch; otherwise they come in the order of their first question.
            seed: Seed of the order.
            accumulation: Parts of a batch that this process computes one after the other.
            rank: Which process this is.
            world_size: How many there are.
        """
        self._image = image
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._seed = seed
        self._accumulation = accumulation
        self._rank = rank
        self._world_size = world_size
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return -(-len(self._image) // self._batch_size)

    def __iter__(self) -> Iterator[Parts]:
        key = self._image
        if self._shuffle:
            generator = np.random.default_rng([self._seed, self.epoch])
            key = generator.permutation(self._image.max(initial=-1) + 1)[self._image]
        order = np.argsort(key, kind="stable")
        for start in range(self.start * self._batch_size, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            mine = self._cut(batch, self._world_size)[self._rank]
            # The last part decides which gradients are exchanged between processes: it must not be the empty one.
            yield tuple(sorted(self._cut(mine, self._accumulation), key=lambda part: len(part) > 0))

    def _cut(self, questions: Ints, num_parts: int) -> Sequence[Ints]:
        """Cut where the image changes, as near to equal numbers of questions as that allows."""
        if num_parts == 1:
            return [questions]
        image = self._image[questions]
        borders = np.concatenate([[0], np.flatnonzero(image[1:] != image[:-1]) + 1, [len(image)]])
        wanted = np.arange(1, num_parts) * len(image) / num_parts
        cuts = borders[np.abs(borders[:, None] - wanted).argmin(axis=0)]
        return np.split(questions, cuts)
