"""Recurrent cells and the layer that runs them over packed texts."""

from vqa_rnn.rnn.layer import CELLS, run_packed

__all__ = ["CELLS", "run_packed"]
