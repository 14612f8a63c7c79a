"""The recurrent cells: each by its paper's equation.

A cell is two functions. ``project`` is what the equation makes of the input alone: it sees all time steps at once, so that they
cost one matrix product. ``step`` takes a state to the next. ``RecurrentNetwork`` runs them over sequences.

In the equations ``σ`` is the logistic sigmoid, ``∘`` the product of elements, ``x`` the input, ``h`` the state before and
``h'`` the one after. The lecture that these are taken from (``docs/recurrent-networks.md``) writes "sign" for the sigmoid of
MUT1 and MUT2, and swaps z and 1 - z between its two slides of the GRU.

Shape letters: N sequences, M elements of all sequences, E input size, H hidden size, P size of what a cell makes of an input.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

State = tuple[Tensor, ...]


class Cell(nn.Module):
    """A recurrent cell.

    Attributes:
        num_states: How many vectors its state has; the first is its output.
        hidden_size: H.
        fused: The same cell as torch's kernel for whole sequences, where there is one. It then holds the weights.
    """

    num_states = 1
    fused: nn.RNN | nn.LSTM | nn.GRU | None

    def __init__(self, input_size: int, hidden_size: int) -> None:
        """Hold the size; what a cell makes of its inputs is its own.

        Args:
            input_size: E.
            hidden_size: H.
        """
        super().__init__()
        self.hidden_size = hidden_size
        self.fused = None

    def recurrent_weights(self) -> Tensor:
        """Everything that the last output is multiplied with.

        Returns:
            (k H, H) float, a block of H rows for each of k purposes.
        """
        raise NotImplementedError

    def project(self, inputs_ME: Tensor) -> Tensor:
        """What the equation makes of inputs alone.

        Args:
            inputs_ME: (M, E) float, all elements of all sequences.

        Returns:
            (M, P) float.
        """
        raise NotImplementedError

    def step(self, projected_NP: Tensor, state: State) -> State:
        """One step.

        Args:
            projected_NP: (N, P) float, from ``project``.
            state: ``num_states`` of (N, H) float.

        Returns:
            The state after it, in the same form.
        """
        raise NotImplementedError


class _TorchCell(Cell):
    """A cell of torch, whose layer of the same name holds the weights."""

    kernel: type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.fused = self.kernel(input_size, hidden_size)

    def weight(self, kind: str) -> Tensor:
        """``weight_ih``, ``weight_hh``, ``bias_ih`` or ``bias_hh``."""
        found: Tensor = getattr(self.fused, f"{kind}_l0")
        return found

    def recurrent_weights(self) -> Tensor:
        return self.weight("weight_hh")

    def project(self, inputs_ME: Tensor) -> Tensor:
        return functional.linear(inputs_ME, self.weight("weight_ih"), self.weight("bias_ih") + self.weight("bias_hh"))


class _OwnCell(Cell):
    """A cell with weights of its own: so many blocks of H rows for inputs, states and biases.

    Weights start as torch starts those of its recurrent networks, between -1/sqrt(H) and 1/sqrt(H), and biases as 0.
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
    """``h' = tanh(W x + U h + b)`` (Elman 1990), as ``torch.nn.RNN``: the lecture's "vanilla" network."""

    kernel = nn.RNN

    def step(self, projected_NP: Tensor, state: State) -> State:
        return (torch.addmm(projected_NP, state[0], self.weight("weight_hh").t()).tanh(),)


class Lstm(_TorchCell):
    """Long short-term memory, with forget gates, as ``torch.nn.LSTM``; the state is (h, c).

    ``i, f, o = σ(W x + U h + b)`` each with its own weights, ``g = tanh(W x + U h + b)``, ``c' = f ∘ c + i ∘ g``,
    ``h' = o ∘ tanh(c')`` (Hochreiter and Schmidhuber 1997; forget gates by Gers et al. 2000).
    """

    num_states = 2
    kernel = nn.LSTM

    def set_forget_bias(self, value: float) -> None:
        """Start with forget gates that are open, or closed.

        Args:
            value: What the bias in f is (Gers et al. 2000; 1 by Jozefowicz et al. 2015).
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
    """The gated recurrent unit as ``torch.nn.GRU`` states it, with the reset gate after the product.

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
    """The gated recurrent unit as the paper and the lecture's first slide write it, with the reset gate before the product.

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
    """A cell whose equation adds the raw input to something of the hidden size.

    The input must have that size then: one of another size is first brought to it by a matrix ``P`` without a bias, and ``x``
    is ``P x`` everywhere.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(hidden_size, hidden_size)
        same = input_size == hidden_size
        self.resize = nn.Identity() if same else nn.Linear(input_size, hidden_size, bias=False)


class Mut1(_AddsInput):
    """The first of three that a search found (Jozefowicz et al. 2015, "An empirical exploration of recurrent networks").

    ``z = σ(W x + b)``, ``r = σ(W x + U h + b)``, ``h' = z ∘ tanh(U (r ∘ h) + tanh(x) + b) + (1 - z) ∘ h``; ``x`` as
    ``_AddsInput`` says.
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
    """The second of the three of Jozefowicz et al. 2015.

    ``z = σ(W x + U h + b)``, ``r = σ(x + U h + b)``, ``h' = z ∘ tanh(U (r ∘ h) + W x + b) + (1 - z) ∘ h``; ``x`` as
    ``_AddsInput`` says.
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
    """The third of the three of Jozefowicz et al. 2015.

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
    """The cell that Zoph and Le 2017 found (https://arxiv.org/abs/1611.01578, figure 8); the state is (h, c).

    With ``x_k = W_k x`` and ``h_k = U_k h + b_k`` for k from 1 to 8, from the leaves of the tree to its root:

        l1 = tanh(σ(x_1 + h_1) ∘ relu(x_2 + h_2))        l2 = tanh(σ(x_3 + h_3) + relu(x_4 ∘ h_4))
        l3 = tanh(tanh(x_5 + h_5) ∘ σ(x_6 + h_6))        l4 = σ(tanh(x_7 + h_7) + σ(x_8 + h_8))
        c' = tanh(l1 + c) ∘ l2                           h' = tanh(c' ∘ tanh(l3 + l4))

    as the authors' TensorFlow code reads their figure; their biases stand, as here, with h.
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

    Each step goes through ``DEPTH`` highway layers, the input to the first alone: ``s_0 = h``,
    ``t = σ(W x + U s + b)``, ``n = tanh(W x + U s + b)``, ``s' = t ∘ n + (1 - t) ∘ s``, and ``h'`` is the last ``s'``. The
    carry gate is 1 - t, as in the paper's experiments. The bias in t starts at ``CLOSED``, so that a layer at first carries.
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
    """The lecture's highway, ``y = g ∘ H(x) + (1 - g) ∘ x``, over time and with an identity for a carry.

    ``g = σ(W x + U h + b)``, ``n = tanh(W x + U h + b)``, ``h' = h + g ∘ n``: nothing is ever forgotten but by taking it away
    again. The bias in g starts as that of ``Highway``.
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
