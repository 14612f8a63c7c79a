"""Recurrent cells, each with the equation of its paper.

A cell has two methods. ``project`` computes the part of the equation that depends on the input alone, for all steps in one
matrix product. ``step`` computes the next state. ``RecurrentNetwork`` runs cells over sequences.

In the equations ``σ`` is the logistic sigmoid, ``∘`` the elementwise product, ``x`` the input, ``h`` the previous state and
``h'`` the next one. The lecture that the cells are taken from (``docs/recurrent-networks.md``) writes "sign" for the sigmoid of
MUT1 and MUT2, and swaps z and 1 - z between its two slides on the GRU.

Shape letters: N sequences, M elements of all sequences, E input size, H hidden size, P size of a projected input.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

State = tuple[Tensor, ...]


class Cell(nn.Module):
    """Base class of the recurrent cells.

    Attributes:
        num_states: Number of vectors in the state; the first one is the output.
        hidden_size: H.
        fused: Torch's module for whole sequences, which then holds the weights; None if there is none for this cell.
    """

    num_states = 1
    fused: nn.RNN | nn.LSTM | nn.GRU | None

    def __init__(self, input_size: int, hidden_size: int) -> None:
        """Store the hidden size; subclasses create the weights.

        Args:
            input_size: E.
            hidden_size: H.
        """
        super().__init__()
        self.hidden_size = hidden_size
        self.fused = None

    def recurrent_weights(self) -> Tensor:
        """Return the recurrent weights, which the previous output is multiplied by.

        Returns:
            (k H, H) float, k blocks of H rows.
        """
        raise NotImplementedError

    def project(self, inputs_ME: Tensor) -> Tensor:
        """Compute the part of the equation that depends on the input alone.

        Args:
            inputs_ME: (M, E) float, all elements of all sequences.

        Returns:
            (M, P) float.
        """
        raise NotImplementedError

    def step(self, projected_NP: Tensor, state: State) -> State:
        """Compute the next state.

        Args:
            projected_NP: (N, P) float, from ``project``.
            state: ``num_states`` tensors of (N, H) float.

        Returns:
            The next state, in the same form.
        """
        raise NotImplementedError


class _TorchCell(Cell):
    """A cell that torch implements; torch's module holds the weights."""

    kernel: type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.fused = self.kernel(input_size, hidden_size)

    def weight(self, kind: str) -> Tensor:
        """Return ``weight_ih``, ``weight_hh``, ``bias_ih`` or ``bias_hh``."""
        found: Tensor = getattr(self.fused, f"{kind}_l0")
        return found

    def recurrent_weights(self) -> Tensor:
        return self.weight("weight_hh")

    def project(self, inputs_ME: Tensor) -> Tensor:
        return functional.linear(inputs_ME, self.weight("weight_ih"), self.weight("bias_ih") + self.weight("bias_hh"))


class _OwnCell(Cell):
    """A cell with its own weights; ``blocks`` has the number of blocks of H rows for inputs, states and biases.

    Weights are initialised uniformly between -1/sqrt(H) and 1/sqrt(H), as in torch's recurrent networks; biases start at 0.
    """

    blocks: tuple[int, int, int]

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        inputs, states, biases = (number * hidden_size for number in self.blocks)
        self.weight_ih = nn.Parameter(torch.empty(inputs, input_size))
        self.weight_hh = nn.Parameter(torch.empty(states, hidden_size))
        self.bias = nn.Parameter(torch.zeros(biases))
        bound = 1 / math.sqrt(hidden_size)
        for weight in (self.weight_ih, self.weight_hh):
            nn.init.uniform_(weight, -bound, bound)

    def recurrent_weights(self) -> Tensor:
        return self.weight_hh

    def project(self, inputs_ME: Tensor) -> Tensor:
        return functional.linear(inputs_ME, self.weight_ih, self.bias)


