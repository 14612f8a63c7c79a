"""A pretrained transformer in the place of word vectors.

Shape letters: N texts, T tokens, E state size.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vqa_rnn.batch import beside
from vqa_rnn.pretrained_text import build_encoder


class Transformer(nn.Module):
    """The last hidden states of a text encoder of Hugging Face (BERT: Devlin et al. 2019, https://arxiv.org/abs/1810.04805).

    Layers that are not trained keep their weights, and no dropout acts in them.

    Attributes:
        output_size: E.
    """

    def __init__(self, settings: Mapping[str, Any], trained_layers: int | Literal["all"]) -> None:
        """Build it with random weights; ``load_pretrained`` gives it those that others trained.

        Args:
            settings: From ``pretrained_text.read_settings``.
            trained_layers: How many of its last layers are trained.
        """
        super().__init__()
        self.model: Any = build_encoder(settings)
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None  # type: ignore[assignment]  # its vector is of the first token alone
        self.output_size: int = settings["hidden_size"]
        layers = max((m for m in self.model.modules() if isinstance(m, nn.ModuleList)), key=len)
        self.trained: list[nn.Module] = [self.model]
        if trained_layers != "all":
            self.model.requires_grad_(False)
            self.trained = list(layers)[max(0, len(layers) - trained_layers) :] if trained_layers else []
            for layer in self.trained:
                layer.requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Transformer":
        """Switch dropout on or off, in the trained layers alone.

        Args:
            mode: Whether to train.

        Returns:
            The module.
        """
        super().train(False)
        self.training = mode
        for part in self.trained:
            part.train(mode)
        return self

    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights that others trained.

        Args:
            weights: From ``pretrained_text.read_weights``.
        """
        own = self.model.state_dict()
        self.model.load_state_dict({name: weights[name] for name in own})

    def forward(self, tokens_NT: Tensor, lengths_N: Tensor) -> Tensor:
        """Read texts.

        Args:
            tokens_NT: (N, T) int64, padded on the right.
            lengths_N: (N,) int64 on the CPU, at least 1.

        Returns:
            (N, T, E) float, 0 in the padding.
        """
        exist_NT = beside(torch.arange(tokens_NT.shape[1]) < lengths_N[:, None], tokens_NT)
        states_NTE = self.model(input_ids=tokens_NT, attention_mask=exist_NT.long()).last_hidden_state
        return states_NTE * exist_NT.unsqueeze(2)
