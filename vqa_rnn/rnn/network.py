"""A recurrent network: cells in layers and directions, run over sequences of different lengths.

Shape letters: L layers times directions, N sequences, T steps, M elements of all sequences without padding, E input size,
H hidden size.
"""

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from vqa_rnn.dropout import Dropout
from vqa_rnn.precision import native_precision
from vqa_rnn.rnn.cells import CELLS, Cell, Lstm, State
from vqa_rnn.rnn.padded import run_padded


class RecurrentNetwork(nn.Module):
    """One or more layers of a recurrent cell, in one or two directions.

    Each layer reads the output of the layer below at the same step, as on the lecture's second slide on multi-layer networks.
    (Its first slide uses the layer below at the previous step.) The state is passed in and returned, so a sequence read in
    chunks gives the same output as the whole sequence. Truncated backpropagation through time is

        state = None
        for chunk in inputs_NTE.split(20, dim=1):
            states, state = network(chunk, first=state)
            loss(states).backward()
            state = tuple(part.detach() for part in state)

    Attributes:
        num_states: Number of vectors in the state of a cell; 2 for a state (h, c).
        num_directions: 1 or 2.
        output_size: H, or 2 H with two directions.
    """

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        first_state: Literal["zero", "learned"] = "zero",
        recurrent_start: Literal["uniform", "orthogonal"] = "uniform",
        forget_bias: float | None = None,
    ) -> None:
        """Create the cells.

        Args:
            cell: A name from ``CELLS``.
            input_size: E.
            hidden_size: H.
            num_layers: At least 1.
            bidirectional: Also read backwards.
            dropout: Dropout between layers.
            first_state: Initial state if none is passed: zeros, or learned vectors.
            recurrent_start: Initialisation of each recurrent matrix: ``uniform`` as in torch, or ``orthogonal``
                (Saxe et al. 2014, https://arxiv.org/abs/1312.6120).
            forget_bias: Initial bias of the forget gates of an LSTM; None keeps torch's random initialisation around 0.

        Raises:
            ValueError: If the cell, ``first_state`` or ``recurrent_start`` is unknown, there is no layer, a size is below 1, or
                ``forget_bias`` is given for a cell without a forget gate.
        """
        super().__init__()
        if cell not in CELLS:
            raise ValueError(f"unknown cell {cell!r} (known: {', '.join(CELLS)})")
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, got {num_layers}")
        if hidden_size < 1 or input_size < 1:
            raise ValueError(f"input_size and hidden_size must be at least 1, got {input_size} and {hidden_size}")
        for name, value, known in (
            ("first_state", first_state, ("zero", "learned")),
            ("recurrent_start", recurrent_start, ("uniform", "orthogonal")),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; it can be {' or '.join(known)}")
        if forget_bias is not None and CELLS[cell] is not Lstm:
            raise ValueError(f"forget_bias is for the cell 'lstm'; {cell!r} has no forget gate")
        self.num_states = CELLS[cell].num_states
        self.num_directions = 2 if bidirectional else 1
        self.hidden_size = hidden_size
        self.output_size = self.num_directions * hidden_size
        sizes = [input_size] + [self.output_size] * (num_layers - 1)
        self.layers = nn.ModuleList(
            nn.ModuleList(CELLS[cell](size, hidden_size) for _ in range(self.num_directions)) for size in sizes
        )
        self.dropout = Dropout(dropout)
        self.first_state: nn.Parameter | None = None
        if first_state == "learned":
            # a single vector, because weight decay applies to matrices only
            self.first_state = nn.Parameter(torch.zeros(self.num_states * num_layers * self.output_size))
        for each in self.cells():
            if recurrent_start == "orthogonal":
                for block in each.recurrent_weights().detach().split(hidden_size):
                    nn.init.orthogonal_(block)
            if isinstance(each, Lstm) and forget_bias is not None:
                each.set_forget_bias(forget_bias)

    def cells(self) -> list[Cell]:
        """Return all cells.

        Returns:
            L cells, layer by layer; within a layer the forward direction comes first.
        """
        return [cell for layer in self._layers() for cell in layer]

    def _layers(self) -> list[list[Cell]]:
        return cast(list[list[Cell]], self.layers)

    def forward(self, inputs_NTE: Tensor, lengths_N: Tensor | None = None, first: State | None = None) -> tuple[Tensor, State]:
        """Read sequences. Padding is not computed, except in an exported model.

        Args:
            inputs_NTE: (N, T, E) float, padded on the right with any values; N and T are at least 1.
            lengths_N: (N,) int64, each from 0 to T, on the CPU, because reading them from a GPU would wait for its work to
                finish; None if all are T. A sequence of length 0 keeps its state.
            first: Initial states, (L, N, H) for each vector of a cell's state. Reading a sequence in chunks works in one
                direction only; a backward direction would have to start with the last chunk.

        Returns:
            (N, T, H) outputs of the last layer, or (N, T, 2 H) with both directions concatenated, 0 in the padding; and the
            states after each sequence's last element (in a backward direction, its first), in the form of ``first``.

        Raises:
            ValueError: If ``first`` has the wrong shape, or the lengths do not fit the inputs.
        """
        N, T, _ = inputs_NTE.shape
        if torch.compiler.is_exporting():
            return self._read_padded(inputs_NTE, lengths_N, first)
        data_MH, state, order = self._read(inputs_NTE, lengths_N, first)
        if order is None:
            return data_MH.unflatten(0, (T, N)).transpose(0, 1), state
        padded = data_MH.new_zeros(N * T, self.output_size)
        return padded.index_copy_(0, order.element_M, data_MH).unflatten(0, (N, T)), state

    def final_state(self, inputs_NTE: Tensor, lengths_N: Tensor | None = None, first: State | None = None) -> State:
        """Read sequences as ``forward`` does, but without allocating padded outputs.

        Args:
            inputs_NTE: (N, T, E) float.
            lengths_N: (N,) int64, or None.
            first: Initial states, or None.

        Returns:
            The states after each sequence's last element.
        """
        if torch.compiler.is_exporting():
            return self._read_padded(inputs_NTE, lengths_N, first)[1]
        return self._read(inputs_NTE, lengths_N, first)[1]

    def step(self, inputs_NE: Tensor, before: State) -> tuple[Tensor, State]:
        """Read one more element of each sequence.

        Args:
            inputs_NE: (N, E) float; N is at least 1.
            before: The states, as returned by ``forward``.

        Returns:
            (N, H) outputs of the last layer, and the states after the step.

        Raises:
            ValueError: If the network has two directions.
        """
        if self.num_directions == 2:
            raise ValueError("step() needs a network with one direction")
        states_NTH, after = self(inputs_NE.unsqueeze(1), first=before)
        return states_NTH.squeeze(1), after

    def last_output(self, final: State) -> Tensor:
        """Return the last output of the last layer.

        Args:
            final: The states from ``forward``.

        Returns:
            (N, H), or (N, 2 H) with both directions concatenated.
        """
        return final[0][-self.num_directions :].transpose(0, 1).flatten(1)

    def begin(self, sequences: int) -> State:
        """Return the initial states that are used if none are passed.

        Args:
            sequences: N.

        Returns:
            (L, N, H) for each vector of a cell's state.
        """
        shape = self._state_shape(sequences)
        if self.first_state is not None:
            parts = self.first_state.view(self.num_states, shape[0], 1, self.hidden_size)
            return tuple(part.expand(shape) for part in parts)
        return (self.cells()[0].recurrent_weights().new_zeros(shape),) * self.num_states

    def _state_shape(self, sequences: int) -> tuple[int, int, int]:
        return len(self.layers) * self.num_directions, sequences, self.hidden_size

    def _check(self, first: State, sequences: int) -> None:
        if isinstance(first, Tensor):
            raise ValueError("first must be a tuple of tensors, (h,) or (h, c)")
        shape, found = self._state_shape(sequences), [tuple(part.shape) for part in first]
        if found != [shape] * self.num_states:
            raise ValueError(
                f"first has shapes {' and '.join(map(str, found))}, expected {self.num_states} tensors of shape {shape}: "
                "layers times directions, sequences, hidden size"
            )

    def _read(self, inputs_NTE: Tensor, lengths_N: Tensor | None, first: State | None) -> tuple[Tensor, State, "_Order | None"]:
        """Return (M, H) outputs ordered by step, the final states, and the order of the elements, None without lengths."""
        N, T, _ = inputs_NTE.shape
        if first is not None:
            self._check(first, N)
        state = self.begin(N) if first is None else first
        if lengths_N is None:
            data_MH, state = self._run(inputs_NTE.transpose(0, 1).flatten(0, 1), [N] * T, state)
            return data_MH, state, None
        if lengths_N.shape != (N,):
            raise ValueError(f"expected {N} lengths, got shape {tuple(lengths_N.shape)}")
        order = _Order(lengths_N, T, inputs_NTE.device)
        by_length = tuple(part[:, order.sequence_N] for part in state)
        data_MH, state = self._run(inputs_NTE.flatten(0, 1).index_select(0, order.element_M), order.sizes, by_length)
        return data_MH, tuple(part[:, order.place_N] for part in state), order

    def _read_padded(self, inputs_NTE: Tensor, lengths_N: Tensor | None, first: State | None) -> tuple[Tensor, State]:
        """Compute ``forward`` for export: with the same operators for any number of steps and any lengths."""
        N, T, _ = inputs_NTE.shape
        step_T1 = torch.arange(T)[:, None]
        lengths_N = torch.full((N,), T) if lengths_N is None else lengths_N
        exists_TN1 = (step_T1 < lengths_N).unsqueeze(2)
        reversed_TN1 = torch.where(exists_TN1.squeeze(2), lengths_N - 1 - step_T1, step_T1).unsqueeze(2)
        data_TNE, state = inputs_NTE.transpose(0, 1), first or self.begin(N)
        ends: list[State] = []
        for layer in self._layers():
            outputs = []
            for direction, cell in enumerate(layer):
                begin = tuple(part[len(ends)].clone() for part in state)  # scan does not accept tensors that share memory
                read_TNE = data_TNE if direction == 0 else data_TNE.gather(0, reversed_TN1.expand_as(data_TNE))
                output_TNH, end = run_padded(cell, read_TNE, exists_TN1, begin)
                outputs.append(output_TNH if direction == 0 else output_TNH.gather(0, reversed_TN1.expand_as(output_TNH)))
                ends.append(end)
            data_TNE = torch.cat(outputs, dim=2)
        return data_TNE.transpose(0, 1), tuple(torch.stack(parts) for parts in zip(*ends, strict=True))

    def _run(self, data_ME: Tensor, sizes: list[int], first: State) -> tuple[Tensor, State]:
        """Run all layers over elements ordered by step; step t has an element of each of the first ``sizes[t]`` sequences."""
        backward_M = _reversed(sizes, data_ME.device) if self.num_directions == 2 else None
        ends: list[State] = []
        for depth, layer in enumerate(self._layers()):
            if depth:
                data_ME = self.dropout(data_ME)
            outputs = []
            for direction, cell in enumerate(layer):
                state = tuple(part[len(ends)] for part in first)
                read = data_ME if direction == 0 else data_ME[backward_M]
                output_MH, state = _run_cell(cell, read, sizes, state)
                outputs.append(output_MH if direction == 0 else output_MH[backward_M])
                ends.append(state)
            data_ME = torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0]
        return data_ME, tuple(torch.stack(parts) for parts in zip(*ends, strict=True))


