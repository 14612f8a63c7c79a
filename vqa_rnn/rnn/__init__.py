"""Recurrent cells and the layer that runs them over packed texts."""

from vqa_rnn.rnn.layer import CELLS, all_states, last_state, run_equal, run_packed, run_step

__all__ = ["CELLS", "all_states", "last_state", "run_equal", "run_packed", "run_step"]
