"""The digits that DRAW is trained on, and the random numbers that it draws with.

Shape letters: N images, S side of the image, T steps, Z latent size.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vqa_rnn.config.draw import DrawDataConfig
from vqa_rnn.sequences.batches import ExampleBatches
from vqa_rnn.sequences.digits import DigitSplit, read_digits
from vqa_rnn.sequences.draw import DigitBatch

EVALUATION_SEED = 0  # of the random numbers that every evaluation of every run draws with


class DrawDigits(NamedTuple):
    """The digits of a split.

    Attributes:
        images: (N, S, S) float32 from 0 to 1.
        labels: (N,) int64 from 0 to 9.
    """

    images: Tensor
    labels: Tensor


def read_draw_digits(options: DrawDataConfig, split: DigitSplit) -> DrawDigits:
    """Read the digits of a split, at the size that they are drawn at.

    Args:
        options: Source and scale.
        split: The split.

    Returns:
        The digits.

    Raises:
        UserError: scikit-learn is missing, or the files of MNIST are missing or damaged.
    """
    digits = read_digits(options.source, split, options.folder)
    images = torch.from_numpy(digits.images)
    if options.scale > 1:
        images = functional.interpolate(images[:, None], scale_factor=options.scale, mode="bilinear")[:, 0].clamp(0, 1)
    return DrawDigits(images, torch.from_numpy(digits.labels))


def digits_hash(splits: Sequence[DrawDigits]) -> str:
    """Hash digits, to notice when they change.

    Args:
        splits: The digits.

    Returns:
        The SHA-256 of their pixels and labels, hexadecimal.
    """
    digest = hashlib.sha256()
    for images, labels in splits:
        digest.update((images * 255).round().to(torch.uint8).numpy().tobytes())
        digest.update(labels.numpy().tobytes())
    return digest.hexdigest()


def draw_noise(seed: int, places: Sequence[int] | NDArray[np.int64], steps: int, latent_size: int) -> Tensor:
    """Draw the random numbers of images. Those of an image depend only on the seed and its place.

    Args:
        seed: The seed.
        places: N places of images.
        steps: T.
        latent_size: Z.

    Returns:
        (N, T, Z) float32 from a standard normal distribution.
    """
    shape = (steps, latent_size)
    noise = [np.random.default_rng([seed, int(place)]).standard_normal(shape, dtype=np.float32) for place in places]
    return torch.from_numpy(np.stack(noise) if noise else np.zeros((0, *shape), dtype=np.float32))


def training_batches(digits: DrawDigits, batch_size: int, seed: int) -> ExampleBatches[DigitBatch]:
    """Make the batches of a training. Their random numbers are drawn by the model.

    Args:
        digits: The digits.
        batch_size: Images per batch.
        seed: Seed of the order.

    Returns:
        The batches, in a new order in each epoch.
    """

    def collate(places_N: NDArray[np.int64]) -> DigitBatch:
        index_N = torch.from_numpy(places_N)
        return DigitBatch(digits.images[index_N], index_N)

    return ExampleBatches(len(digits.images), batch_size, collate, shuffle=True, seed=seed)


def evaluation_batches(digits: DrawDigits, batch_size: int, steps: int, latent_size: int) -> ExampleBatches[DigitBatch]:
    """Make the batches of an evaluation. Their random numbers are always the same.

    Args:
        digits: The digits.
        batch_size: Images per batch.
        steps: T.
        latent_size: Z.

    Returns:
        The batches, in the order of the digits.
    """

    def collate(places_N: NDArray[np.int64]) -> DigitBatch:
        index_N = torch.from_numpy(places_N)
        return DigitBatch(digits.images[index_N], index_N, draw_noise(EVALUATION_SEED, places_N, steps, latent_size))

    return ExampleBatches(len(digits.images), batch_size, collate, shuffle=False)
