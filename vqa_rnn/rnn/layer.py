"""Running a recurrent network over texts of different lengths.

Shape letters: N texts, T tokens, E input size, H hidden size (both directions together where there are two).
"""

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

# The recurrent networks by name, with the constructor of torch's.
# lstm: Hochreiter and Schmidhuber 1997, with forget gates (Gers et al. 2000), as torch.nn.LSTM states it.
CELLS: dict[str, type[nn.LSTM]] = {"lstm": nn.LSTM}


def run_packed(network: nn.LSTM, inputs_NTE: Tensor, lengths_N: Tensor) -> tuple[PackedSequence, Tensor]:
    """Run a batch-first network over right-padded sequences, without computing the padding.

    Args:
        network: One of ``CELLS``.
        inputs_NTE: (N, T, E) float; N at least 1.
        lengths_N: (N,) int64, each from 1 to T.

    Returns:
        The last layer's states, packed, of size H, and (N, H) the state after each sequence's last element (for the
        backward direction, its first); both directions side by side.
    """
    packed = pack_padded_sequence(inputs_NTE, lengths_N.cpu(), batch_first=True, enforce_sorted=False)
    states, (last, _) = network(packed)
    directions = 2 if network.bidirectional else 1
    return states, last[-directions:].transpose(0, 1).flatten(1)