class Elman(_TorchCell):
    """``h' = tanh(W x + U h + b)`` (Elman 1990), as ``torch.nn.RNN``; the lecture's "vanilla" network."""

    kernel = nn.RNN

    def step(self, projected_NP: Tensor, state: State) -> State:
        return (torch.addmm(projected_NP, state[0], self.weight("weight_hh").t()).tanh(),)


class Lstm(_TorchCell):
    """Long short-term memory with forget gates, as ``torch.nn.LSTM``. The state is (h, c).

    ``i, f, o = σ(W x + U h + b)``, each with its own weights, ``g = tanh(W x + U h + b)``, ``c' = f ∘ c + i ∘ g``,
    ``h' = o ∘ tanh(c')`` (Hochreiter and Schmidhuber 1997; forget gates by Gers et al. 2000).
    """

    num_states = 2
    kernel = nn.LSTM

    def set_forget_bias(self, value: float) -> None:
        """Set the bias of the forget gate.

        Args:
            value: The bias in f, summed over torch's two biases (Gers et al. 2000; 1 in Jozefowicz et al. 2015).
        """
        forget = slice(self.hidden_size, 2 * self.hidden_size)
        with torch.no_grad():
            self.weight("bias_ih")[forget] = value
            self.weight("bias_hh")[forget] = 0

    def step(self, projected_NP: Tensor, state: State) -> State:
        h, c = state
        i, f, g, o = torch.addmm(projected_NP, h, self.weight("weight_hh").t()).chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class Gru(_TorchCell):
    """Gated recurrent unit as in ``torch.nn.GRU``, with the reset gate after the matrix product.

    ``r, z = σ(W x + U h + b)``, ``n = tanh(W x + b + r ∘ (U h + b_n))``, ``h' = (1 - z) ∘ n + z ∘ h``.
    """

    kernel = nn.GRU

    def project(self, inputs_ME: Tensor) -> Tensor:
        return functional.linear(inputs_ME, self.weight("weight_ih"), self.weight("bias_ih"))

    def step(self, projected_NP: Tensor, state: State) -> State:
        (h,) = state
        size = self.hidden_size
        recurrent_NP = functional.linear(h, self.weight("weight_hh"), self.weight("bias_hh"))
        r, z = (projected_NP[:, : 2 * size] + recurrent_NP[:, : 2 * size]).sigmoid().chunk(2, dim=1)
        n = (projected_NP[:, 2 * size :] + r * recurrent_NP[:, 2 * size :]).tanh()
        return (n + z * (h - n),)


class GruResetBefore(_OwnCell):
    """Gated recurrent unit as in the paper and on the lecture's first slide, with the reset gate before the matrix product.

    ``r, z = σ(W x + U h + b)``, ``n = tanh(W x + U (r ∘ h) + b)``, ``h' = z ∘ h + (1 - z) ∘ n`` (Cho et al. 2014,
    https://arxiv.org/abs/1406.1078, equations 5 to 8).
    """

    blocks = (3, 3, 3)

    def step(self, projected_NP: Tensor, state: State) -> State:
        (h,) = state
        gates, last = 2 * self.hidden_size, slice(2 * self.hidden_size, None)
        r, z = torch.addmm(projected_NP[:, :gates], h, self.weight_hh[:gates].t()).sigmoid().chunk(2, dim=1)
        n = torch.addmm(projected_NP[:, last], r * h, self.weight_hh[last].t()).tanh()
        return (n + z * (h - n),)