class _Order:
    """The order of sequences from longest to shortest, and of their elements by step."""

    def __init__(self, lengths_N: Tensor, steps: int, device: torch.device) -> None:
        lengths = lengths_N.cpu()
        if len(lengths) and not 0 <= int(lengths.min()) <= int(lengths.max()) <= steps:
            raise ValueError(f"lengths must be from 0 to {steps}, got {int(lengths.min())} to {int(lengths.max())}")
        sequence_N = lengths.argsort(descending=True, stable=True)
        goes_on_TN = torch.arange(steps)[:, None] < lengths[sequence_N]
        step_M, place_M = goes_on_TN.nonzero(as_tuple=True)
        self.sizes: list[int] = goes_on_TN.sum(dim=1).tolist()
        self.sequence_N = sequence_N.to(device, non_blocking=True)
        self.place_N = sequence_N.argsort().to(device, non_blocking=True)
        self.element_M = (sequence_N[place_M] * steps + step_M).to(device, non_blocking=True)


def _reversed(sizes: list[int], device: torch.device) -> Tensor:
    """Return (M,) indices that reverse each sequence."""
    size_T = torch.tensor(sizes)
    begin_T = size_T.cumsum(0) - size_T
    goes_on_TN = torch.arange(max(sizes))[None] < size_T[:, None]
    step_M, place_M = goes_on_TN.nonzero(as_tuple=True)
    return (begin_T[goes_on_TN.sum(dim=0)[place_M] - 1 - step_M] + place_M).to(device, non_blocking=True)


