"""Sampler of the questions of each batch, and of the part of a batch that each process computes."""

from collections.abc import Iterator, Sequence

import numpy as np

from vqa_rnn.data.columns import Ints

Parts = tuple[Ints, ...]
FARTHEST = 0.25  # largest distance from an even cut to an image boundary, as a share of the part size


class QuestionSampler:
    """Sampler of batches of questions, in an order that depends only on the seed and the epoch.

    The batch size counts questions. With ``group_by_image`` the images are shuffled and the questions of an image stay
    together, so that its features are read and projected once. If an image does not fit into the rest of a batch, its questions
    are divided between batches. Without ``group_by_image`` the questions are shuffled individually, as in most published
    code, and a batch contains many more images.

    Each process gets its part of every batch. A batch is cut into one part per process, and each of these into
    ``accumulation`` parts, which are computed one after the other. The cuts never move a question to another batch, so that an
    optimizer step uses the same questions for any number of processes. A batch is cut between two images if this leaves the
    parts about equal. Parts can be empty if a batch has few questions.

    With ``mirror`` the second half of the questions are those of the first half about mirrored images. Each epoch asks each
    question once, at random about the image or about its mirror image.

    Attributes:
        num_questions: Number of questions per epoch, over all processes.
        epoch: Index of the epoch; set it before each epoch.
        start: Number of batches to skip at the start of the epoch, because they were computed before.
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
        """Set up the sampler.

        Args:
            image: (N,) integers, image index of each question.
            batch_size: Number of questions per batch, over all processes.
            shuffle: Whether to shuffle every epoch. Otherwise questions are sorted by image index.
            group_by_image: Whether to shuffle images instead of questions.
            mirror: Whether the second half of the questions are about mirrored images.
            seed: Seed of the order.
            accumulation: Number of parts of a batch that this process computes one after the other.
            rank: Index of this process.
            world_size: Number of processes.
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
            if not self._group_by_image:  # so that a part has few images
                batch = batch[np.argsort(self._all_images[batch], kind="stable")]
            mine = self._cut(batch, self._world_size)[self._rank]
            # The last part determines which gradients are exchanged between processes, so empty parts come first.
            yield tuple(sorted(self._cut(mine, self._accumulation), key=lambda part: len(part) > 0))

    def _is_mirrored(self) -> Ints:
        """Return (images,) integers: 1 for images that are mirrored in this epoch, 0 for the others."""
        return np.random.default_rng([self._seed, self.epoch, 1]).integers(2, size=self._image.max(initial=-1) + 1)

    def _order(self) -> Ints:
        """Return the indices of all questions in the order of this epoch."""
        if not self._shuffle:
            return np.argsort(self._image, kind="stable")
        generator = np.random.default_rng([self._seed, self.epoch])
        if not self._group_by_image:
            return generator.permutation(len(self._image))
        return np.argsort(generator.permutation(self._image.max(initial=-1) + 1)[self._image], kind="stable")

    def _cut(self, questions: Ints, num_parts: int) -> Sequence[Ints]:
        """Cut at the image boundary that is nearest to each even cut if it is near enough, otherwise at the even cut."""
        if num_parts == 1:
            return [questions]
        image = self._all_images[questions]
        part_size = len(image) / num_parts
        even = np.arange(1, num_parts) * part_size
        borders = np.concatenate([[0], np.flatnonzero(image[1:] != image[:-1]) + 1, [len(image)]])
        nearest = borders[np.abs(borders[:, None] - even).argmin(axis=0)]
        is_near = np.abs(nearest - even) <= FARTHEST * part_size
        return np.split(questions, np.where(is_near, nearest, np.rint(even).astype(np.int64)))
