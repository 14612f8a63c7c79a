"""Which questions make a batch: grouped by image, so that an image's features are read and projected once."""

from collections.abc import Iterator

import numpy as np

from vqa_rnn.data.encoding import Ints


class ImageGroupedBatches:
    """Batches of whole images in an order that depends on the seed and the epoch alone.

    Batch size counts questions. Images are shuffled, the questions of an image stay together; an image that does not fit
    into what is left of a batch is split.

    Attributes:
        epoch: The next pass; set it before each epoch.
    """

    def __init__(self, image: Ints, batch_size: int, *, shuffle: bool, seed: int = 0) -> None:
        """Group questions.

        Args:
            image: (N,) int64, the image of each question.
            batch_size: Questions a batch.
            shuffle: Shuffle the images every epoch; otherwise they come in the order of their first question.
            seed: Seed of the order.
        """
        self._image = image
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self._image) // self._batch_size)

    def __iter__(self) -> Iterator[Ints]:
        key = self._image
        if self._shuffle:
            generator = np.random.default_rng([self._seed, self.epoch])
            key = generator.permutation(self._image.max(initial=-1) + 1)[self._image]
        order = np.argsort(key, kind="stable")
        for start in range(0, len(order), self._batch_size):
            yield order[start : start + self._batch_size]
