"""Running a recurrent network over texts of different lengths.

Shape letters: L layers (of both directions where there are two), N texts, T tokens, E input size, H hidden size.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

# The recurrent networks by name, with the constructor of torch's.
# lstm: Hochreiter and Schmidhuber 1997, with forget gates (Gers et al. 2000), as torch.nn.LSTM states it.
# gru: Cho et al. 2014 (https://arxiv.org/abs/1406.1078), the reset gate after the product, as torch.nn.GRU states it.
CELLS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


def run_packed(
    network: nn.LSTM | nn.GRU, inputs_NTE: Tensor, lengths_N: Tensor, first: tuple[Tensor, ...] | None = None
) -> tuple[PackedSequence, tuple[Tensor, ...]]:
    """Run a batch-first network over right-padded sequences, without computing the padding.

    Args:
        network: One of ``CELLS``.
        inputs_NTE: (N, T, E) float; N at least 1.
        lengths_N: (N,) int64, each from 1 to T.
        first: What it begins with, in the form of what it ends with; None begins with zeros.

    Returns:
        The last layer's states, packed, both directions side by side; and what the network ends with: (L, N, H) the states
        after each sequence's last element (for a backward direction, its first), and for an LSTM (L, N, H) the cells.
    """
    packed = pack_padded_sequence(inputs_NTE, lengths_N.cpu(), batch_first=True, enforce_sorted=False)
    states, final = network(packed, _as_torch(first))
    return states, final if isinstance(final, tuple) else (final,)


def run_equal(network: nn.LSTM | nn.GRU, inputs_NTE: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a batch-first network over sequences of equal length.

    Args:
        network: One of ``CELLS``.
        inputs_NTE: (N, T, E) float; N and T at least 1.

    Returns:
        (N, T, H) the last layer's states, both directions side by side; and what the network ends with, as in ``run_packed``.
    """
    states, final = network(inputs_NTE)
    return states, final if isinstance(final, tuple) else (final,)


def run_step(network: nn.LSTM | nn.GRU, inputs_NE: Tensor, before: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a batch-first network of one direction over one more element.

    Args:
        network: One of ``CELLS``.
        inputs_NE: (N, E) float; N at least 1.
        before: The states, each (L, N, H), and for an LSTM the cells.

    Returns:
        (N, H) the last layer's states, and what the network goes on from, in the form of ``before``.
    """
    states, after = network(inputs_NE.unsqueeze(1), _as_torch(before))
    return states.squeeze(1), after if isinstance(after, tuple) else (after,)


def _as_torch(state: tuple[Tensor, ...] | None) -> Any:
    """Torch has states and cells in a tuple, and states alone without one."""
    return state[0] if state is not None and len(state) == 1 else state


def last_state(network: nn.LSTM | nn.GRU, final: tuple[Tensor, ...]) -> Tensor:
    """The last layer's last state.

    Args:
        network: The network.
        final: What it ended with, from ``run_packed``.

    Returns:
        (N, H), both directions side by side where there are two.
    """
    directions = 2 if network.bidirectional else 1
    return final[0][-directions:].transpose(0, 1).flatten(1)


def all_states(final: tuple[Tensor, ...]) -> Tensor:
    """Everything that a network ends with.

    Args:
        final: From ``run_packed``.

    Returns:
        (N, L H), or (N, 2 L H) for an LSTM: the states layer by layer, then the cells.
    """
    return torch.cat([part.transpose(0, 1).flatten(1) for part in final], dim=1)
