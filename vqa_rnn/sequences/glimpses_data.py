"""Scenes of several digits, made from single ones.

Shape letters: N scenes, D most digits of a scene, T = D + 1 targets, S side of a scene, P side of a digit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqa_rnn.config.glimpses import ScenesConfig
from vqa_rnn.sequences.batches import ExampleBatches
from vqa_rnn.sequences.digits import Digits, DigitSplit, read_digits

END = 10
ENTRIES = (*(str(digit) for digit in range(10)), "end")
IGNORED = -100  # the target behind the end
FIXED_SEED = 0


class Scenes(NamedTuple):
    """Scenes with their digits from left to right.

    Attributes:
        images: (N, S, S) float32 from 0 to 1.
        targets: (N, T) int64, the digits and then ``END``; ``IGNORED`` behind it.
        corners: (N, D, 2) int64, column and row of the upper left pixel of each digit; those of missing digits mean nothing.
    """

    images: NDArray[np.float32]
    targets: NDArray[np.int64]
    corners: NDArray[np.int64]

    def take(self, index: NDArray[np.int64] | slice) -> "Scenes":
        """Choose scenes.

        Args:
            index: Their numbers.

        Returns:
            These scenes.
        """
        return Scenes(self.images[index], self.targets[index], self.corners[index])


@dataclass(frozen=True, slots=True)
class SceneBatch:
    """A batch of scenes.

    Attributes:
        images: (N, S, S) float32 from 0 to 1.
        targets: (N, T) int64, as in ``Scenes``.
        example_index: (N,) int64, the number of each scene in the epoch.
    """

    images: Tensor
    targets: Tensor
    example_index: Tensor

    @property
    def num_examples(self) -> int:
        """Number of scenes."""
        return len(self.images)

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "SceneBatch":
        """Copy to a device.

        Args:
            device: The device.
            non_blocking: Copy asynchronously, where the memory is pinned.

        Returns:
            The batch there.
        """
        images, targets = (part.to(device, non_blocking=non_blocking) for part in (self.images, self.targets))
        return SceneBatch(images, targets, self.example_index)


def make_scenes(digits: Digits, options: ScenesConfig, num_scenes: int, generator: np.random.Generator) -> Scenes:
    """Make scenes of digits at random places.

    No two digits of a scene share a column of pixels, so that their order from left to right is clear.

    Args:
        digits: The single digits, P x P pixels.
        options: Number of digits, and S.
        num_scenes: N.
        generator: Source of the random numbers.

    Returns:
        The scenes.
    """
    most, size, side = options.num_digits, options.canvas_size, digits.images.shape[1]
    counts_N = generator.integers(options.fewest_digits or most, most + 1, num_scenes)
    index_ND = generator.integers(len(digits.labels), size=(num_scenes, most))
    top_ND = generator.integers(size - side + 1, size=(num_scenes, most))
    share_ND = generator.random((num_scenes, most))
    exists_ND = np.arange(most) < counts_N[:, None]
    share_ND = np.sort(np.where(exists_ND, share_ND, 2), axis=1)  # those that do not exist stay at the end
    free_N1 = (size - side * counts_N)[:, None]
    left_ND = (share_ND * (free_N1 + 1)).astype(np.int64) + side * np.arange(most)
    images = np.zeros((num_scenes, size, size), np.float32)
    pixels = np.arange(side)
    for place in range(most):
        scene = np.flatnonzero(exists_ND[:, place])
        rows = top_ND[scene, place][:, None, None] + pixels[:, None]
        columns = left_ND[scene, place][:, None, None] + pixels
        images[scene[:, None, None], rows, columns] = digits.images[index_ND[scene, place]]
    targets = np.full((num_scenes, most + 1), IGNORED, np.int64)
    targets[:, :most] = np.where(exists_ND, digits.labels[index_ND], IGNORED)
    targets[np.arange(num_scenes), counts_N] = END
    return Scenes(images, targets, np.stack([left_ND, top_ND], axis=2))


class SceneBatches:
    """Training batches: new scenes in each epoch, which depend only on the seed, the epoch and the number of the batch.

    Attributes:
        epoch: The next epoch.
        start: Number of batches of that epoch to skip, because they were done before an interruption.
    """

    def __init__(self, digits: Digits, options: ScenesConfig, batch_size: int, seed: int) -> None:
        """Set the batches up.

        Args:
            digits: The single digits.
            options: The scenes, with ``num_train`` scenes in an epoch.
            batch_size: Scenes per batch; the last batch may be smaller.
            seed: Seed of the scenes.
        """
        self.epoch = 0
        self.start = 0
        self._digits = digits
        self._options = options
        self._batch_size = batch_size
        self._seed = seed

    def __len__(self) -> int:
        return -(-self._options.num_train // self._batch_size)

    def __iter__(self) -> Iterator[tuple[SceneBatch]]:
        for number in range(self.start, len(self)):
            first = number * self._batch_size
            size = min(self._batch_size, self._options.num_train - first)
            generator = np.random.default_rng([self._seed, self.epoch, number])
            yield (_batch(make_scenes(self._digits, self._options, size, generator), np.arange(first, first + size)),)


def fixed_scenes(options: ScenesConfig, split: DigitSplit = "val") -> Scenes:
    """Make scenes to evaluate on.

    Args:
        options: The scenes.
        split: Whose digits they have; those of ``val`` are the validation scenes.

    Returns:
        ``num_val`` scenes, which depend only on the arguments.

    Raises:
        UserError: The digits cannot be read.
    """
    digits = read_digits(options.source, split, options.folder)
    return make_scenes(digits, options, options.num_val, np.random.default_rng(FIXED_SEED))


def batches_of(scenes: Scenes, batch_size: int) -> ExampleBatches[SceneBatch]:
    """Cut scenes into batches, in their order.

    Args:
        scenes: The scenes.
        batch_size: Scenes per batch.

    Returns:
        The batches.
    """

    def collate(index_N: NDArray[np.int64]) -> SceneBatch:
        return _batch(scenes.take(index_N), index_N)

    return ExampleBatches(len(scenes.images), batch_size, collate, shuffle=False)


def _batch(scenes: Scenes, index_N: NDArray[np.int64]) -> SceneBatch:
    return SceneBatch(torch.from_numpy(scenes.images), torch.from_numpy(scenes.targets), torch.from_numpy(index_N))
