"""Texts to vectors: word embedding and a recurrent network.

Shape letters: N texts, T tokens, E embedding size, H text vector size.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_packed_sequence

from vqa_rnn.config import TextEncoderConfig
from vqa_rnn.rnn import CELLS, all_states, last_state, run_equal, run_packed

PADDING_ID = 0
UNKNOWN_ID = 1
MANY_TEXTS = 1024  # from which on texts of each length are enough to be read by themselves


class TextEncoder(nn.Module):
    """A recurrent network over word vectors (Antol et al. 2015, https://arxiv.org/abs/1505.00468, section 4).

    The paper takes the last state, or with two layers the last states and cells of both (``all_states``: their "deeper LSTM");
    by option it is the mean or the maximum of the states, as in sentence encoders (Conneau et al. 2017,
    https://arxiv.org/abs/1705.02364, section 3.2).

    Attributes:
        output_size: H.
        cell: The kind of recurrent network.
    """

    def __init__(self, config: TextEncoderConfig, vocabulary_size: int) -> None:
        """Make the layers.

        Args:
            config: Cell and sizes.
            vocabulary_size: Words, with padding and the unknown word.
        """
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, config.embedding_size, padding_idx=PADDING_ID)
        self.network = CELLS[config.cell](
            config.embedding_size,
            config.hidden_size,
            config.num_layers,
            batch_first=True,
            bidirectional=config.bidirectional,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
        )
        self.cell = config.cell
        self.dropout = nn.Dropout(config.dropout)
        self.word_dropout = config.word_dropout
        self.pooling = config.pooling
        self.output_size = config.hidden_size * (2 if config.bidirectional else 1)
        if config.pooling == "all_states":
            self.output_size *= config.num_layers * (2 if config.cell == "lstm" else 1)

    def encode_texts(self, tokens_NT: Tensor, lengths_N: Tensor) -> Tensor:
        """Encode texts of any field.

        Args:
            tokens_NT: (N, T) int64, padded on the right with 0. N may be 0.
            lengths_N: (N,) int64; a length of 0 is read as one unknown word.

        Returns:
            (N, H) float.
        """
        if tokens_NT.shape[0] == 0:
            return self.embedding.weight.new_zeros(0, self.output_size)
        empty = lengths_N == 0
        if empty.any():
            if tokens_NT.shape[1] == 0:
                tokens_NT = tokens_NT.new_zeros(tokens_NT.shape[0], 1)
            first = torch.where(empty, UNKNOWN_ID, tokens_NT[:, 0])
            tokens_NT = torch.cat([first[:, None], tokens_NT[:, 1:]], dim=1)
            lengths_N = lengths_N.clamp(min=1)
        if self.training and self.word_dropout:
            dropped = torch.rand(tokens_NT.shape, device=tokens_NT.device) < self.word_dropout
            tokens_NT = tokens_NT.masked_fill(dropped & (tokens_NT != PADDING_ID), UNKNOWN_ID)
        if len(tokens_NT) >= MANY_TEXTS and tokens_NT.device.type == "cpu":
            return self._read_by_length(tokens_NT, lengths_N)
        states, final = run_packed(self.network, self.dropout(self.embedding(tokens_NT)), lengths_N)
        if self.pooling in ("last", "all_states"):
            return self._pool_final(final)
        outside = 0.0 if self.pooling == "mean" else float("-inf")
        return self._pool(pad_packed_sequence(states, batch_first=True, padding_value=outside)[0], lengths_N)

    def _read_by_length(self, tokens_NT: Tensor, lengths_N: Tensor) -> Tensor:
        """(N, H) texts of equal length together, so that nothing is padded or packed.

        On a CPU the backward pass of a packed network fills, for each of T words, a matrix as large as all words of all texts.
        """
        order_N = lengths_N.argsort(stable=True)
        parts = []
        for rows in order_N.split(torch.unique_consecutive(lengths_N[order_N], return_counts=True)[1].tolist()):
            tokens = tokens_NT[rows, : int(lengths_N[rows[0]])]
            states, final = run_equal(self.network, self.dropout(self.embedding(tokens)))
            is_final = self.pooling in ("last", "all_states")
            parts.append(self._pool_final(final) if is_final else self._pool(states, lengths_N[rows]))
        return torch.cat(parts).index_select(0, order_N.argsort())

    def _pool_final(self, final: tuple[Tensor, ...]) -> Tensor:
        return self.dropout(last_state(self.network, final) if self.pooling == "last" else all_states(final))

    def _pool(self, states_NTH: Tensor, lengths_N: Tensor) -> Tensor:
        return self.dropout(states_NTH.sum(dim=1) / lengths_N[:, None] if self.pooling == "mean" else states_NTH.amax(dim=1))

    def forward(self, tokens_NT: Tensor, lengths_N: Tensor) -> Tensor:
        """As ``encode_texts``.

        Args:
            tokens_NT: (N, T) int64.
            lengths_N: (N,) int64.

        Returns:
            (N, H) float.
        """
        return self.encode_texts(tokens_NT, lengths_N)
