"""A pretrained transformer in place of word vectors.

Shape letters: N texts, T tokens, E state size.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vqa_rnn.batch import beside
from vqa_rnn.pretrained_text import build_encoder

log = logging.getLogger("vqa_rnn")

TEXTS_AT_ONCE = 64
MOST_BYTES = 2**30  # of states that are kept in memory


class StateTable:
    """The states that a frozen transformer computed for texts, kept in memory."""

    def __init__(self) -> None:
        self._states: dict[bytes, Tensor] = {}

    def add(self, tokens: Tensor, states_TE: Tensor) -> None:
        """Keep the states of a text.

        Args:
            tokens: (T,) int64 on the CPU.
            states_TE: (T, E) float.
        """
        self._states[_key(tokens)] = states_TE

    def find(self, tokens_NT: Tensor, lengths_N: Tensor) -> Tensor | None:
        """Look up the states of texts.

        Args:
            tokens_NT: (N, T) int64 on the CPU, padded on the right.
            lengths_N: (N,) int64.

        Returns:
            (N, T, E) float, 0 in the padding; None if the states of a text are not known, or N is 0.
        """
        found = [self._states.get(_key(row[:length])) for row, length in zip(tokens_NT, lengths_N.tolist(), strict=True)]
        known = [states for states in found if states is not None]
        if len(known) < len(found) or not known:
            return None
        states_NTE = known[0].new_zeros(*tokens_NT.shape, known[0].shape[1])
        for row, states in zip(states_NTE, known, strict=True):
            row[: len(states)] = states
        return states_NTE


def _key(tokens: Tensor) -> bytes:
    return tokens.numpy().tobytes()


def count_layers(settings: Mapping[str, Any]) -> int:
    """Count the layers of a transformer.

    Args:
        settings: From ``pretrained_text.read_settings``.

    Returns:
        The number of layers.
    """
    with torch.device("meta"):
        return len(_layers(build_encoder(settings)))


def _layers(model: nn.Module) -> nn.ModuleList:
    return max((module for module in model.modules() if isinstance(module, nn.ModuleList)), key=len)


class Transformer(nn.Module):
    """The last hidden states of a Hugging Face text encoder (BERT: Devlin et al. 2019, https://arxiv.org/abs/1810.04805).

    Layers that are not trained are frozen, and have no dropout.

    Attributes:
        output_size: E.
        table: The states of texts that ``hold_states`` keeps in memory; None if it keeps none.
    """

    table: StateTable | None = None

    def __init__(self, settings: Mapping[str, Any], trained_layers: int | Literal["all"]) -> None:
        """Build the encoder with random weights; ``load_pretrained`` loads pretrained ones.

        Args:
            settings: From ``pretrained_text.read_settings``.
            trained_layers: Number of last layers that are trained, at most all; ``all`` also trains the embeddings.
        """
        super().__init__()
        self.model: Any = build_encoder(settings)
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None  # type: ignore[assignment]  # unused: only the word states are needed
        self.output_size: int = settings["hidden_size"]
        layers = _layers(self.model)
        self.trained: list[nn.Module] = [self.model]
        if trained_layers != "all":
            self.model.requires_grad_(False)
            self.trained = list(layers)[max(0, len(layers) - trained_layers) :] if trained_layers else []
            for layer in self.trained:
                layer.requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Transformer":
        """Switch between training and evaluation mode; frozen layers stay in evaluation mode.

        Args:
            mode: True for training mode.

        Returns:
            The module.
        """
        super().train(False)
        self.training = mode
        for part in self.trained:
            part.train(mode)
        return self

    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """Load pretrained weights.

        Args:
            weights: Tensors by name, from ``pretrained_text.read_weights``.
        """
        own = self.model.state_dict()
        self.model.load_state_dict({name: weights[name] for name in own})

    def hold_states(self, texts: Sequence[Sequence[int]]) -> None:
        """Read texts once and keep their states in memory, because training needs them in every epoch.

        Does nothing on a GPU, if a layer is trained, or if the states would take more than 1 GiB, which is logged. Texts of the
        same length are read together, so that the states depend on the texts and their order only.

        Args:
            texts: The token ids of each text; a text has at least one.
        """
        device = next(self.model.parameters()).device
        num_bytes = 4 * self.output_size * sum(map(len, texts))
        if self.trained or device.type != "cpu":
            return
        if num_bytes > MOST_BYTES:
            log.info(
                "the transformer reads the questions again in every epoch: their states take %.1f GiB, and at most %.1f GiB "
                "are kept in memory",
                num_bytes / 2**30,
                MOST_BYTES / 2**30,
            )
            return
        by_length: dict[int, list[Sequence[int]]] = defaultdict(list)
        for text in texts:
            by_length[len(text)].append(text)
        self.table = StateTable()
        for length, group in sorted(by_length.items()):
            for start in range(0, len(group), TEXTS_AT_ONCE):
                tokens_NT = torch.tensor(group[start : start + TEXTS_AT_ONCE])
                with torch.inference_mode():
                    states_NTE = self._read(tokens_NT, torch.full((len(tokens_NT),), length))
                for tokens, states_TE in zip(tokens_NT, states_NTE, strict=True):
                    self.table.add(tokens, states_TE.clone())

    def forward(self, tokens_NT: Tensor, lengths_N: Tensor) -> Tensor:
        """Compute the states of texts, or look them up in the table if it has all of them.

        Args:
            tokens_NT: (N, T) int64, padded on the right.
            lengths_N: (N,) int64 on the CPU, at least 1.

        Returns:
            (N, T, E) float, 0 in the padding.
        """
        held_NTE = None if self.table is None else self.table.find(tokens_NT, lengths_N)
        return self._read(tokens_NT, lengths_N) if held_NTE is None else held_NTE

    def _read(self, tokens_NT: Tensor, lengths_N: Tensor) -> Tensor:
        exist_NT = beside(torch.arange(tokens_NT.shape[1]) < lengths_N[:, None], tokens_NT)
        states_NTE = self.model(input_ids=tokens_NT, attention_mask=exist_NT.long()).last_hidden_state
        return states_NTE * exist_NT.unsqueeze(2)
