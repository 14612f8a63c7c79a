"""Running recurrent networks over texts of different lengths."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_packed_sequence

from vqa_rnn.rnn import CELLS, all_states, last_state, run_packed

LENGTHS = (4, 1, 6, 3, 6)


@pytest.fixture(params=[(cell, layers, both) for cell in CELLS for layers in (1, 2) for both in (False, True)], ids=str)
def network(request: pytest.FixtureRequest) -> nn.LSTM | nn.GRU:
    cell, layers, both = request.param
    torch.manual_seed(0)
    return CELLS[cell](5, 7, layers, batch_first=True, bidirectional=both).double()


def sequences() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, 5, generator=generator, dtype=torch.float64) for length in LENGTHS]


def padded(texts: list[Tensor], length: int, garbage: float) -> Tensor:
    return torch.stack([torch.cat([text, text.new_full((length - len(text), 5), garbage)]) for text in texts])


def run(network: nn.LSTM | nn.GRU, texts: Tensor, lengths: tuple[int, ...] = LENGTHS) -> tuple[Tensor, Tensor]:
    states, final = run_packed(network, texts, torch.tensor(lengths))
    return pad_packed_sequence(states, batch_first=True)[0], last_state(network, final)


def width(network: nn.LSTM | nn.GRU) -> int:
    return 14 if network.bidirectional else 7


def test_a_batch_equals_each_sequence_run_alone(network: nn.LSTM | nn.GRU):
    texts = sequences()
    states, last = run(network, padded(texts, 8, 0.0))
    assert states.shape == (5, 6, width(network))
    assert last.shape == (5, width(network))
    for n, text in enumerate(texts):
        outputs, ended = network(text[None])
        final = ended[0] if isinstance(ended, tuple) else ended
        alone = torch.cat([*final[-(width(network) // 7) :, 0]])
        torch.testing.assert_close(last[n], alone, rtol=0, atol=1e-12)
        torch.testing.assert_close(states[n, : LENGTHS[n]], outputs[0], rtol=0, atol=1e-12)
        assert (states[n, LENGTHS[n] :] == 0).all()


def test_padding_is_never_read(network: nn.LSTM | nn.GRU):
    texts = sequences()
    short, short_last = run(network, padded(texts, 6, 0.0))
    long, long_last = run(network, padded(texts, 11, float("nan")))
    assert torch.equal(short_last, long_last)
    assert torch.equal(short, long)


def test_the_last_state_is_that_at_the_last_element_and_at_the_first_for_the_backward_direction(network: nn.LSTM | nn.GRU):
    states, last = run(network, padded(sequences(), 6, 0.0))
    for n, length in enumerate(LENGTHS):
        assert torch.equal(last[n, :7], states[n, length - 1, :7])
        assert torch.equal(last[n, 7:], states[n, 0, 7:])


def test_the_order_of_the_batch_does_not_matter(network: nn.LSTM | nn.GRU):
    texts, order = padded(sequences(), 6, 0.0), [3, 0, 4, 2, 1]
    expected = run(network, texts)
    for found, values in zip(run(network, texts[order], tuple(LENGTHS[n] for n in order)), expected, strict=True):
        torch.testing.assert_close(found, values[order], rtol=0, atol=1e-12)


def test_gradients_stop_at_the_end_of_each_sequence(network: nn.LSTM | nn.GRU):
    texts = padded(sequences(), 6, 0.0).requires_grad_()
    run(network, texts)[1].sum().backward()
    assert texts.grad is not None
    for gradient, length in zip(texts.grad, LENGTHS, strict=True):
        assert (gradient[:length].abs().sum(dim=1) > 0).all()
        assert (gradient[length:] == 0).all()


def test_all_states_are_those_of_every_layer_and_direction_and_for_an_lstm_its_cells(network: nn.LSTM | nn.GRU):
    texts = padded(sequences(), 6, 0.0)
    _, final = run_packed(network, texts, torch.tensor(LENGTHS))
    joined = all_states(final)
    parts = 2 if isinstance(network, nn.LSTM) else 1
    assert joined.shape == (5, parts * network.num_layers * width(network))
    for n, text in enumerate(sequences()):
        ended = network(text[None])[1]
        alone = torch.cat([part[:, 0].flatten() for part in (ended if isinstance(ended, tuple) else (ended,))])
        torch.testing.assert_close(joined[n], alone, rtol=0, atol=1e-12)
