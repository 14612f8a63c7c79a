"""Recurrent cells, and the network that runs them over sequences of different lengths."""

from vqa_rnn.rnn.cells import CELLS, Cell, State
from vqa_rnn.rnn.network import RecurrentNetwork, all_states

__all__ = ["CELLS", "Cell", "RecurrentNetwork", "State", "all_states"]
