"""Elementwise fusions, and concatenation.

Shape letters: N questions, M image vectors, H question vector size, D image vector size, J joint size.
"""

import torch
from torch import Tensor, nn

from vqa_rnn.dropout import Dropout
from vqa_rnn.models.layers import GatedTanh, pick


class SumFusion(nn.Module):
    """``W_q q + b + W_v v``; without a hidden size ``q + v``, as published for bilinear attention."""

    def __init__(self, question_size: int, image_size: int, *, hidden_size: int | None, dropout: float = 0.0) -> None:
        super().__init__()
        if hidden_size is None and question_size != image_size:
            raise ValueError(
                f"hidden_size=null needs question and image vectors of the same size, got {question_size} and {image_size}"
            )
        self.project_question = nn.Identity() if hidden_size is None else nn.Linear(question_size, hidden_size)
        self.project_image = nn.Identity() if hidden_size is None else nn.Linear(image_size, hidden_size, bias=False)
        self.dropout = Dropout(dropout)
        self.output_size = hidden_size or question_size

    def forward(self, question_NH: Tensor, image_MD: Tensor, image_index_N: Tensor | None = None) -> Tensor:
        return self.dropout(self.project_question(question_NH) + pick(self.project_image(image_MD), image_index_N))


class ImageFusion(nn.Module):
    """``v``, for stacked attention, whose image vector already includes the question (Yang et al. 2016)."""

    def __init__(self, question_size: int, image_size: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.output_size = image_size

    def forward(self, question_NH: Tensor, image_MD: Tensor, image_index_N: Tensor | None = None) -> Tensor:
        return self.dropout(pick(image_MD, image_index_N))


class ConcatFusion(nn.Module):
    """``relu(W [q; v] + b)``, computed as ``W_q q + W_v v``, so that an image of several questions is projected once.

    Without a hidden size it is ``[q; v]``, for a head with a layer of its own.
    """

    def __init__(self, question_size: int, image_size: int, *, hidden_size: int | None, dropout: float = 0.0) -> None:
        super().__init__()
        self.has_layer = hidden_size is not None
        self.dropout = Dropout(dropout)
        if hidden_size is None:
            self.output_size = question_size + image_size
            return
        self.project_question = nn.Linear(question_size, hidden_size)
        self.project_image = nn.Linear(image_size, hidden_size, bias=False)
        self.output_size = hidden_size

    def forward(self, question_NH: Tensor, image_MD: Tensor, image_index_N: Tensor | None = None) -> Tensor:
        if not self.has_layer:
            return self.dropout(torch.cat([question_NH, pick(image_MD, image_index_N)], dim=1))
        image_NJ = pick(self.project_image(image_MD), image_index_N)
        return self.dropout((self.project_question(question_NH) + image_NJ).relu())


class ProductFusion(nn.Module):
    """``f(W_q q + b_q) ∘ g(W_v v + b_v)``, the elementwise product of Antol et al. 2015 (section 4).

    ``tanh``: f and g are tanh, as in the paper. ``relu``: both are relu, as in a common form of the bottom-up top-down model.
    ``modulate``: f is tanh and g is relu. The image side is not bounded, so that it can represent amounts, and starts around 1:
    ``b_v = 1``, and ``W_v`` is scaled so that a standardised image changes it by about 1. Training starts from the question,
    modulated by random projections of the image, and learns which of them matter.
    """

    def __init__(self, question_size: int, image_size: int, *, hidden_size: int, activation: str, dropout: float = 0.0) -> None:
        super().__init__()
        self.project_question = nn.Linear(question_size, hidden_size)
        self.project_image = nn.Linear(image_size, hidden_size)
        if activation == "modulate":
            nn.init.ones_(self.project_image.bias)
            nn.init.normal_(self.project_image.weight, std=image_size**-0.5)
        self.question_activation = torch.relu if activation == "relu" else torch.tanh
        self.image_activation = torch.tanh if activation == "tanh" else torch.relu
        self.dropout = Dropout(dropout)
        self.output_size = hidden_size

    def forward(self, question_NH: Tensor, image_MD: Tensor, image_index_N: Tensor | None = None) -> Tensor:
        image_NJ = pick(self.image_activation(self.project_image(image_MD)), image_index_N)
        return self.dropout(self.question_activation(self.project_question(question_NH)) * image_NJ)


class GatedFusion(nn.Module):
    """``f_q(q) ∘ f_v(v)`` with gated tanh layers f (Teney et al. 2018, https://arxiv.org/abs/1708.02711, equations 5 and 6).

    ``weight_norm`` normalises their weights, as in the code of the bottom-up top-down model.
    """

    def __init__(
        self, question_size: int, image_size: int, *, hidden_size: int, weight_norm: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.question_layer = GatedTanh(question_size, hidden_size, weight_norm=weight_norm)
        self.image_layer = GatedTanh(image_size, hidden_size, weight_norm=weight_norm)
        self.dropout = Dropout(dropout)
        self.output_size = hidden_size

    def forward(self, question_NH: Tensor, image_MD: Tensor, image_index_N: Tensor | None = None) -> Tensor:
        return self.dropout(self.question_layer(question_NH) * pick(self.image_layer(image_MD), image_index_N))
