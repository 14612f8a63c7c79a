"""Every cell against its equations and against torch; state in and out; padding, batch-mates, gradients."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.rnn.equations import EQUATIONS
from vqa_rnn.rnn import CELLS, RecurrentNetwork, State, all_states

LENGTHS = (4, 1, 6, 3, 6)
INPUT, HIDDEN = 5, 7
FORMS = [(1, False), (1, True), (2, False), (2, True)]
TORCH = {"elman": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


def make(cell: str, layers: int = 1, both: bool = False, input_size: int = INPUT, **options: Any) -> RecurrentNetwork:
    torch.manual_seed(0)
    return RecurrentNetwork(cell, input_size, HIDDEN, num_layers=layers, bidirectional=both, **options).double()


def sequences(input_size: int = INPUT) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, input_size, generator=generator, dtype=torch.float64) for length in LENGTHS]


def padded(texts: list[Tensor], length: int = 6, garbage: float = 0.0) -> Tensor:
    return torch.stack([torch.cat([t, t.new_full((length - len(t), t.shape[1]), garbage)]) for t in texts])


def by_equation(name: str, network: RecurrentNetwork, inputs: Tensor, first: State | None = None) -> tuple[Tensor, State]:
    """One sequence, step by step: (T, H) the last layer's outputs, and for each vector of the state (L, H)."""
    ends: list[State] = []
    for layer in network.layers:
        outputs = []
        for direction, cell in enumerate(layer):  # type: ignore[arg-type]
            state = tuple(inputs.new_zeros(HIDDEN) for _ in range(cell.num_states))
            if first is not None:
                state = tuple(part[len(ends)] for part in first)
            said = []
            for x in inputs.flip(0) if direction else inputs:
                state = EQUATIONS[name](cell, x, state)
                said.append(state[0])
            outputs.append(torch.stack(said[::-1] if direction else said))
            ends.append(state)
        inputs = torch.cat(outputs, dim=1)
    return inputs, tuple(torch.stack(parts) for parts in zip(*ends, strict=True))


def given_state(network: RecurrentNetwork, sequences: int) -> State:
    shape = (len(network.cells()), sequences, HIDDEN)
    return tuple(torch.randn(shape, dtype=torch.float64) for _ in range(network.num_states))


@pytest.fixture(params=[(cell, *form) for cell in CELLS for form in FORMS], ids=str)
def case(request: pytest.FixtureRequest) -> tuple[str, RecurrentNetwork]:
    cell, layers, both = request.param
    return cell, make(cell, layers, both)


def close(found: Tensor, expected: Tensor, within: float = 1e-12) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=within)


def test_every_cell_has_its_equation_here():
    assert set(EQUATIONS) == set(CELLS)


def test_a_batch_is_what_the_equations_say_of_each_sequence_alone(case: tuple[str, RecurrentNetwork]):
    name, network = case
    first = given_state(network, len(LENGTHS))
    states, final = network(padded(sequences(), 8, float("nan")), torch.tensor(LENGTHS), first)
    assert states.shape == (5, 8, network.output_size)
    for n, text in enumerate(sequences()):
        expected, ended = by_equation(name, network, text, tuple(part[:, n] for part in first))
        close(states[n, : len(text)], expected, 1e-10)
        assert (states[n, len(text) :] == 0).all()
        for part, alone in zip(final, ended, strict=True):
            close(part[:, n], alone, 1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_inputs_of_the_hidden_size_are_read_by_the_same_equations(name: str):
    network = make(name, input_size=HIDDEN)
    states, _ = network(padded(sequences(HIDDEN)), torch.tensor(LENGTHS))
    for n, text in enumerate(sequences(HIDDEN)):
        close(states[n, : len(text)], by_equation(name, network, text)[0], 1e-10)


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("lengths", [LENGTHS, (6,) * 5, None], ids=str)
def test_cells_of_torch_equal_torch_in_outputs_and_gradients(
    name: str, form: tuple[int, bool], lengths: tuple[int, ...] | None
):
    layers, both = form
    ours, theirs = make(name, layers, both), TORCH[name](INPUT, HIDDEN, layers, bidirectional=both, batch_first=True).double()
    pairs = []
    for depth, layer in enumerate(ours.layers):
        for direction, cell in enumerate(layer):  # type: ignore[arg-type]
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                target = getattr(theirs, f"{kind}_l{depth}{'_reverse' if direction else ''}")
                target.data.copy_(getattr(cell.fused, f"{kind}_l0"))
                pairs.append((getattr(cell.fused, f"{kind}_l0"), target))
    inputs = torch.randn(5, 6, INPUT, dtype=torch.float64)
    known = torch.tensor(lengths or (6,) * 5)
    packed = nn.utils.rnn.pack_padded_sequence(inputs, known, batch_first=True, enforce_sorted=False)
    expected = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)[0]
    found = ours(inputs, None if lengths is None else known)[0]
    close(found, expected)
    weights = torch.randn_like(expected)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for mine, other in pairs:
        assert other.grad.abs().sum() > 0
        close(mine.grad, other.grad)