def _run_cell(cell: Cell, data_ME: Tensor, sizes: list[int], state: State) -> tuple[Tensor, State]:
    """Run a cell forwards over packed elements; return (M, H) outputs and the final state of each sequence."""
    if cell.fused is not None and _is_faster_fused(data_ME, sizes):
        return _run_fused(cell.fused, data_ME, sizes, state)
    ended: list[State] = []
    outputs = []
    for projected_NP in cell.project(data_ME).split(sizes):
        going = len(projected_NP)
        if going < len(state[0]):
            ended.append(tuple(part[going:] for part in state))
            state = tuple(part[:going] for part in state)
        if going:
            state = cell.step(projected_NP, state)
            outputs.append(state[0])
    ended.append(state)
    output_MH = torch.cat(outputs) if outputs else data_ME.new_zeros(0, cell.hidden_size)
    return output_MH, tuple(torch.cat(parts[::-1]) for parts in zip(*ended, strict=True))


def _is_faster_fused(data_ME: Tensor, sizes: list[int]) -> bool:
    """Return whether torch's kernel is faster.

    On a GPU it always is. On a CPU it is faster for several steps without padding. With padding, its backward pass fills a
    matrix as large as all elements of all sequences at each step; for a single step, it first has to rearrange the weights.
    Under bfloat16 autocast there is no such kernel on a CPU without native bfloat16.
    """
    if data_ME.is_cuda or sizes[0] == 0:
        return sizes[0] > 0
    if torch.is_autocast_enabled("cpu") and native_precision(data_ME.device) == "float32":
        return False
    return len(sizes) > 1 and sizes[-1] == sizes[0]


