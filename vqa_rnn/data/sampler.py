"""Which questions make a batch, and which part of it each process computes."""

from collections.abc import Iterator, Sequence

import numpy as np

from vqa_rnn.data.columns import Ints

Parts = tuple[Ints, ...]
FARTHEST = 0.25  # of a part's size, from an even cut to the next change of the image


class QuestionSampler:
    """Batches of questions in an order that depends on the seed and the epoch alone.

    Batch size counts questions. Grouped by image, the images are shuffled and the questions of an image stay together, so that
    its features are read and projected once; an image that does not fit into what is left of a batch is split. Otherwise
    every question is shuffled by itself, as most published code does, and a batch holds many more images.

    This process gets its part of every batch: the batch is cut into one part a process, and that into ``accumulation`` parts
    which are computed one after the other. Neither cut moves a question into another batch, so that an optimizer step sees the
    same questions however many processes share it. Cuts fall between two images where that leaves the parts about equal. A part
    is empty only where there are fewer questions than parts.

    With ``mirror`` the second half of the questions are those of the first half about mirrored images. A pass asks each
    question once: by chance about an image, or about its mirror image.

    Attributes:
        num_questions: Questions a pass, over all processes.
        epoch: The next pass; set it before each epoch.
        start: Batches of that pass that are left out because they were done before.
    """

    def __init__(
        self,
        image: Ints,
        batch_size: int,
        *,
        shuffle: bool,
        group_by_image: bool = True,
        mirror: bool = False,
        seed: int = 0,
        accumulation: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Take the questions.

        Args:
            image: (N,) integers, the image of each question.
            batch_size: Questions a batch, over all processes.
            shuffle: Shuffle every epoch; otherwise images come in the order of their first question.
            group_by_image: Shuffle images and not questions.
            mirror: The second half of the questions are about mirrored images.
            seed: Seed of the order.
            accumulation: Parts of a batch that this process computes one after the other.
            rank: Which process this is.
            world_size: How many there are.
        """
        self.num_questions = len(image) // 2 if mirror else len(image)
        self._all_images, self._image = image, image[: self.num_questions]
        self._mirror = mirror
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._group_by_image = group_by_image
        self._seed = seed
        self._accumulation = accumulation
        self._rank = rank
        self._world_size = world_size
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return -(-len(self._image) // self._batch_size)

    def __iter__(self) -> Iterator[Parts]:
        order = self._order()
        if self._mirror:
            order = order + self.num_questions * self._is_mirrored()[self._image[order]]
        for start in range(self.start * self._batch_size, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            if not self._group_by_image:  # a part shares its images all the same
                batch = batch[np.argsort(self._all_images[batch], kind="stable")]
            mine = self._cut(batch, self._world_size)[self._rank]
            # The last part decides which gradients are exchanged between processes: it must not be the empty one.
            yield tuple(sorted(self._cut(mine, self._accumulation), key=lambda part: len(part) > 0))

    def _is_mirrored(self) -> Ints:
        """(images,) 1 for those that this pass shows mirrored, 0 for the others."""
        return np.random.default_rng([self._seed, self.epoch, 1]).integers(2, size=self._image.max(initial=-1) + 1)

    def _order(self) -> Ints:
        """All questions in the order of this pass."""
        if not self._shuffle:
            return np.argsort(self._image, kind="stable")
        generator = np.random.default_rng([self._seed, self.epoch])
        if not self._group_by_image:
            return generator.permutation(len(self._image))
        return np.argsort(generator.permutation(self._image.max(initial=-1) + 1)[self._image], kind="stable")

    def _cut(self, questions: Ints, num_parts: int) -> Sequence[Ints]:
        """Cut where the image changes if that is near an even cut, else evenly."""
        if num_parts == 1:
            return [questions]
        image = self._all_images[questions]
        part_size = len(image) / num_parts
        even = np.arange(1, num_parts) * part_size
        borders = np.concatenate([[0], np.flatnonzero(image[1:] != image[:-1]) + 1, [len(image)]])
        nearest = borders[np.abs(borders[:, None] - even).argmin(axis=0)]
        is_near = np.abs(nearest - even) <= FARTHEST * part_size
        return np.split(questions, np.where(is_near, nearest, np.rint(even).astype(np.int64)))
