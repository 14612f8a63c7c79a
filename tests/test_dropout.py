import pytest
import torch
from torch import nn

from vqa_rnn.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_zeros_come_with_probability_p_and_the_mean_stays(p: float):
    torch.manual_seed(0)
    outputs = Dropout(p)(torch.ones(400, 1001))
    deviation = (p * (1 - p) / outputs.numel()) ** 0.5
    assert (outputs == 0).double().mean().item() == pytest.approx(p, abs=4 * deviation + 2**-17)
    assert outputs.unique().tolist() == pytest.approx([0, 1 / (1 - p)])


def test_neighbours_are_independent():
    torch.manual_seed(0)
    dropped = (Dropout(0.5)(torch.ones(400_000)) == 0).double()
    for distance in range(1, 9):
        both = (dropped[:-distance] * dropped[distance:]).mean().item()
        assert both == pytest.approx(0.25, abs=0.004)


@pytest.mark.parametrize("shape", [(0,), (1,), (3,), (2, 3, 5)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_shape_and_dtype(shape: tuple[int, ...], dtype: torch.dtype):
    outputs = Dropout(0.5)(torch.ones(shape, dtype=dtype))
    assert outputs.shape == shape
    assert outputs.dtype == dtype
    assert set(outputs.flatten().tolist()) <= {0.0, 2.0}


def test_probabilities_at_the_ends():
    inputs = torch.ones(10_000)
    assert Dropout(0.0)(inputs) is inputs
    assert Dropout(0.999999)(inputs).count_nonzero() < 10
    assert Dropout(1.0)(inputs).count_nonzero() == 0
    assert Dropout(1e-9)(inputs).count_nonzero() == len(inputs)


def test_a_seed_draws_the_same_whatever_the_layout():
    inputs = torch.rand(6, 8, 4)
    drawn = []
    for layout in (inputs, inputs.transpose(0, 1).contiguous().transpose(0, 1)):
        torch.manual_seed(3)
        drawn.append(Dropout(0.4)(layout))
    assert torch.equal(*drawn)


def test_gradients_pass_where_numbers_did():
    inputs = torch.rand(50, 7, dtype=torch.float64, requires_grad=True)
    outputs = Dropout(0.3)(inputs)
    outputs.sum().backward()
    assert torch.allclose(inputs.grad, outputs.detach() / inputs.detach())


def test_evaluation_changes_nothing():
    inputs = torch.rand(5)
    assert torch.equal(Dropout(0.5).eval()(inputs), inputs)
    assert isinstance(Dropout(0.5), nn.Dropout)
