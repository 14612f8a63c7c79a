import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from preprocessing.read_ahead import ImageBatch, ImageFiles, read_beside, read_between
from vqa_rnn.features.detectors.base import DetectorTransform
from vqa_rnn.features.transform import Transform

BATCHES = [list(range(20)), [20], list(range(21, 40))]  # the first has more images than a process takes at once
BROKEN = {3, 20, 21}


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    for number in range(40):
        path = tmp_path / f"{number}.png"
        if number in BROKEN:
            path.write_text("no picture")
        else:
            Image.fromarray(np.full((20, 30, 3), 5 * number, dtype=np.uint8)).save(path)
    return [tmp_path / f"{number}.png" for number in range(40)]


def transform_of(box_method: str | None) -> Transform:
    return Transform(16, "squash", Image.Resampling.BILINEAR, 1.0, "full", box_method)


TRANSFORMS = [transform_of(None), transform_of("roi"), transform_of("crop"), DetectorTransform(pil_to_tensor, "full")]


def assert_equal(one: Any, other: Any) -> None:
    if isinstance(one, torch.Tensor | np.ndarray):
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, tuple | list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_equal(left, right)
    else:
        assert str(one) == str(other)


def check(batches: list[ImageBatch]) -> None:
    assert [sorted([*batch.good, *batch.failed]) for batch in batches] == BATCHES
    assert {row for batch in batches for row in batch.failed} == BROKEN
    assert "is not an image" in str(batches[0].failed[3])
    assert batches[1].images is None


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_processes_give_what_threads_give(paths: list[Path], transform: Transform | DetectorTransform) -> None:
    boxes = {row: np.array([[0, 0, 10, 10 + row % 3]] * (row % 4), dtype=np.float32).reshape(-1, 4) for row in range(0, 40, 2)}
    files = ImageFiles(paths, transform, boxes)
    between = list(read_between(files, BATCHES))
    beside = list(read_beside(files, BATCHES, 2, pin_memory=False))
    check(between)
    for one, other in zip(between, beside, strict=True):
        assert_equal(one, other)
    first = between[0].images
    pixels = first[0] if isinstance(transform, DetectorTransform) else first.views[0]
    assert pixels.max() == 0
    pixels = first[1] if isinstance(transform, DetectorTransform) else first.views[1]
    assert pixels.unique().tolist() == [5]


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_files_can_be_handed_to_a_process_that_is_no_fork(paths: list[Path], transform: Transform | DetectorTransform) -> None:
    files = ImageFiles(paths, transform)
    assert_equal(pickle.loads(pickle.dumps(files))[[1, 2, 3]], files[[1, 2, 3]])


def test_a_reader_that_is_left_early_ends_its_processes(paths: list[Path]) -> None:
    import multiprocessing

    reader = read_beside(ImageFiles(paths, transform_of(None)), BATCHES, 2, pin_memory=False)
    next(reader)
    assert len(multiprocessing.active_children()) == 2
    reader.close()
    for child in multiprocessing.active_children():
        child.join(10)
    assert not multiprocessing.active_children()
