"""Text of metrics."""

import pytest

from vqa_rnn.metrics.formatting import format_metric


@pytest.mark.parametrize(
    ("name", "value", "options", "expected"),
    [
        ("accuracy", 0.52134, {}, "52.13%"),
        ("accuracy", 0.52134, {"digits": 1}, "52.1%"),
        ("mrr", 0.05, {"signed": True}, "+5.00%"),
        ("mean_rank", 1.0, {"digits": 1}, "1.00"),
        ("mean_rank", -0.5, {"signed": True}, "-0.50"),
    ],
)
def test_fractions_are_percentages_and_ranks_are_not(name: str, value: float, options: dict, expected: str):
    assert format_metric(name, value, **options) == expected
