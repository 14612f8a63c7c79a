"""Single digits: from scikit-learn, and from the files of MNIST."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest

from vqa_rnn.errors import UserError
from vqa_rnn.sequences.digits import MNIST_FILES, read_digits


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    for number, split in enumerate(("train", "val")):
        images, labels = MNIST_FILES[split]
        write_idx(tmp_path / images, np.arange(3 * 784).reshape(3, 28, 28) % 256)
        write_idx(tmp_path / labels, np.array([number, 2, 9]))
    return tmp_path


def test_each_digit_of_scikit_learn_is_in_one_split():
    train, val = (read_digits("sklearn", split) for split in ("train", "val"))
    assert train.images.shape == (1437, 8, 8)
    assert val.images.shape == (360, 8, 8)
    assert train.images.dtype == val.images.dtype == np.float32
    assert train.labels.dtype == val.labels.dtype == np.int64
    assert (train.images.min(), train.images.max()) == (val.images.min(), val.images.max()) == (0, 1)
    together = np.concatenate([train.images, val.images]).reshape(1797, 64)
    assert len(np.unique(together, axis=0)) == 1797, "no image is in both"
    assert val.labels[:8].tolist() == read_digits("sklearn", "val").labels[:8].tolist()
    assert np.bincount(np.concatenate([train.labels, val.labels])).tolist() == [
        178, 182, 177, 183, 181, 182, 181, 179, 174, 180,
    ]  # fmt: skip


def test_the_files_of_mnist_are_read(mnist: Path):
    train, val = (read_digits("mnist", split, mnist) for split in ("train", "val"))
    assert train.images.shape == (3, 28, 28)
    assert train.images.dtype == np.float32
    assert train.images[0, 0, 3] == np.float32(3 / 255)
    assert (train.labels.tolist(), val.labels.tolist()) == ([0, 2, 9], [1, 2, 9])
    assert train.labels.dtype == np.int64


def test_what_is_wrong_with_the_files_is_said(mnist: Path, monkeypatch: pytest.MonkeyPatch):
    images, labels = (mnist / name for name in MNIST_FILES["train"])

    def said(folder: Path | None = mnist, source: str = "mnist") -> str:
        with pytest.raises(UserError) as error:
            read_digits(source, "train", folder)  # type: ignore[arg-type]
        return str(error.value)

    assert said(None) == "MNIST needs the folder with its four files, such as train-images-idx3-ubyte.gz"
    assert said(source="sklearn").endswith("is for MNIST: the digits of scikit-learn are not read from a folder")
    write_idx(labels, np.array([0, 1]))
    assert "3 images in train-images-idx3-ubyte.gz, but 2 labels in train-labels-idx1-ubyte.gz" in said()
    write_idx(labels, np.array([0, 1, 10]))
    assert said().endswith("has no images of 28 x 28 pixels of the digits 0 to 9: give the files of MNIST")
    content = gzip.decompress(labels.read_bytes())
    labels.write_bytes(gzip.compress(content[:-1]))
    assert said() == f"{labels} is damaged: 2 bytes for the shape (3,)"
    labels.write_bytes(gzip.compress(b"0123"))
    assert said() == f"{labels} is not an idx file of bytes with 1 axes: give the official file of MNIST"
    labels.write_bytes(b"not compressed")
    assert said().startswith(f"{labels} cannot be read: Not a gzipped file")
    images.unlink()
    assert said() == f"no file at {images}: the folder of MNIST has its four official files, compressed"
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert said(None, "sklearn") == 'the digits of scikit-learn need it: pip install "vqa-rnn[digits]"'
