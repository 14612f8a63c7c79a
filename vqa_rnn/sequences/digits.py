"""Images of single handwritten digits, as training and validation digits.

Shape letters: N images, S side of an image in pixels.
"""

import gzip
import zlib
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.config.digits import DigitSource
from vqa_rnn.errors import UserError

DigitSplit = Literal["train", "val"]

SPLITS: tuple[DigitSplit, ...] = ("train", "val")

NUM_SKLEARN_TRAIN = 1437
SKLEARN_SPLIT_SEED = 0
MNIST_FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "val": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
_UNSIGNED_BYTES = 8  # the type of the elements, in the header of an idx file


class Digits(NamedTuple):
    """Images of single digits.

    Attributes:
        images: (N, S, S) float32 from 0, the background, to 1.
        labels: (N,) int64 from 0 to 9.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


def read_digits(source: DigitSource, split: DigitSplit, folder: Path | None = None) -> Digits:
    """Read the digits of a split. Nothing is downloaded.

    Args:
        source: ``sklearn``: the 1,797 digits of 8 x 8 pixels that come with scikit-learn (a part of
            https://archive.ics.uci.edu/dataset/80, whose writers are mixed here), by a fixed permutation 1,437 for training and
            360 for validation. ``mnist``: the 60,000 and 10,000 digits of 28 x 28 pixels of MNIST (LeCun et al. 1998,
            http://yann.lecun.com/exdb/mnist); its test images are the validation digits.
        split: ``train`` or ``val``.
        folder: For ``mnist`` the folder with the four official files, ``MNIST_FILES``.

    Returns:
        The digits; S is 8 for ``sklearn`` and 28 for ``mnist``.

    Raises:
        UserError: scikit-learn is not installed, the folder is missing or not needed, or a file is missing or damaged.
    """
    if source == "sklearn":
        if folder is not None:
            raise UserError(f"the folder {folder} is for MNIST: the digits of scikit-learn are not read from a folder")
        return _read_sklearn(split)
    if folder is None:
        raise UserError(f"MNIST needs the folder with its four files, such as {MNIST_FILES['train'][0]}")
    images_name, labels_name = MNIST_FILES[split]
    images, labels = _read_idx(folder / images_name, 3), _read_idx(folder / labels_name, 1)
    if len(images) != len(labels):
        raise UserError(f"{folder}: {len(images)} images in {images_name}, but {len(labels)} labels in {labels_name}")
    if images.shape[1:] != (28, 28) or len(labels) == 0 or labels.max() > 9:
        raise UserError(f"{folder / images_name} has no images of 28 x 28 pixels of the digits 0 to 9: give the files of MNIST")
    return Digits(np.divide(images, 255, dtype=np.float32), labels.astype(np.int64))


def _read_sklearn(split: DigitSplit) -> Digits:
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise UserError('the digits of scikit-learn need it: pip install "vqa-rnn[digits]"') from error
    found = load_digits()
    order = np.random.default_rng(SKLEARN_SPLIT_SEED).permutation(len(found.target))
    part = order[:NUM_SKLEARN_TRAIN] if split == "train" else order[NUM_SKLEARN_TRAIN:]
    return Digits((found.images[part] / 16).astype(np.float32), found.target[part].astype(np.int64))


def _read_idx(path: Path, num_axes: int) -> NDArray[np.uint8]:
    """Read a gzip-compressed idx file of bytes: two zero bytes, the type, the number of axes, their lengths, the elements."""
    try:
        with gzip.open(path) as file:
            content = file.read()
    except FileNotFoundError as error:
        raise UserError(f"no file at {path}: the folder of MNIST has its four official files, compressed") from error
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    start = 4 + 4 * num_axes
    if content[:4] != bytes([0, 0, _UNSIGNED_BYTES, num_axes]) or len(content) < start:
        raise UserError(f"{path} is not an idx file of bytes with {num_axes} axes: give the official file of MNIST")
    shape = tuple(np.frombuffer(content, ">u4", num_axes, offset=4).tolist())
    if len(content) - start != int(np.prod(shape)):
        raise UserError(f"{path} is damaged: {len(content) - start} bytes for the shape {shape}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
