"""The cells once more: each equation for one sequence and one step, written from the papers and not from the package.

``x`` and ``h`` are vectors, matrices stand to their left, and nothing is computed ahead.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vqa_rnn.rnn import Cell

State = tuple[Tensor, ...]


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + (-x).exp())


def tanh(x: Tensor) -> Tensor:
    return (x.exp() - (-x).exp()) / (x.exp() + (-x).exp())


def relu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, torch.zeros_like(x))


def blocks(matrix: Tensor, size: int) -> list[Tensor]:
    return [matrix[i : i + size] for i in range(0, len(matrix), size)]


def elman(cell: Cell, x: Tensor, state: State) -> State:
    w = cell.fused
    return (tanh(w.weight_ih_l0 @ x + w.bias_ih_l0 + w.weight_hh_l0 @ state[0] + w.bias_hh_l0),)


def lstm(cell: Cell, x: Tensor, state: State) -> State:
    h, c = state
    w, size = cell.fused, cell.hidden_size
    matrices = zip(*(blocks(m, size) for m in (w.weight_ih_l0, w.weight_hh_l0, w.bias_ih_l0, w.bias_hh_l0)), strict=True)
    i, f, g, o = (W @ x + U @ h + b + b_h for W, U, b, b_h in matrices)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def gru(cell: Cell, x: Tensor, state: State) -> State:
    (h,) = state
    w, size = cell.fused, cell.hidden_size
    (W_r, W_z, W_n), (U_r, U_z, U_n) = blocks(w.weight_ih_l0, size), blocks(w.weight_hh_l0, size)
    (b_r, b_z, b_n), (d_r, d_z, d_n) = blocks(w.bias_ih_l0, size), blocks(w.bias_hh_l0, size)
    r = sigmoid(W_r @ x + b_r + U_r @ h + d_r)
    z = sigmoid(W_z @ x + b_z + U_z @ h + d_z)
    n = tanh(W_n @ x + b_n + r * (U_n @ h + d_n))
    return ((1 - z) * n + z * h,)


def gru_reset_before(cell: Cell, x: Tensor, state: State) -> State:
    (h,) = state
    size = cell.hidden_size
    (W_r, W_z, W_n), (U_r, U_z, U_n) = blocks(cell.weight_ih, size), blocks(cell.weight_hh, size)
    b_r, b_z, b_n = blocks(cell.bias, size)
    r = sigmoid(W_r @ x + U_r @ h + b_r)
    z = sigmoid(W_z @ x + U_z @ h + b_z)
    candidate = tanh(W_n @ x + U_n @ (r * h) + b_n)
    return (z * h + (1 - z) * candidate,)


def raw(cell: Cell, x: Tensor) -> Tensor:
    return x if len(x) == cell.hidden_size else cell.resize.weight @ x


def mut1(cell: Cell, x: Tensor, state: State) -> State:
    (h,) = state
    x, size = raw(cell, x), cell.hidden_size
    (W_xz, W_xr), (W_hr, W_hh) = blocks(cell.weight_ih, size), blocks(cell.weight_hh, size)
    b_z, b_r, b_h = blocks(cell.bias, size)
    z = sigmoid(W_xz @ x + b_z)
    r = sigmoid(W_xr @ x + W_hr @ h + b_r)
    return (tanh(W_hh @ (r * h) + tanh(x) + b_h) * z + h * (1 - z),)


def mut2(cell: Cell, x: Tensor, state: State) -> State:
    (h,) = state
    x, size = raw(cell, x), cell.hidden_size
    (W_xz, W_xh), (W_hz, W_hr, W_hh) = blocks(cell.weight_ih, size), blocks(cell.weight_hh, size)
    b_z, b_r, b_h = blocks(cell.bias, size)
    z = sigmoid(W_xz @ x + W_hz @ h + b_z)
    r = sigmoid(x + W_hr @ h + b_r)
    return (tanh(W_hh @ (r * h) + W_xh @ x + b_h) * z + h * (1 - z),)


def mut3(cell: Cell, x: Tensor, state: State) -> State:
    (h,) = state
    size = cell.hidden_size
    (W_xz, W_xr, W_xh), (W_hz, W_hr, W_hh) = blocks(cell.weight_ih, size), blocks(cell.weight_hh, size)
    b_z, b_r, b_h = blocks(cell.bias, size)
    z = sigmoid(W_xz @ x + W_hz @ tanh(h) + b_z)
    r = sigmoid(W_xr @ x + W_hr @ h + b_r)
    return (tanh(W_hh @ (r * h) + W_xh @ x + b_h) * z + h * (1 - z),)


# The tree of figure 8 as a table: what joins the two inputs of a node, and what is applied to that.
LEAVES = (
    ("add", sigmoid),
    ("add", relu),
    ("add", sigmoid),
    ("multiply", relu),
    ("add", tanh),
    ("add", sigmoid),
    ("add", tanh),
    ("add", sigmoid),
)
PAIRS = (("multiply", tanh), ("add", tanh), ("multiply", tanh), ("add", sigmoid))
JOIN = {"add": lambda a, b: a + b, "multiply": lambda a, b: a * b}


def nas(cell: Cell, x: Tensor, state: State) -> State:
    h, c = state
    size = cell.hidden_size
    values = [
        activate(JOIN[join](W @ x, U @ h + b))
        for (join, activate), W, U, b in zip(
            LEAVES, blocks(cell.weight_ih, size), blocks(cell.weight_hh, size), blocks(cell.bias, size), strict=True
        )
    ]
    a, b, d, e = (activate(JOIN[join](*values[2 * k : 2 * k + 2])) for k, (join, activate) in enumerate(PAIRS))
    new_c = JOIN["multiply"](tanh(JOIN["add"](a, c)), b)  # the old cell is injected into the first of the four
    right = tanh(JOIN["add"](d, e))
    return tanh(JOIN["multiply"](new_c, right)), new_c


def highway(cell: Cell, x: Tensor, state: State) -> State:
    (s,) = state
    size = cell.hidden_size
    W_t, W_n = blocks(cell.weight_ih, size)
    for layer in range(3):
        R_t, R_n = blocks(cell.weight_hh, size)[2 * layer : 2 * layer + 2]
        b_t, b_n = blocks(cell.bias, size)[2 * layer : 2 * layer + 2]
        first = 1 if layer == 0 else 0
        n = tanh(first * (W_n @ x) + R_n @ s + b_n)
        t = sigmoid(first * (W_t @ x) + R_t @ s + b_t)
        s = n * t + s * (1 - t)
    return (s,)


def residual(cell: Cell, x: Tensor, state: State) -> State:
    (h,) = state
    size = cell.hidden_size
    (W_g, W_n), (U_g, U_n), (b_g, b_n) = (blocks(m, size) for m in (cell.weight_ih, cell.weight_hh, cell.bias))
    return (sigmoid(W_g @ x + U_g @ h + b_g) * tanh(W_n @ x + U_n @ h + b_n) + h,)


EQUATIONS: dict[str, Callable[[Cell, Tensor, State], State]] = {
    "elman": elman,
    "lstm": lstm,
    "gru": gru,
    "gru_reset_before": gru_reset_before,
    "mut1": mut1,
    "mut2": mut2,
    "mut3": mut3,
    "nas": nas,
    "highway": highway,
    "residual": residual,
}