class _AddsInput(_OwnCell):
    """A cell whose equation adds the raw input to a vector of the hidden size.

    An input of another size is first projected to the hidden size by a matrix ``P`` without bias; ``x`` then stands for
    ``P x`` everywhere.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(hidden_size, hidden_size)
        same = input_size == hidden_size
        self.resize = nn.Identity() if same else nn.Linear(input_size, hidden_size, bias=False)


class Mut1(_AddsInput):
    """MUT1, the first of three cells of Jozefowicz et al. 2015 ("An empirical exploration of recurrent networks").

    It was found by search. ``z = σ(W x + b)``, ``r = σ(W x + U h + b)``,
    ``h' = z ∘ tanh(U (r ∘ h) + tanh(x) + b) + (1 - z) ∘ h``, with ``x`` as in ``_AddsInput``.
    """

    blocks = (2, 2, 3)

    def project(self, inputs_ME: Tensor) -> Tensor:
        inputs_ME = self.resize(inputs_ME)
        size = self.hidden_size
        gates = functional.linear(inputs_ME, self.weight_ih, self.bias[: 2 * size])
        return torch.cat([gates[:, :size].sigmoid(), gates[:, size:], inputs_ME.tanh() + self.bias[2 * size :]], dim=1)

    def step(self, projected_NP: Tensor, state: State) -> State:
        (h,) = state
        z, r, n = projected_NP.chunk(3, dim=1)
        weight_r, weight_n = self.weight_hh.chunk(2)
        r = torch.addmm(r, h, weight_r.t()).sigmoid()
        n = torch.addmm(n, r * h, weight_n.t()).tanh()
        return (h + z * (n - h),)


class Mut2(_AddsInput):
    """MUT2, the second of the three cells of Jozefowicz et al. 2015.

    ``z = σ(W x + U h + b)``, ``r = σ(x + U h + b)``, ``h' = z ∘ tanh(U (r ∘ h) + W x + b) + (1 - z) ∘ h``, with ``x`` as
    in ``_AddsInput``.
    """

    blocks = (2, 3, 3)

    def project(self, inputs_ME: Tensor) -> Tensor:
        inputs_ME = self.resize(inputs_ME)
        for_z, for_n = functional.linear(inputs_ME, self.weight_ih).chunk(2, dim=1)
        return torch.cat([for_z, inputs_ME, for_n], dim=1) + self.bias

    def step(self, projected_NP: Tensor, state: State) -> State:
        (h,) = state
        gates, last = 2 * self.hidden_size, slice(2 * self.hidden_size, None)
        z, r = torch.addmm(projected_NP[:, :gates], h, self.weight_hh[:gates].t()).sigmoid().chunk(2, dim=1)
        n = torch.addmm(projected_NP[:, last], r * h, self.weight_hh[last].t()).tanh()
        return (h + z * (n - h),)


class Mut3(_OwnCell):
    """MUT3, the third of the three cells of Jozefowicz et al. 2015.

    ``z = σ(W x + U tanh(h) + b)``, ``r = σ(W x + U h + b)``, ``h' = z ∘ tanh(U (r ∘ h) + W x + b) + (1 - z) ∘ h``.
    """

    blocks = (3, 3, 3)

    def step(self, projected_NP: Tensor, state: State) -> State:
        (h,) = state
        z, r, n = projected_NP.chunk(3, dim=1)
        weight_z, weight_r, weight_n = self.weight_hh.chunk(3)
        z = torch.addmm(z, h.tanh(), weight_z.t()).sigmoid()
        r = torch.addmm(r, h, weight_r.t()).sigmoid()
        n = torch.addmm(n, r * h, weight_n.t()).tanh()
        return (h + z * (n - h),)


class Nas(_OwnCell):
    """The cell found by Zoph and Le 2017 (https://arxiv.org/abs/1611.01578, figure 8). The state is (h, c).

    With ``x_k = W_k x`` and ``h_k = U_k h + b_k`` for k from 1 to 8, from the leaves of the tree to its root:

        l1 = tanh(σ(x_1 + h_1) ∘ relu(x_2 + h_2))        l2 = tanh(σ(x_3 + h_3) + relu(x_4 ∘ h_4))
        l3 = tanh(tanh(x_5 + h_5) ∘ σ(x_6 + h_6))        l4 = σ(tanh(x_7 + h_7) + σ(x_8 + h_8))
        c' = tanh(l1 + c) ∘ l2                           h' = tanh(c' ∘ tanh(l3 + l4))

    This follows the authors' TensorFlow code for their figure, which also adds the biases to the products with h.
    """

    num_states = 2
    blocks = (8, 8, 8)

    def project(self, inputs_ME: Tensor) -> Tensor:
        return functional.linear(inputs_ME, self.weight_ih)

    def step(self, projected_NP: Tensor, state: State) -> State:
        h, c = state
        recurrent_NP = functional.linear(h, self.weight_hh, self.bias)
        leaf = [*(projected_NP + recurrent_NP).chunk(8, dim=1)]
        fourth = slice(3 * self.hidden_size, 4 * self.hidden_size)
        leaf[3] = projected_NP[:, fourth] * recurrent_NP[:, fourth]
        l1 = (leaf[0].sigmoid() * leaf[1].relu()).tanh()
        l2 = (leaf[2].sigmoid() + leaf[3].relu()).tanh()
        l3 = (leaf[4].tanh() * leaf[5].sigmoid()).tanh()
        l4 = (leaf[6].tanh() + leaf[7].sigmoid()).sigmoid()
        c = (l1 + c).tanh() * l2
        return (c * (l3 + l4).tanh()).tanh(), c


class Highway(_OwnCell):
    """A recurrent highway network (Zilly et al. 2017, https://arxiv.org/abs/1607.03474, equations 6 to 9).

    Each step consists of ``DEPTH`` highway layers, of which only the first reads the input: ``s_0 = h``,
    ``t = σ(W x + U s + b)``, ``n = tanh(W x + U s + b)``, ``s' = t ∘ n + (1 - t) ∘ s``, and ``h'`` is the last ``s'``. The
    carry gate is 1 - t, as in the paper's experiments. The bias in t starts at ``CLOSED``, so that layers first copy ``s``.
    """

    DEPTH = 3
    CLOSED = -2.0

    blocks = (2, 2 * DEPTH, 2 * DEPTH)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        with torch.no_grad():
            self.bias.view(self.DEPTH, 2, hidden_size)[:, 0] = self.CLOSED

    def project(self, inputs_ME: Tensor) -> Tensor:
        return functional.linear(inputs_ME, self.weight_ih, self.bias[: 2 * self.hidden_size])

    def step(self, projected_NP: Tensor, state: State) -> State:
        (s,) = state
        weights, biases = self.weight_hh.chunk(self.DEPTH), self.bias.chunk(self.DEPTH)
        for layer in range(self.DEPTH):
            added = projected_NP if layer == 0 else biases[layer]
            t, n = torch.addmm(added, s, weights[layer].t()).chunk(2, dim=1)
            s = s + t.sigmoid() * (n.tanh() - s)
        return (s,)


class Residual(_OwnCell):
    """The lecture's highway cell, ``y = g ∘ H(x) + (1 - g) ∘ x``, over time and with an identity in place of the carry gate.

    ``g = σ(W x + U h + b)``, ``n = tanh(W x + U h + b)``, ``h' = h + g ∘ n``: the cell forgets only by subtracting.
    The bias in g starts at ``Highway.CLOSED``.
    """

    blocks = (2, 2, 2)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        with torch.no_grad():
            self.bias[:hidden_size] = Highway.CLOSED

    def step(self, projected_NP: Tensor, state: State) -> State:
        (h,) = state
        g, n = torch.addmm(projected_NP, h, self.weight_hh.t()).chunk(2, dim=1)
        return (h + g.sigmoid() * n.tanh(),)


CELLS: dict[str, type[Cell]] = {
    "elman": Elman,
    "lstm": Lstm,
    "gru": Gru,
    "gru_reset_before": GruResetBefore,
    "mut1": Mut1,
    "mut2": Mut2,
    "mut3": Mut3,
    "nas": Nas,
    "highway": Highway,
    "residual": Residual,
}
