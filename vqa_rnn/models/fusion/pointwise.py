"""Question and image vectors to one joint vector.

Shape letters: N questions, M image vectors, H question vector size, D feature size, J joint size.
"""

import torch
from torch import Tensor, nn

from vqa_rnn.config import ConcatFusion as ConcatConfig
from vqa_rnn.config import ProductFusion as ProductConfig


class ConcatFusion(nn.Module):
    """``relu(W [q; v] + b)``, computed as ``W_q q + W_v v``, so that an image shared by questions is projected once.

    Without a hidden size it is ``[q; v]`` as it stands, for a head that has a layer of its own.
    """

    def __init__(self, config: ConcatConfig, question_size: int, feature_size: int) -> None:
        super().__init__()
        self.has_layer = config.hidden_size is not None
        if config.hidden_size is None:
            self.dropout = nn.Dropout(config.dropout)
            self.output_size = question_size + feature_size
            return
        self.project_question = nn.Linear(question_size, config.hidden_size)
        self.project_image = nn.Linear(feature_size, config.hidden_size, bias=False)
        self.activation = nn.ReLU()
        self.dropout = nn.Dropout(config.dropout)
        self.output_size = config.hidden_size

    def forward(self, question_NH: Tensor, image_MD: Tensor, image_index_N: Tensor | None) -> Tensor:
        """Join each question with its image.

        Args:
            question_NH: (N, H) float.
            image_MD: (M, D) float.
            image_index_N: (N,) int64, each question's row of ``image_MD``; None where they go one to one.

        Returns:
            (N, J) float.
        """
        if not self.has_layer:
            return self.dropout(torch.cat([question_NH, _pick(image_MD, image_index_N)], dim=1))
        image = _pick(self.project_image(image_MD), image_index_N)
        return self.dropout(self.activation(self.project_question(question_NH) + image))


class ProductFusion(nn.Module):
    """``f(W_q q + b_q) ∘ g(W_v v + b_v)``, the pointwise product of Antol et al. 2015 (section 4).

    ``tanh``: f and g are tanh, as in the paper. ``relu``: both are relu, as in a common form of the bottom-up top-down model.
    ``modulate``: f is tanh and g is relu; the image side is not bounded, so that it keeps how much of something there is, and
    it starts around 1 (``b_v = 1``, and ``W_v`` so that a standardised image moves it by 1): training begins with what the
    question alone says, modulated by random projections of the image, and learns which of them matter.
    """

    def __init__(self, config: ProductConfig, question_size: int, feature_size: int) -> None:
        super().__init__()
        self.project_question = nn.Linear(question_size, config.hidden_size)
        self.project_image = nn.Linear(feature_size, config.hidden_size)
        if config.activation == "modulate":
            nn.init.ones_(self.project_image.bias)
            nn.init.normal_(self.project_image.weight, std=feature_size**-0.5)
        self.question_activation = torch.relu if config.activation == "relu" else torch.tanh
        self.image_activation = torch.tanh if config.activation == "tanh" else torch.relu
        self.dropout = nn.Dropout(config.dropout)
        self.output_size = config.hidden_size

    def forward(self, question_NH: Tensor, image_MD: Tensor, image_index_N: Tensor | None) -> Tensor:
        """Join each question with its image.

        Args:
            question_NH: (N, H) float.
            image_MD: (M, D) float.
            image_index_N: (N,) int64, each question's row of ``image_MD``; None where they go one to one.

        Returns:
            (N, J) float.
        """
        image = _pick(self.image_activation(self.project_image(image_MD)), image_index_N)
        return self.dropout(self.question_activation(self.project_question(question_NH)) * image)


def _pick(vectors: Tensor, index: Tensor | None) -> Tensor:
    # index_select: its gradient is summed row by row, that of vectors[index] number by number
    return vectors if index is None else vectors.index_select(0, index)


FUSIONS: dict[str, type[ConcatFusion] | type[ProductFusion]] = {"concat": ConcatFusion, "product": ProductFusion}