def test_gradients_are_those_of_the_function(case: tuple[str, RecurrentNetwork]):
    name, _ = case
    layers, both = len(case[1].layers), case[1].num_directions == 2
    torch.manual_seed(0)
    network = RecurrentNetwork(name, 2, 3, num_layers=layers, bidirectional=both).double()
    inputs = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    first = torch.randn(network.num_states, layers * network.num_directions, 3, 3, dtype=torch.float64, requires_grad=True)
    names, weights = zip(*network.named_parameters(), strict=True)

    def run(inputs: Tensor, first: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(names, weights, strict=True))
        states, final = torch.func.functional_call(network, given, (inputs, torch.tensor([3, 1, 4]), tuple(first)))
        return states, *final

    assert torch.autograd.gradcheck(run, (inputs, first, *weights), fast_mode=True)


@pytest.mark.parametrize("chunk", [1, 3, 7])
@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", CELLS)
def test_a_sequence_read_in_chunks_equals_the_whole(name: str, layers: int, padding: bool, chunk: int):
    network = make(name, layers)
    inputs = torch.randn(4, 17, INPUT, dtype=torch.float64)
    lengths = torch.tensor([17, 2, 9, 16]) if padding else torch.tensor([17] * 4)
    whole, final = network(inputs, lengths)
    state, parts = None, []
    for start in range(0, 17, chunk):
        some = inputs[:, start : start + chunk]
        given = (lengths - start).clamp(min=0, max=some.shape[1]) if padding else None
        states, state = network(some, given, state)
        parts.append(states)
    close(torch.cat(parts, dim=1), whole)
    for part, expected in zip(state, final, strict=True):
        close(part, expected)


@pytest.mark.parametrize("name", CELLS)
def test_single_steps_equal_the_whole(name: str):
    network = make(name, 2)
    inputs = torch.randn(4, 5, INPUT, dtype=torch.float64)
    whole, final = network(inputs)
    state = network.begin(4)
    for t in range(5):
        output, state = network.step(inputs[:, t], state)
        close(output, whole[:, t])
    for part, expected in zip(state, final, strict=True):
        close(part, expected)


def test_padding_is_never_read_and_nothing_flows_back_from_it(case: tuple[str, RecurrentNetwork]):
    _, network = case
    short = network(padded(sequences()), torch.tensor(LENGTHS))
    inputs = padded(sequences(), 11, 1e30).requires_grad_()
    states, final = network(inputs, torch.tensor(LENGTHS))
    assert torch.equal(states[:, :6], short[0])
    assert all(torch.equal(part, expected) for part, expected in zip(final, short[1], strict=True))
    network.last_output(final).sum().backward()
    assert inputs.grad is not None
    for gradient, length in zip(inputs.grad, LENGTHS, strict=True):
        assert (gradient[:length].abs().sum(dim=1) > 0).all()
        assert (gradient[length:] == 0).all()


def test_the_order_and_the_batch_mates_of_a_sequence_do_not_matter(case: tuple[str, RecurrentNetwork]):
    _, network = case
    texts, order = padded(sequences()), [3, 0, 2]
    states, final = network(texts, torch.tensor(LENGTHS))
    some_states, some_final = network(texts[order], torch.tensor(LENGTHS)[order])
    close(some_states, states[order], 1e-9)
    for part, expected in zip(some_final, final, strict=True):
        close(part, expected[:, order], 1e-9)


def test_a_sequence_without_elements_keeps_its_state(case: tuple[str, RecurrentNetwork]):
    _, network = case
    first = given_state(network, 3)
    for lengths in ([0, 4, 0], [0, 0, 0]):
        states, final = network(torch.randn(3, 4, INPUT, dtype=torch.float64), torch.tensor(lengths), first)
        assert (states[0] == 0).all()
        assert (states[2] == 0).all()
        for part, expected in zip(final, first, strict=True):
            assert torch.equal(part[:, [0, 2]], expected[:, [0, 2]])


def test_the_last_output_is_that_at_the_last_element_and_at_the_first_for_the_backward_direction(
    case: tuple[str, RecurrentNetwork],
):
    _, network = case
    states, final = network(padded(sequences()), torch.tensor(LENGTHS))
    last = network.last_output(final)
    assert last.shape == (5, network.output_size)
    for n, length in enumerate(LENGTHS):
        assert torch.equal(last[n, :HIDDEN], states[n, length - 1, :HIDDEN])
        assert torch.equal(last[n, HIDDEN:], states[n, 0, HIDDEN:])


def test_all_states_are_those_of_every_layer_and_direction_and_then_the_cells(case: tuple[str, RecurrentNetwork]):
    name, network = case
    joined = all_states(network(padded(sequences()), torch.tensor(LENGTHS))[1])
    for n, text in enumerate(sequences()):
        ended = by_equation(name, network, text)[1]
        close(joined[n], torch.cat([part.flatten() for part in ended]), 1e-10)


