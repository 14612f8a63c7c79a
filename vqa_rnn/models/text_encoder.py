"""Text encoders: word vectors or a transformer, followed by a recurrent network.

Shape letters: N texts, T tokens, E embedding size, S word state size, H text vector size, G glimpses.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vqa_rnn.batch import beside
from vqa_rnn.config import RecurrentTextEncoder, TextEncoderOptions, TransformerTextEncoder
from vqa_rnn.dropout import Dropout
from vqa_rnn.models.layers import masked_softmax
from vqa_rnn.models.transformer import Transformer
from vqa_rnn.rnn import RecurrentNetwork, State, all_states

PADDING_ID = 0
UNKNOWN_ID = 1
OF_THE_END = ("last", "all_states")  # pooling that uses the last states only


class EncodedTexts(NamedTuple):
    """Text vectors and, if requested, word states.

    Attributes:
        vectors: (N, H) float.
        words: (N, T, S) float, the states of the words, 0 in the padding; (N, 0, H) if they were not requested.
        mask: (N, T) bool, True where there is a word.
    """

    vectors: Tensor
    words: Tensor
    mask: Tensor

    @classmethod
    def without_words(cls, vectors_NH: Tensor) -> "EncodedTexts":
        """Create texts without word states.

        Args:
            vectors_NH: (N, H) float.

        Returns:
            The texts.
        """
        num_texts, size = vectors_NH.shape
        return cls(vectors_NH, vectors_NH.new_zeros(num_texts, 0, size), vectors_NH.new_zeros(num_texts, 0, dtype=torch.bool))


class TextEncoder(nn.Module):
    """A recurrent network over words (Antol et al. 2015, https://arxiv.org/abs/1505.00468, section 4).

    Words are learned vectors, or the states of a transformer. The paper uses the last state, or with two layers the last h and
    c of both (``all_states``, their "deeper LSTM"). By option the text vector is the mean or the maximum of the states, as in
    sentence encoders (Conneau et al. 2017, https://arxiv.org/abs/1705.02364, section 3.2), or their sum with weights
    ``softmax(w · tanh(W h + b))`` (Yang et al. 2016, https://aclanthology.org/N16-1174, equations 5 to 7); several such sums
    are concatenated (Lin et al. 2017, https://arxiv.org/abs/1703.03130, equations 5 to 7). With ``alone`` there is no recurrent
    network: the word vectors are pooled, a bag of words (Zhou et al. 2015, https://arxiv.org/abs/1512.02167), or the
    transformer's states.

    Attributes:
        output_size: H.
        word_size: S.
        embedding_std: Initial standard deviation of the word vectors.
        cell: Name of the recurrent cell.
        start: Its initialisation, as keyword arguments of ``RecurrentNetwork``.
    """

    def __init__(
        self,
        config: TextEncoderOptions,
        vocabulary_size: int,
        transformer: Mapping[str, Any] | None = None,
        *,
        beside_size: int = 0,
    ) -> None:
        """Create the layers.

        Args:
            config: Cell, sizes and pooling.
            vocabulary_size: Number of words, with padding and the unknown word.
            transformer: Settings of the transformer, if the config has one.
            beside_size: Size of a vector that is concatenated to each word, such as an image vector.
        """
        super().__init__()
        self.embedding_std, self.word_dropout, size = 1.0, 0.0, 0
        if isinstance(config, RecurrentTextEncoder):
            size = config.embedding_size
            embedding = nn.Embedding(vocabulary_size, size, padding_idx=PADDING_ID)
            embedding.weight.detach().mul_(config.embedding_std)  # torch initialises them with a standard deviation of 1
            self.embedding_std, self.word_dropout = config.embedding_std, config.word_dropout
            self.embedding: nn.Module = embedding
        elif isinstance(config, TransformerTextEncoder):
            assert transformer is not None, "the run says what its transformer is made of"
            self.embedding = Transformer(transformer, config.trained_layers)
            size = self.embedding.output_size
        self.network: RecurrentNetwork | None = None
        self.output_size = size
        if not config.alone:
            self.network = RecurrentNetwork(
                config.cell,
                size + beside_size,
                config.hidden_size,
                num_layers=config.num_layers,
                bidirectional=config.bidirectional,
                dropout=config.dropout,
                **config.start(),
            )
            self.output_size = self.network.output_size
        self.word_size = self.output_size
        self.cell = config.cell
        self.start = config.start()
        self.dropout = Dropout(config.dropout)
        self.pooling = config.pooling
        self.score: nn.Module | None = None
        if config.pooling == "attention":
            size = config.score_size or self.word_size
            scores = nn.Linear(size, config.num_glimpses, bias=False)
            self.score = nn.Sequential(nn.Linear(self.word_size, size), nn.Tanh(), scores)
            self.output_size *= config.num_glimpses
        if config.pooling == "all_states" and self.network is not None:
            self.output_size *= config.num_layers * self.network.num_states

    @property
    def word_vectors(self) -> nn.Embedding:
        """The embedding of single words, which a transformer does not have."""
        assert isinstance(self.embedding, nn.Embedding), "the config refuses what reads word by word with a transformer"
        return self.embedding

    def set_word_vectors(self, ids_n: Tensor, vectors_nE: Tensor) -> None:
        """Set the vectors of some words, and scale the others to the same standard deviation.

        Args:
            ids_n: (n,) int64, the words.
            vectors_nE: (n, E) float, their vectors.
        """
        weight = self.word_vectors.weight.detach()
        weight.mul_(vectors_nE.std() / self.embedding_std)
        weight[ids_n] = vectors_nE.to(weight)

    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """Load pretrained weights into the transformer.

        Args:
            weights: Tensors by name, from ``pretrained_text.read_weights``.
        """
        assert isinstance(self.embedding, Transformer)
        self.embedding.load_pretrained(weights)

    def hold_states(self, texts: Sequence[Sequence[int]]) -> None:
        """Read texts once with a frozen transformer and keep their states, as ``Transformer.hold_states``.

        Args:
            texts: The token ids of each text.
        """
        if isinstance(self.embedding, Transformer):
            self.embedding.hold_states(texts)

    def share_states(self, other: "TextEncoder") -> None:
        """Use the states that another encoder with the same transformer keeps in memory.

        Args:
            other: The other encoder.
        """
        if isinstance(self.embedding, Transformer) and isinstance(other.embedding, Transformer):
            self.embedding.table = other.embedding.table

    def encode_texts(self, tokens_NT: Tensor, lengths_N: Tensor, beside_NB: Tensor | None = None) -> Tensor:
        """Encode texts: questions, facts or choices.

        Args:
            tokens_NT: (N, T) int64, padded on the right with 0. N may be 0.
            lengths_N: (N,) int64 on the CPU; a length of 0 is read as one unknown word.
            beside_NB: (N, B) float, concatenated to each word of a text, if the encoder was made with ``beside_size``.

        Returns:
            (N, H) float.
        """
        if tokens_NT.shape[0] == 0:
            return next(self.embedding.parameters()).new_zeros(0, self.output_size)
        words_NTE, lengths_N = self._look_up(tokens_NT, lengths_N)
        if beside_NB is not None:
            words_NTE = torch.cat([words_NTE, beside_NB.unsqueeze(1).expand(-1, words_NTE.shape[1], -1)], dim=2)
        return self.dropout(self._pool(words_NTE, lengths_N))

    def encode_words(self, tokens_NT: Tensor, lengths_N: Tensor) -> EncodedTexts:
        """Encode texts, and also return the states of their words.

        Args:
            tokens_NT: (N, T) int64, padded on the right with 0; N is at least 1.
            lengths_N: (N,) int64 on the CPU; a length of 0 is read as one unknown word.

        Returns:
            The texts.
        """
        words_NTE, lengths_N = self._look_up(tokens_NT, lengths_N)
        if self.network is None:
            states_NTS = words_NTE
            vectors_NH = self._pool_states(states_NTS, lengths_N)
        else:
            states_NTS, final = self.network(words_NTE, lengths_N)
            vectors_NH = self._pool_end(final) if self.pooling in OF_THE_END else self._pool_states(states_NTS, lengths_N)
        return EncodedTexts(self.dropout(vectors_NH), self.dropout(states_NTS), _exist(states_NTS, lengths_N))

    def _look_up(self, tokens_NT: Tensor, lengths_N: Tensor) -> tuple[Tensor, Tensor]:
        """Return (N, T, E) word vectors, and lengths of at least 1."""
        empty = lengths_N == 0
        if torch.compiler.is_exporting() or empty.any():
            if tokens_NT.shape[1] == 0:
                tokens_NT = tokens_NT.new_zeros(tokens_NT.shape[0], 1)
            is_first_T = torch.arange(tokens_NT.shape[1]) == 0
            tokens_NT = torch.where(beside(empty[:, None] & is_first_T, tokens_NT), UNKNOWN_ID, tokens_NT)
            lengths_N = lengths_N.clamp(min=1)
        if self.training and self.word_dropout:
            dropped = torch.rand(tokens_NT.shape, device=tokens_NT.device) < self.word_dropout
            tokens_NT = tokens_NT.masked_fill(dropped & (tokens_NT != PADDING_ID), UNKNOWN_ID)
        if isinstance(self.embedding, Transformer):
            return self.dropout(self.embedding(tokens_NT, lengths_N)), lengths_N
        return self.dropout(self.embedding(tokens_NT)), lengths_N

    def _pool(self, words_NTE: Tensor, lengths_N: Tensor) -> Tensor:
        if self.network is None:
            return self._pool_states(words_NTE, lengths_N)
        if self.pooling in OF_THE_END:  # without memory for the states of all words
            return self._pool_end(self.network.final_state(words_NTE, lengths_N))
        states_NTH, _ = self.network(words_NTE, lengths_N)
        return self._pool_states(states_NTH, lengths_N)

    def _pool_end(self, final: State) -> Tensor:
        assert self.network is not None
        return all_states(final) if self.pooling == "all_states" else self.network.last_output(final)

    def _pool_states(self, states_NTH: Tensor, lengths_N: Tensor) -> Tensor:
        if self.pooling == "mean":
            return states_NTH.sum(dim=1) / beside(lengths_N, states_NTH)[:, None]
        if self.score is not None:
            logits_NGT = self.score(states_NTH).transpose(1, 2)
            weights_NGT = masked_softmax(logits_NGT, _exist(states_NTH, lengths_N).unsqueeze(1)).to(states_NTH.dtype)
            return (weights_NGT @ states_NTH).flatten(1)
        return states_NTH.masked_fill(~_exist(states_NTH, lengths_N).unsqueeze(2), float("-inf")).amax(dim=1)

    def forward(self, tokens_NT: Tensor, lengths_N: Tensor) -> Tensor:
        """Encode texts, as ``encode_texts``.

        Args:
            tokens_NT: (N, T) int64.
            lengths_N: (N,) int64 on the CPU.

        Returns:
            (N, H) float.
        """
        return self.encode_texts(tokens_NT, lengths_N)


def _exist(states_NTH: Tensor, lengths_N: Tensor) -> Tensor:
    """Return (N, T) bool, True where there is a word."""
    return beside(torch.arange(states_NTH.shape[1]) < lengths_N[:, None], states_NTH)
