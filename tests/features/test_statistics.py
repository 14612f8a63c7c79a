"""Mean and deviation of the channels."""

from pathlib import Path

import numpy as np
import pytest

from tests.features.test_store import begin
from vqa_rnn.features.statistics import channel_statistics
from vqa_rnn.features.store import open_store


def test_regions_that_exist_count_once_each(tmp_path: Path):
    generator = np.random.default_rng(0)
    rows = [generator.normal(size=(count, 6)).astype(np.float16) for count in (4, 1, 0, 3)]
    writer = begin(tmp_path / "store.h5", ["a", "b", "c", "d"])
    writer.write(range(4), rows, [0] * 4)
    store = open_store(writer.finish())
    together = np.concatenate([rows[3], rows[0], rows[2]]).astype(np.float64)
    mean, deviation = channel_statistics(store, np.array([3, 0, 2]))
    assert mean == pytest.approx(together.mean(axis=0), rel=1e-6, abs=1e-7)
    assert deviation == pytest.approx(together.std(axis=0), rel=1e-5)
    assert mean.dtype == deviation.dtype == np.float32


@pytest.mark.parametrize("rows", [[0], []])
def test_without_any_region_there_is_nothing_to_know(tmp_path: Path, rows: list[int]):
    writer = begin(tmp_path / "store.h5", ["a"])
    writer.write([0], [np.zeros((0, 6))], [0])
    mean, deviation = channel_statistics(open_store(writer.finish()), np.array(rows, dtype=np.int64))
    assert mean.tolist() == deviation.tolist() == [0] * 6
