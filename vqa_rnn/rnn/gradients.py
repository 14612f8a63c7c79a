"""Gradient flow in recurrent networks: how large the gradient of a loss is at earlier inputs.

Shape letters: N sequences, T steps, E input size, H hidden size, D distances from the end.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from vqa_rnn.rnn.cells import CELLS, Elman, Lstm
from vqa_rnn.rnn.network import RecurrentNetwork


class Flow(NamedTuple):
    """Gradient norms of a loss on the last output.

    Attributes:
        norms: (D,) at each distance from the end (0 is the last element), the norm of the gradient of a sequence's loss with
            respect to its input there, averaged over the sequences.
        total: Norm of the gradient of the mean loss with respect to all weights, which gradient clipping compares.
    """

    norms: list[float]
    total: float

    def clipped(self, largest: float) -> "Flow":
        """Scale the gradient down to a maximum norm.

        Differs from the lecture's snippet, which compares the sum of squares; the norm is its square root.

        Args:
            largest: Maximum of ``total`` (Pascanu et al. 2013, https://arxiv.org/abs/1211.5063, algorithm 1).

        Returns:
            The scaled gradient; unchanged if ``total`` is not larger.
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
    """Make a network with one layer for ``measure_flow``.

    Biases are 0, except those that the cell or ``forget_bias`` sets to another value.

    Args:
        cell: A name from ``CELLS``.
        size: E and H.
        singular_value: Factor for the recurrent matrix of an Elman cell, so that all singular values of an orthogonal matrix
            have this value; ignored for other cells. (A random matrix has smaller singular values too, and gradients may
            vanish even if its largest is above 1. Pascanu et al. 2013, section 2.1: gradients vanish if the largest is below
            1; a largest above 1 is necessary for gradients to explode, but not sufficient.)
        forget_bias: Bias of an LSTM's forget gate; None leaves it at 0.
        seed: Seed of the weights.
        start: Initialisation of the recurrent matrices: ``orthogonal``, or ``uniform`` as in torch.

    Returns:
        The network, in float64.
    """
    torch.manual_seed(seed)
    network = RecurrentNetwork(cell, size, size, recurrent_start=start).double()
    (made,) = network.cells()
    if made.fused is not None:  # torch initialises biases at random
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
    """Return whether a cell has a single recurrent matrix.

    Args:
        cell: A name from ``CELLS``.

    Returns:
        True for the Elman cell.
    """
    return CELLS[cell] is Elman


def measure_flow(network: RecurrentNetwork, inputs_NTE: Tensor, seed: int = 0) -> Flow:
    """Compute the gradient of a loss on the last output with respect to every input.

    Args:
        network: A network with one direction.
        inputs_NTE: (N, T, E) float.
        seed: Seed of the loss, the dot product of the last output and a random vector of length 1.

    Returns:
        The gradient, with norms at T distances.
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
    """Average gradient norms by distance from the end, over sequences of different lengths.

    Args:
        gradients: (N, T) float for each batch, the norms at the elements of its sequences; padding is ignored.
        lengths: (N,) int64 for each batch.

    Returns:
        (D,) means over the sequences that are long enough, up to the longest sequence.
    """
    longest = max(int(some.max()) for some in lengths if len(some))
    total_D, count_D = torch.zeros(longest, dtype=torch.float64), torch.zeros(longest, dtype=torch.float64)
    for norms_NT, lengths_N in zip(gradients, lengths, strict=True):
        distance_NT = lengths_N[:, None] - 1 - torch.arange(norms_NT.shape[1])
        exists_NT = distance_NT >= 0
        total_D.index_add_(0, distance_NT[exists_NT], norms_NT.double()[exists_NT])
        count_D.index_add_(0, distance_NT[exists_NT], torch.ones(int(exists_NT.sum()), dtype=torch.float64))
    return (total_D / count_D.clamp(min=1)).tolist()
