"""Sequence to sequence: a recurrent network reads the source, another one writes the target, with or without attention.

Shape letters: N pairs, S steps of the sources, T steps of the targets and their ends, V entries of the targets with padding and
end, E size of the encoder's output, H size of the decoder's state, L layers, M texts in progress.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vqa_rnn.dropout import Dropout
from vqa_rnn.models.decoding import DecoderState, Method, Step, Written, greedy
from vqa_rnn.models.layers import at_least_float32, masked_softmax
from vqa_rnn.models.text_encoder import PADDING_ID
from vqa_rnn.rnn import RecurrentNetwork
from vqa_rnn.rnn.cells import State
from vqa_rnn.rnn.network import all_states
from vqa_rnn.sequences.seq2seq_attention import ATTENTIONS
from vqa_rnn.sequences.seq2seq_data import PairBatch

IGNORED = -100  # the target of a step behind the end; torch's cross-entropy leaves it out


class Encoded(NamedTuple):
    """Sources that were read.

    Attributes:
        states: (N, S, E) float, the output of the encoder at each step, 0 in the padding.
        keys: (N, S, H) float, what the attention compares with the state of the decoder; without attention (N, S, 0).
        mask: (N, S) bool, True where the source has an entry.
        first: The first state of the decoder, (L, N, H) for each of its vectors.
    """

    states: Tensor
    keys: Tensor
    mask: Tensor
    first: State

    def pick(self, rows: Tensor) -> "Encoded":
        """Select sources, without their first states.

        Args:
            rows: (M,) int64; they may repeat.

        Returns:
            The M sources.
        """
        return Encoded(self.states[rows], self.keys[rows], self.mask[rows], ())


class Seq2Seq(nn.Module):
    """A recurrent encoder and a recurrent decoder, which writes the target entry by entry.

    Without attention it is the model of Sutskever et al. 2014 (https://arxiv.org/abs/1409.3215): the last state of the encoder
    is the first state of the decoder. Where the two differ in cell, size, layers or directions, the first state is computed
    from all last states by a linear layer, with a tanh for h.

    ``bahdanau`` is the model of Bahdanau et al. 2015 (https://arxiv.org/abs/1409.0473): before each step, the last state of the
    decoder is compared with each output of the encoder, and the decoder reads the weighted mean. It differs from the paper:
    any cell, and ``tanh(W [context; state])`` instead of a maxout layer before the output. ``luong_dot`` and ``luong_general``
    are the global attention of Luong et al. 2015 (https://arxiv.org/abs/1508.04025): each state looks at the source after its
    step, and the same tanh layer follows (equation 5). The tanh layer's output is not fed to the next step (section 3.3).

    The first input of the decoder is the vector of the end. Padding has probability 0.

    Attributes:
        max_tokens: The longest target that is written.
        end_id: Number of the end, the last of the V entries.
    """

    def __init__(
        self,
        num_source: int,
        num_target: int,
        cell: str = "lstm",
        hidden_size: int = 128,
        *,
        max_tokens: int,
        embedding_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = False,
        attention: str = "bahdanau",
        decoder_cell: str | None = None,
        decoder_size: int | None = None,
        decoder_layers: int | None = None,
        reverse_source: bool = False,
        dropout: float = 0.0,
        unknown_id: int | None = None,
        first_state: Literal["zero", "learned"] = "zero",
        recurrent_start: Literal["uniform", "orthogonal"] = "uniform",
        forget_bias: float | None = None,
    ) -> None:
        """Make the layers.

        Args:
            num_source: Number of entries of the sources, with padding.
            num_target: Number of entries of the targets, with padding and without the end: V - 1.
            cell: Cell of the encoder, a name from ``vqa_rnn.rnn.CELLS``.
            hidden_size: Size of the encoder's state in each direction.
            max_tokens: Longest target to write.
            embedding_size: Size of the vectors of the entries.
            num_layers: Layers of the encoder.
            bidirectional: Whether the encoder reads in both directions.
            attention: A name from ``ATTENTIONS``, or ``none``.
            decoder_cell: Cell of the decoder; None takes that of the encoder.
            decoder_size: H; None takes that of the encoder.
            decoder_layers: L; None takes that of the encoder.
            reverse_source: Read the sources backwards (Sutskever et al. 2014, section 3.3).
            dropout: On the input vectors, between layers and before the output layer.
            unknown_id: The number of the unknown word, which is never written; None if there is none.
            first_state: First state of the encoder, as in ``RecurrentNetwork``.
            recurrent_start: Initialisation of the recurrent matrices.
            forget_bias: Initial bias of the forget gate of an LSTM.

        Raises:
            ValueError: The attention is unknown, or ``luong_dot`` has states of different sizes.
        """
        super().__init__()
        if attention != "none" and attention not in ATTENTIONS:
            raise ValueError(f"unknown attention {attention!r} (known: none, {', '.join(ATTENTIONS)})")
        decoder_cell, H, L = decoder_cell or cell, decoder_size or hidden_size, decoder_layers or num_layers
        self.max_tokens = max_tokens
        self.end_id = num_target
        self._unknown_id = unknown_id
        self._reverses = reverse_source
        self._looks_first = attention == "bahdanau"
        self.source_vectors = nn.Embedding(num_source, embedding_size)
        self.target_vectors = nn.Embedding(num_target + 1, embedding_size)
        self.encoder = RecurrentNetwork(
            cell,
            embedding_size,
            hidden_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            first_state=first_state,
            recurrent_start=recurrent_start,
            forget_bias=forget_bias,
        )
        E = self.encoder.output_size
        self.decoder = RecurrentNetwork(
            decoder_cell,
            embedding_size + (E if self._looks_first else 0),
            H,
            num_layers=L,
            dropout=dropout,
            recurrent_start=recurrent_start,
            forget_bias=forget_bias if decoder_cell == "lstm" else None,
        )
        self.bridge: nn.Linear | None = None
        if bidirectional or (cell, hidden_size, num_layers) != (decoder_cell, H, L):
            self.bridge = nn.Linear(self.encoder.num_states * num_layers * E, self.decoder.num_states * L * H)
        self.attention = None if attention == "none" else ATTENTIONS[attention](E, H)
        self.combine = None if attention == "none" else nn.Linear(E + H, H)
        self.output = nn.Linear(H, num_target + 1)
        self.dropout = Dropout(dropout)

    def forward(self, batch: PairBatch) -> Tensor:
        """Predict each entry of the targets from those before it.

        Args:
            batch: N pairs.

        Returns:
            (N, T, V) float32 logits, any values behind the end of a target; T is 1 more than the longest target.
        """
        outputs_NTH, _ = self._decode(batch)
        return self._logits(outputs_NTH)

    def losses(self, logits_NTV: Tensor, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """Compute the loss.

        Args:
            logits_NTV: From ``forward``.
            batch: The pairs they belong to.

        Returns:
            (N,) float, the summed cross-entropy of each target with its end in nats; (N,) int64, the number of its predictions.
        """
        T = logits_NTV.shape[1]
        place_T, lengths_N1 = torch.arange(T), batch.target_lengths[:, None]
        is_end_NT, is_behind_NT = ((place_T == lengths_N1), (place_T > lengths_N1))
        next_NT = functional.pad(batch.target, (0, 1))[:, :T]
        next_NT = next_NT.masked_fill(is_end_NT.to(next_NT.device), self.end_id)
        next_NT = next_NT.masked_fill(is_behind_NT.to(next_NT.device), IGNORED)
        losses_NT = functional.cross_entropy(logits_NTV.transpose(1, 2), next_NT, ignore_index=IGNORED, reduction="none")
        return losses_NT.sum(dim=1), (next_NT != IGNORED).sum(dim=1)

    def alignments(self, batch: PairBatch) -> Tensor:
        """Return where the decoder looks.

        Args:
            batch: N pairs.

        Returns:
            (N, T, S) float, the weight of each entry of the source when an entry of the target, or its end, is predicted; 0 in
            the padding. Without attention S is 0.
        """
        return self._decode(batch)[1]

    def write(self, source_NS: Tensor, lengths_N: Tensor, method: Method = greedy) -> Written:
        """Write the target of each source; the model must be in evaluation mode.

        Args:
            source_NS: (N, S) int64.
            lengths_N: (N,) int64, on the CPU.
            method: How entries are chosen: ``greedy``, or a ``partial`` of ``draw`` or ``beam_search``.

        Returns:
            The targets. Their log-probabilities are those of ``losses``, negated.
        """
        encoded = self.encode(source_NS, lengths_N)
        rows_N1 = torch.arange(len(source_NS), device=source_NS.device)[:, None]
        return method(SourceDecoder(self, encoded), rows_N1, self.max_tokens)

    def encode(self, source_NS: Tensor, lengths_N: Tensor) -> Encoded:
        """Read sources.

        Args:
            source_NS: (N, S) int64.
            lengths_N: (N,) int64, each at least 1, on the CPU.

        Returns:
            The sources that were read.
        """
        place_S = torch.arange(source_NS.shape[1])
        mask_NS = place_S < lengths_N[:, None]
        order_NS = torch.where(mask_NS, lengths_N[:, None] - 1 - place_S, place_S).to(source_NS.device)
        mask_NS = mask_NS.to(source_NS.device)
        if self._reverses:
            source_NS = source_NS.gather(1, order_NS)
        vectors_NSX = self.dropout(self.source_vectors(source_NS))
        if self.attention is None:
            final = self.encoder.final_state(vectors_NSX, lengths_N)
            nothing_NS0 = vectors_NSX[:, :, :0]
            return Encoded(nothing_NS0, nothing_NS0, mask_NS, self._first(final))
        states_NSE, final = self.encoder(vectors_NSX, lengths_N)
        if self._reverses:
            states_NSE = states_NSE.gather(1, order_NS.unsqueeze(2).expand_as(states_NSE))
        return Encoded(states_NSE, self.attention.keys(states_NSE), mask_NS, self._first(final))

    def step(self, words_MX: Tensor, state: State, encoded: Encoded) -> tuple[Tensor, State, Tensor]:
        """Read one entry of the targets.

        Args:
            words_MX: (M, X) float vectors of the entries.
            state: State of the decoder.
            encoded: The M sources.

        Returns:
            (M, H) float, what the next entry is predicted from; the state; and (M, S) float, the weights of the attention.
        """
        if self._looks_first:
            context_M1E, weights_M1S = self._look(state[0][-1].unsqueeze(1), encoded)
            states_MH, state = self.decoder.step(torch.cat([words_MX, context_M1E.squeeze(1)], dim=1), state)
        else:
            states_MH, state = self.decoder.step(words_MX, state)
            context_M1E, weights_M1S = self._look(states_MH.unsqueeze(1), encoded)
        return self._combine(context_M1E.squeeze(1), states_MH), state, weights_M1S.squeeze(1)

    def log_p(self, outputs_MH: Tensor) -> Tensor:
        """Compute the log-probability of each next entry.

        Args:
            outputs_MH: (M, H) float, from ``step``.

        Returns:
            (M, V) float32, -inf for padding and the unknown word.
        """
        log_p_MV = self._logits(outputs_MH).log_softmax(dim=1)
        if self._unknown_id is not None:
            log_p_MV[:, self._unknown_id] = float("-inf")
        return log_p_MV

    def _first(self, final: State) -> State:
        """Return the first state of the decoder."""
        if self.bridge is None:
            return final
        first_LNH = self.bridge(all_states(final)).unflatten(1, (-1, self.decoder.hidden_size)).transpose(0, 1)
        outputs_LNH, *rest = first_LNH.split(len(self.decoder.layers))
        return (outputs_LNH.tanh(), *rest)

    def _decode(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """Return (N, T, H) outputs and (N, T, S) weights of the attention."""
        encoded = self.encode(batch.source, batch.source_lengths)
        inputs_NT = functional.pad(batch.target, (1, 0), value=self.end_id)
        words_NTX, lengths_N = self.dropout(self.target_vectors(inputs_NT)), batch.target_lengths + 1
        if self._looks_first:
            return self._decode_by_step(words_NTX, lengths_N, encoded)
        states_NTH, _ = self.decoder(words_NTX, lengths_N, encoded.first)
        context_NTE, weights_NTS = self._look(states_NTH, encoded)
        return self._combine(context_NTE, states_NTH), weights_NTS

    def _decode_by_step(self, words_NTX: Tensor, lengths_N: Tensor, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Decode step by step, from the longest to the shortest target, so that each step only has those that go on."""
        N, T, _ = words_NTX.shape
        order_N = lengths_N.argsort(descending=True, stable=True)
        rows_N = order_N.to(words_NTX.device)
        going_T = (torch.arange(T)[:, None] < lengths_N).sum(dim=1).tolist()
        words_NTX, state, some = words_NTX[rows_N], tuple(part[:, rows_N] for part in encoded.first), encoded.pick(rows_N)
        outputs, weights = [], []
        for step, going in enumerate(going_T):
            if going < len(some.states):
                some = Encoded(some.states[:going], some.keys[:going], some.mask[:going], ())
            output_MH, state, weights_MS = self.step(words_NTX[:going, step], tuple(part[:, :going] for part in state), some)
            outputs.append(functional.pad(output_MH, (0, 0, 0, N - going)))
            weights.append(functional.pad(weights_MS, (0, 0, 0, N - going)))
        back_N = order_N.argsort().to(words_NTX.device)
        return torch.stack(outputs, dim=1)[back_N], torch.stack(weights, dim=1)[back_N]

    def _look(self, states_NTH: Tensor, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Return (N, T, E) weighted means of the encoder's outputs, and (N, T, S) weights."""
        if self.attention is None:
            nothing_NT0 = states_NTH[:, :, :0]
            return nothing_NT0, nothing_NT0
        weights_NTS = masked_softmax(self.attention(states_NTH, encoded.keys), encoded.mask.unsqueeze(1))
        return weights_NTS.to(encoded.states.dtype) @ encoded.states, weights_NTS

    def _combine(self, context: Tensor, states: Tensor) -> Tensor:
        if self.combine is None:
            return states
        return self.combine(torch.cat([context.to(states.dtype), states], dim=-1)).tanh()

    def _logits(self, outputs: Tensor) -> Tensor:
        """Return (…, V) logits in float32 at least, -inf for padding."""
        bias_V = torch.cat([self.output.bias.new_full((PADDING_ID + 1,), float("-inf")), self.output.bias[PADDING_ID + 1 :]])
        return at_least_float32(functional.linear(self.dropout(outputs), self.output.weight, bias_V))


class SourceDecoder:
    """Continues targets of sources that were read: a ``Decoder`` whose context is the row of the source."""

    def __init__(self, model: Seq2Seq, encoded: Encoded) -> None:
        """Set the decoder up.

        Args:
            model: The model.
            encoded: N sources.
        """
        self._model, self._encoded = model, encoded

    def begin(self, context_NJ: Tensor) -> Step:
        """Predict the first entry.

        Args:
            context_NJ: (N, 1) int64, rows of the sources.

        Returns:
            The prediction for N texts.
        """
        rows_N = context_NJ[:, 0]
        first = tuple(part.index_select(1, rows_N) for part in self._encoded.first)
        return self.go_on(torch.full_like(rows_N, self._model.end_id), DecoderState(first, context_NJ, rows_N))

    def go_on(self, words_M: Tensor, state: DecoderState) -> Step:
        """Predict the entry after one more entry.

        Args:
            words_M: (M,) int64.
            state: State of the decoder before this entry.

        Returns:
            The prediction for the same texts.
        """
        vectors_MX = self._model.target_vectors(words_M)
        outputs_MH, network, _ = self._model.step(vectors_MX, state.network, self._encoded.pick(state.rows))
        return Step(self._model.log_p(outputs_MH), DecoderState(network, state.context, state.rows))