@pytest.mark.parametrize("lengths", [torch.tensor(LENGTHS), None], ids=["padded", "whole"])
@pytest.mark.parametrize("name", CELLS)
def test_half_precision_stays_near(name: str, lengths: torch.Tensor | None):
    network = make(name).float()
    inputs = padded(sequences()).float()
    with torch.autocast("cpu", torch.bfloat16):
        states, _ = network(inputs, lengths)
    torch.testing.assert_close(states.float(), network(inputs, lengths)[0], rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", CELLS)
def test_a_learned_first_state_is_what_sequences_begin_with(name: str):
    network = make(name, 2, first_state="learned")
    assert network.first_state is not None
    close(network(padded(sequences()))[0], make(name, 2)(padded(sequences()))[0])  # it starts as zeros
    nn.init.normal_(network.first_state)
    given = network.begin(5)
    assert given[0].std() > 0.1
    close(network(padded(sequences()))[0], network(padded(sequences()), first=given)[0])
    network(padded(sequences()))[0].sum().backward()
    assert network.first_state.grad is not None
    assert network.first_state.grad.abs().sum() > 0


@pytest.mark.parametrize("name", CELLS)
def test_an_orthogonal_start_keeps_lengths(name: str):
    for cell in make(name, 2, True, recurrent_start="orthogonal").cells():
        for block in cell.recurrent_weights().detach().split(HIDDEN):
            close(block @ block.T, torch.eye(HIDDEN, dtype=torch.float64), 1e-6)


def test_a_forget_bias_is_all_that_the_forget_gate_starts_with():
    for cell in make("lstm", 2, True, forget_bias=1.5).cells():
        bias = cell.fused.bias_ih_l0 + cell.fused.bias_hh_l0
        assert (bias[HIDDEN : 2 * HIDDEN] == 1.5).all()
        assert not (bias[:HIDDEN] == 1.5).any()


def test_dropout_is_between_layers_alone():
    inputs = padded(sequences())
    one, two = make("gru", 1, dropout=0.5).train(), make("gru", 2, dropout=0.5).train()
    assert torch.equal(one(inputs)[0], one(inputs)[0])
    assert not torch.equal(two(inputs)[0], two(inputs)[0])
    assert torch.equal(two.eval()(inputs)[0], two(inputs)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "lstmm"}, r"unknown cell 'lstmm' \(known: elman, lstm,"),
        ({"layers": 0}, "num_layers must be at least 1, got 0"),
        ({"cell": "gru", "forget_bias": 1.0}, "'gru' has no forget gate"),
        ({"first_state": "zeros"}, "first_state is 'zeros'; it can be zero or learned"),
        ({"recurrent_start": "eye"}, "recurrent_start is 'eye'; it can be uniform or orthogonal"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message) as error:
        make(**{"cell": "lstm", **options})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(1, 5, 7)], r"first has shapes \(1, 5, 7\), expected 2 tensors of shape \(1, 5, 7\)"),
        ([(1, 4, 7), (1, 5, 7)], r"shapes \(1, 4, 7\) and \(1, 5, 7\), expected 2 tensors of shape \(1, 5, 7\)"),
        ([(2, 5, 7)] * 2, r"expected 2 tensors of shape \(1, 5, 7\): layers times directions, sequences, hidden size"),
    ],
)
def test_a_state_of_another_shape_is_refused_in_one_line(shapes: list[tuple[int, ...]], message: str):
    with pytest.raises(ValueError, match=message):
        make("lstm")(padded(sequences()), first=tuple(torch.zeros(shape, dtype=torch.float64) for shape in shapes))


def test_two_directions_cannot_go_on_by_a_step():
    network = make("lstm", both=True)
    with pytest.raises(ValueError, match="needs a network with one direction"):
        network.step(torch.zeros(2, INPUT, dtype=torch.float64), network.begin(2))


def test_final_states_alone_are_those_of_the_whole(case: tuple[str, RecurrentNetwork]):
    _, network = case
    for lengths in (None, torch.tensor(LENGTHS)):
        expected = network(padded(sequences()), lengths)[1]
        for part, alone in zip(expected, network.final_state(padded(sequences()), lengths), strict=True):
            assert torch.equal(part, alone)


def test_a_bare_tensor_for_a_state_is_refused():
    with pytest.raises(ValueError, match="first must be a tuple of tensors"):
        make("gru")(padded(sequences()), first=torch.zeros(1, 5, 7, dtype=torch.float64))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(0, 7), (5, 0)])
def test_an_empty_network_is_refused(size: tuple[int, int]):
    with pytest.raises(ValueError, match="must be at least 1, got"):
        RecurrentNetwork("mut1", *size)


@pytest.mark.parametrize("count", [1, 4, 6])
def test_lengths_of_fewer_or_more_sequences_are_refused(count: int):
    with pytest.raises(ValueError, match=rf"expected 5 lengths, got shape \({count},\)"):
        make("lstm")(padded(sequences()), torch.ones(count, dtype=torch.int64))


def test_lengths_beyond_the_sequence_are_refused():
    with pytest.raises(ValueError, match="lengths must be from 0 to 6, got 1 to 9"):
        make("lstm")(padded(sequences()), torch.tensor([1, 9, 2, 3, 4]))
