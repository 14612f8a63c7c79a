"""Running a recurrent network over texts of different lengths.

Shape letters: L layers (of both directions where there are two), N texts, T tokens, E input size, H hidden size.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

# The recurrent networks by name, with the constructor of torch's.
# lstm: Hochreiter and Schmidhuber 1997, with forget gates (Gers et al. 2000), as torch.nn.LSTM states it.
# gru: Cho et al. 2014 (https://arxiv.org/abs/1406.1078), the reset gate after the product, as torch.nn.GRU states it.
CELLS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


def run_packed(network: nn.LSTM | nn.GRU, inputs_NTE: Tensor, lengths_N: Tensor) -> tuple[PackedSequence, tuple[Tensor, ...]]:
    """Run a batch-first network over right-padded sequences, without computing the padding.

    Args:
        network: One of ``CELLS``.
        inputs_NTE: (N, T, E) float; N at least 1.
        lengths_N: (N,) int64, each from 1 to T.

    Returns:
        The last layer's states, packed, both directions side by side; and what the network ends with: (L, N, H) the states
        after each sequence's last element (for a backward direction, its first), and for an LSTM (L, N, H) the cells.
    """
    packed = pack_padded_sequence(inputs_NTE, lengths_N.cpu(), batch_first=True, enforce_sorted=False)
    states, final = network(packed)
    return states, final if isinstance(final, tuple) else (final,)


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
