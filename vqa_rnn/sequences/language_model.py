"""A recurrent language model: after every entry of a text it predicts the next one.

For words: Mikolov et al. 2010 (https://www.isca-archive.org/interspeech_2010/mikolov10_interspeech.html). For characters:
Karpathy 2015 (https://karpathy.github.io/2015/05/21/rnn-effectiveness).

Shape letters: N streams, T steps, H hidden size, V entries of the vocabulary, L layers.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from vqa_rnn.dropout import Dropout
from vqa_rnn.rnn import RecurrentNetwork
from vqa_rnn.rnn.cells import State
from vqa_rnn.sequences.text_streams import IGNORED, TextChunk


class LanguageModel(nn.Module):
    """Entries in, logits of the next entry out.

    Attributes:
        network: The recurrent network.
    """

    def __init__(
        self,
        vocabulary_size: int,
        cell: str = "lstm",
        hidden_size: int = 512,
        *,
        embedding_size: int | None = None,
        num_layers: int = 1,
        dropout: float = 0.0,
        first_state: Literal["zero", "learned"] = "zero",
        recurrent_start: Literal["uniform", "orthogonal"] = "uniform",
        forget_bias: float | None = None,
    ) -> None:
        """Make the layers.

        Args:
            vocabulary_size: V.
            cell: A name from ``vqa_rnn.rnn.CELLS``.
            hidden_size: H.
            embedding_size: Size of the input vectors, which are learned; None feeds one-hot vectors, as in the lecture. The
                input matrix of a cell times a one-hot vector is a column of that matrix, so both are the same function where
                the embedding holds those columns.
            num_layers: L.
            dropout: Between layers and before the output layer (Zaremba et al. 2014, https://arxiv.org/abs/1409.2329).
            first_state: As in ``RecurrentNetwork``, as are the next two.
            recurrent_start: Initialisation of the recurrent matrices.
            forget_bias: Initial bias of an LSTM's forget gate; None leaves it to torch.
        """
        super().__init__()
        self._vocabulary_size = vocabulary_size
        self.embedding = None if embedding_size is None else nn.Embedding(vocabulary_size, embedding_size)
        self.network = RecurrentNetwork(
            cell,
            vocabulary_size if embedding_size is None else embedding_size,
            hidden_size,
            num_layers=num_layers,
            dropout=dropout,
            first_state=first_state,
            recurrent_start=recurrent_start,
            forget_bias=forget_bias,
        )
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(hidden_size, vocabulary_size)

    def forward(self, inputs_NT: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Predict.

        Args:
            inputs_NT: (N, T) int64.
            state: The state to start from, as returned; None starts from zeros.

        Returns:
            (N, T, V) float logits of the entry after each step, and the state after the last one.
        """
        states_NTH, state = self.states(inputs_NT, state)
        return self.output(self.dropout(states_NTH)), state

    def states(self, inputs_NT: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Compute the hidden states of the last layer.

        Args:
            inputs_NT: (N, T) int64.
            state: As in ``forward``.

        Returns:
            (N, T, H) float, and the state after the last step.
        """
        if self.embedding is not None:
            return self.network(self.embedding(inputs_NT), first=state)
        one_hot = functional.one_hot(inputs_NT, self._vocabulary_size)
        return self.network(one_hot.to(self.output.weight.dtype), first=state)


class CarriedState:
    """The state that is carried from chunk to chunk, as a part of a checkpoint.

    Attributes:
        parts: The vectors of the state; None before the first chunk.
    """

    def __init__(self) -> None:
        """Start without a state."""
        self.parts: State | None = None

    def state_dict(self) -> dict[str, list[Tensor]]:
        """Save the state.

        Returns:
            Its vectors; none before the first chunk.
        """
        return {"parts": list(self.parts or ())}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Restore the state.

        Args:
            state: From ``state_dict``.
        """
        self.parts = tuple(state["parts"]) or None


class Carried(nn.Module):
    """A language model that carries its state from chunk to chunk: truncated backpropagation through time.

    The state is carried on to the next chunk, but gradients stop at its beginning (Williams and Peng 1990,
    https://doi.org/10.1162/neco.1990.2.4.490).

    Attributes:
        model: The model.
        state: The state after the last chunk.
    """

    def __init__(self, model: LanguageModel) -> None:
        """Start without a state.

        Args:
            model: The model.
        """
        super().__init__()
        self.model = model
        self.state = CarriedState()

    def forward(self, chunk: TextChunk) -> Tensor:
        """Read the next chunk.

        Args:
            chunk: (N, T); its first chunk of a pass resets the state.

        Returns:
            (N, T, V) float logits.
        """
        before = None if chunk.is_first else self.state.parts
        logits_NTV, after = self.model(chunk.inputs, before)
        self.state.parts = tuple(part.detach() for part in after)
        return logits_NTV

    def losses(self, logits_NTV: Tensor, chunk: TextChunk) -> tuple[Tensor, Tensor]:
        """Compute the loss.

        Args:
            logits_NTV: From ``forward``.
            chunk: The chunk they belong to.

        Returns:
            (N,) float, the summed cross-entropy of each stream in nats; (N,) int64, the number of its predictions.
        """
        losses_NT = functional.cross_entropy(logits_NTV.transpose(1, 2), chunk.targets, ignore_index=IGNORED, reduction="none")
        return losses_NT.sum(dim=1), (chunk.targets != IGNORED).sum(dim=1)


def loss_sums(model: LanguageModel) -> Callable[[TextChunk], Tensor]:
    """Return a function that measures a model on consecutive chunks, for ``build_sums_evaluator``.

    Args:
        model: The model.

    Returns:
        A function of a chunk. It carries the state from chunk to chunk and returns (2,) float64: the summed cross-entropy in
        nats, and the number of predictions.
    """
    carried = Carried(model)

    def sums(chunk: TextChunk) -> Tensor:
        losses, counts = carried.losses(carried(chunk), chunk)
        return torch.stack([losses.double().sum(), counts.double().sum()])

    return sums


def bits(sums: Sequence[float]) -> dict[str, float]:
    """Compute the metric of a language model.

    Args:
        sums: The sums of ``loss_sums`` over a text.

    Returns:
        ``bits``, the mean negative log2-probability of an entry: bits per character, or per word.
    """
    loss, count = sums
    return {"bits": loss / count / math.log(2)}
