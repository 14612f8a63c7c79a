"""How much of a loss's gradient arrives at what a recurrent network read long before.

Shape letters: N sequences, T steps, E input size, H hidden size, D distances from the end.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from vqa_rnn.rnn.cells import CELLS, Elman, Lstm
from vqa_rnn.rnn.network import RecurrentNetwork


class Flow(NamedTuple):
    """A gradient, followed back.

    Attributes:
        norms: (D,) at each distance from the end, 0 for the last element: the norm of the loss's gradient there, averaged over
            the sequences that are long enough.
        total: The norm of the loss's gradient in all weights, which is what clipping looks at.
    """

    norms: list[float]
    total: float

    def clipped(self, largest: float) -> "Flow":
        """The same where the gradient is scaled down to a norm.

        Differs from the lecture's snippet, which compares the sum of squares: its square root is the norm.

        Args:
            largest: The norm (Pascanu et al. 2013, https://arxiv.org/abs/1211.5063, algorithm 1).

        Returns:
            The scaled gradient; the same where it is not larger.
        """
        scale = min(1.0, largest / self.total) if self.total else 1.0
        return Flow([norm * scale for norm in self.norms], self.total * scale)


def make_network(
    cell: str,
    size: int,
    singular_value: float | None = None,
    forget_bias: float | None = 1.0,
    seed: int = 0,
    start: Literal["orthogonal", "uniform"] = "orthogonal",
) -> RecurrentNetwork:
    """One layer of a cell for ``measure_flow``, with biases of 0 where a cell has no other.

    Args:
        cell: A name from ``CELLS``.
        size: E and H.
        singular_value: For an Elman cell: its one recurrent matrix is multiplied by this, so that of an orthogonal one all
            singular values are this. (Of a matrix drawn at random only the largest would be, and gradients would vanish
            above 1 too: Pascanu et al. 2013, section 2.1, where a largest one below 1 is enough to vanish, and one above 1 is
            needed to explode but not enough.)
        forget_bias: Bias of an LSTM's forget gate.
        seed: Of the weights.
        start: Of the matrices between states, ``orthogonal`` or ``uniform`` as torch draws them.

    Returns:
        The network, float64.
    """
    torch.manual_seed(seed)
    network = RecurrentNetwork(cell, size, size, recurrent_start=start).double()
    (made,) = network.cells()
    if made.fused is not None:  # torch draws them at random
        for name, parameter in made.fused.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
    if isinstance(made, Lstm) and forget_bias is not None:
        made.set_forget_bias(forget_bias)
    if singular_value is not None and has_one_matrix(cell):
        with torch.no_grad():
            made.recurrent_weights().mul_(singular_value)
    return network


def has_one_matrix(cell: str) -> bool:
    """Whether one recurrent matrix alone carries a cell's state on.

    Args:
        cell: A name from ``CELLS``.

    Returns:
        True for the Elman cell.
    """
    return CELLS[cell] is Elman


def measure_flow(network: RecurrentNetwork, inputs_NTE: Tensor, seed: int = 0) -> Flow:
    """The gradient of a loss on the last output, at every input.

    Args:
        network: Of one direction.
        inputs_NTE: (N, T, E) float.
        seed: Of the loss, which is a product of the last output with a vector of length 1.

    Returns:
        For T distances.
    """
    inputs_NTE = inputs_NTE.detach().requires_grad_()
    network.zero_grad()
    last_NH = network.last_output(network(inputs_NTE)[1])
    generator = torch.Generator().manual_seed(seed)
    direction_H = torch.randn(last_NH.shape[1], generator=generator, dtype=torch.float64).to(last_NH)
    (last_NH @ (direction_H / direction_H.norm())).sum().backward()
    assert inputs_NTE.grad is not None
    norms_T = inputs_NTE.grad.norm(dim=2).mean(dim=0).flip(0)
    parts = [parameter.grad.norm() for parameter in network.parameters() if parameter.grad is not None]
    return Flow(norms_T.tolist(), float(torch.stack(parts).norm() / len(inputs_NTE)))


def by_distance(gradients: Sequence[Tensor], lengths: Sequence[Tensor]) -> list[float]:
    """Norms by distance from the end, over sequences of different lengths.

    Args:
        gradients: (N, T) float each, norms at the elements of some sequences.
        lengths: (N,) int64 each.

    Returns:
        (D,) up to the longest sequence.
    """
    longest = max(int(some.max()) for some in lengths if len(some))
    total_D, count_D = torch.zeros(longest, dtype=torch.float64), torch.zeros(longest, dtype=torch.float64)
    for norms_NT, lengths_N in zip(gradients, lengths, strict=True):
        distance_NT = lengths_N[:, None] - 1 - torch.arange(norms_NT.shape[1])
        exists_NT = distance_NT >= 0
        total_D.index_add_(0, distance_NT[exists_NT], norms_NT.double()[exists_NT])
        count_D.index_add_(0, distance_NT[exists_NT], torch.ones(int(exists_NT.sum()), dtype=torch.float64))
    return (total_D / count_D.clamp(min=1)).tolist()