def _run_fused(network: nn.RNNBase, data_ME: Tensor, sizes: list[int], state: State) -> tuple[Tensor, State]:
    """Run a cell as ``_run_cell`` does, with torch's kernel.

    Under bfloat16 autocast on a GPU the kernel runs in the dtype of the weights: autocast always casts ``_cudnn_rnn`` to
    float16, where gradients underflow without a loss scaler. float16 autocast has a loss scaler and is left as it is.
    """
    if data_ME.is_cuda and torch.is_autocast_enabled("cuda") and torch.get_autocast_dtype("cuda") == torch.bfloat16:
        dtype = cast(Tensor, network.weight_hh_l0).dtype
        with torch.autocast("cuda", enabled=False):
            return _run_fused(network, data_ME.to(dtype), sizes, tuple(part.to(dtype) for part in state))
    going = sizes[0]
    first = tuple(part[:going].unsqueeze(0).contiguous() for part in state)
    read: Tensor | PackedSequence
    if sizes[-1] == going:
        read = data_ME.unflatten(0, (len(sizes), going))
    else:
        read = PackedSequence(data_ME, torch.tensor([size for size in sizes if size]))
    output, final = network(read, first if len(first) == 2 else first[0])
    finals = final if isinstance(final, tuple) else (final,)
    output_MH = output.data if isinstance(output, PackedSequence) else output.flatten(0, 1)
    return output_MH, tuple(torch.cat([part[0], kept[going:]]) for part, kept in zip(finals, state, strict=True))


def all_states(final: State) -> Tensor:
    """Concatenate the final states of all layers and directions.

    Args:
        final: The states from ``RecurrentNetwork.forward``.

    Returns:
        (N, L H) for a cell with one state vector, (N, 2 L H) for one with two: h layer by layer, then c.
    """
    return torch.cat([part.transpose(0, 1).flatten(1) for part in final], dim=1)
