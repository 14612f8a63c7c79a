"""Whether features are numbers."""

import numpy as np
import pytest

from vqa_rnn.features.regions import all_finite


def test_every_value_of_float16_is_told_right():
    for value in np.arange(2**16, dtype=np.uint32).astype(np.uint16).view(np.float16):
        assert all_finite(np.array([[1, value]], dtype=np.float16)) == np.isfinite(value)


@pytest.mark.parametrize(("value", "is_finite"), [(1e38, True), (np.inf, False), (np.nan, False), (-np.inf, False)])
def test_float32(value: float, is_finite: bool):
    assert all_finite(np.array([value], dtype=np.float32)) == is_finite
