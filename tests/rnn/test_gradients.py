"""How far back a loss reaches: against the equations, and the lecture's claims."""

import pytest
import torch

from vqa_rnn.rnn import CELLS
from vqa_rnn.rnn.gradients import Flow, by_distance, make_network, measure_flow

SIZE = 64
SMALL = 1e-6 * torch.randn(4, 101, SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_an_elman_cell_gives_the_product_of_its_derivatives():
    network = make_network("elman", 3, 0.7, seed=5)
    inputs = torch.randn(1, 4, 3, dtype=torch.float64)
    cell = network.cells()[0]
    W, U = cell.fused.weight_ih_l0.detach(), cell.fused.weight_hh_l0.detach()
    states, h = [], torch.zeros(3, dtype=torch.float64)
    for x in inputs[0]:
        h = torch.tanh(W @ x + U @ h)
        states.append(h)
    direction = torch.randn(3, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    at_state, expected = direction / direction.norm(), []
    for h in reversed(states):
        at_sum = at_state * (1 - h**2)
        expected.append(float((W.T @ at_sum).norm()))
        at_state = U.T @ at_sum
    assert measure_flow(network, inputs, seed=9).norms == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_is_followed_to_the_first_element(cell: str):
    flow = measure_flow(make_network(cell, SIZE), SMALL)
    assert len(flow.norms) == 101
    assert all(norm > 0 for norm in flow.norms)
    assert flow.total > 0


def test_gradients_vanish_below_one_and_explode_above_and_an_lstm_keeps_them():
    below, above, lstm = (
        measure_flow(make_network(*cell), SMALL).norms for cell in (("elman", SIZE, 0.9), ("elman", SIZE, 1.1), ("lstm", SIZE))
    )
    assert below[100] < 1e-4 * below[0]
    assert above[100] > 10 * above[0]
    assert lstm[100] / lstm[0] > 100 * below[100] / below[0]


def test_all_singular_values_are_the_one_that_was_asked_for():
    (cell,) = make_network("elman", 16, 0.9).cells()
    torch.testing.assert_close(
        torch.linalg.svdvals(cell.recurrent_weights().detach()), torch.full((16,), 0.9, dtype=torch.float64), rtol=0, atol=1e-6
    )


def test_clipping_scales_everything_to_the_norm_and_leaves_smaller_gradients_alone():
    assert Flow([4.0, 2.0], 10.0).clipped(5.0) == Flow([2.0, 1.0], 5.0)
    assert Flow([4.0, 2.0], 10.0).clipped(20.0) == Flow([4.0, 2.0], 10.0)
    assert Flow([0.0], 0.0).clipped(5.0) == Flow([0.0], 0.0)


def test_distances_are_from_the_end_of_each_sequence():
    norms = [torch.tensor([[5.0, 1.0], [2.0, 99.0]]), torch.tensor([[10.0]])]
    found = by_distance(norms, [torch.tensor([2, 1]), torch.tensor([1])])
    assert found == pytest.approx([(1 + 2 + 10) / 3, 5.0])
