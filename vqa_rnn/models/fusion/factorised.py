"""Bilinear fusions: products of every question element and every image element, with a factorised weight tensor.

In ``z_j = Σ_hd T_hdj q_h v_d`` the tensor T has H · D · J weights. Each class factorises T into fewer weights.

Shape letters: N questions, M image vectors, H question vector size, D image vector size, J joint size, R rank, P pieces.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vqa_rnn.dropout import Dropout
from vqa_rnn.models.layers import pick, signed_sqrt


class LowRankFusion(nn.Module):
    """MLB (Kim et al. 2017, https://arxiv.org/abs/1610.04325, equations 6 and 8): ``P (σ(U q) ∘ σ(V v)) + b``, σ tanh.

    Without the activation T has rank R: ``T_hdj = Σ_r U_rh V_rd P_jr``.
    """

    def __init__(
        self,
        question_size: int,
        image_size: int,
        *,
        hidden_size: int,
        rank: int,
        activation: str = "tanh",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.project_question = nn.Linear(question_size, rank)
        self.project_image = nn.Linear(image_size, rank)
        self.project_joint = nn.Linear(rank, hidden_size)
        self.activation = torch.tanh if activation == "tanh" else nn.Identity()
        self.dropout = Dropout(dropout)
        self.output_size = hidden_size

    def forward(self, question_NH: Tensor, image_MD: Tensor, image_index_N: Tensor | None = None) -> Tensor:
        question_NR = self.activation(self.project_question(question_NH))
        image_NR = pick(self.activation(self.project_image(image_MD)), image_index_N)
        return self.project_joint(self.dropout(question_NR * image_NR))


class TuckerFusion(nn.Module):
    """Tucker decomposition with a full core (Ben-younes et al. 2017, https://arxiv.org/abs/1705.06676, equations 3 to 5).

    ``z = core ×₁ W_q q ×₂ W_v v``. The third factor is the classifier that follows.
    """

    def __init__(
        self, question_size: int, image_size: int, *, hidden_size: int, factor_size: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.project_question = nn.Linear(question_size, factor_size)
        self.project_image = nn.Linear(image_size, factor_size)
        self.core = nn.Bilinear(factor_size, factor_size, hidden_size, bias=False)
        self.dropout = Dropout(dropout)
        self.output_size = hidden_size

    def forward(self, question_NH: Tensor, image_MD: Tensor, image_index_N: Tensor | None = None) -> Tensor:
        question_NF = self.dropout(self.project_question(question_NH))
        image_NF = pick(self.dropout(self.project_image(image_MD)), image_index_N)
        # two matrix products: the questions with the slices of the core, then each result with its image
        slices = (question_NF @ self.core.weight.permute(1, 2, 0).flatten(1)).unflatten(1, (image_NF.shape[1], -1))
        return (image_NF.unsqueeze(1) @ slices).squeeze(1)


class MutanFusion(nn.Module):
    """MUTAN (Ben-younes et al. 2017, https://arxiv.org/abs/1705.06676, equations 3 to 8): Tucker with a low-rank core.

    ``q̃ = tanh(W_q q)``, ``ṽ = tanh(W_v v)``, and each slice of the core is a sum of R matrices of rank 1:
    ``z = Σ_r (M_r q̃) ∘ (N_r ṽ)``. ``M_r`` and ``N_r`` have biases and no activation, as in the authors' code by default.
    """

    def __init__(
        self,
        question_size: int,
        image_size: int,
        *,
        hidden_size: int,
        factor_size: int,
        rank: int,
        image_factor_size: int | None = None,
        activation: str = "tanh",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.rank = rank
        image_factor_size = image_factor_size or factor_size
        self.project_question = nn.Linear(question_size, factor_size)
        self.project_image = nn.Linear(image_size, image_factor_size)
        self.merge_question = nn.Linear(factor_size, hidden_size * rank)
        self.merge_image = nn.Linear(image_factor_size, hidden_size * rank)
        self.activation = torch.tanh if activation == "tanh" else nn.Identity()
        self.dropout = Dropout(dropout)
        self.output_size = hidden_size

    def forward(self, question_NH: Tensor, image_MD: Tensor, image_index_N: Tensor | None = None) -> Tensor:
        question = self.merge_question(self.dropout(self.activation(self.project_question(question_NH))))
        image = pick(self.merge_image(self.dropout(self.activation(self.project_image(image_MD)))), image_index_N)
        return (question * image).unflatten(-1, (self.rank, self.output_size)).sum(dim=-2)


class FactorisedFusion(nn.Module):
    """MFB (Yu et al. 2017, https://arxiv.org/abs/1708.01471, equations 3 and 4), and MFH with several blocks.

    ``z = SumPool(U q ∘ V v, k)``, then power and L2 normalisation. MFH (Yu et al. 2018, https://arxiv.org/abs/1708.03619,
    equations 8 to 10) multiplies each block before pooling by the previous block before pooling, and concatenates the pooled
    blocks: J is the number of blocks times the size of one.
    """

    def __init__(
        self, question_size: int, image_size: int, *, hidden_size: int, factors: int, order: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.factors = factors
        self.project_question = nn.ModuleList(nn.Linear(question_size, hidden_size * factors) for _ in range(order))
        self.project_image = nn.ModuleList(nn.Linear(image_size, hidden_size * factors) for _ in range(order))
        self.dropout = Dropout(dropout)
        self.output_size = hidden_size * order

    def forward(self, question_NH: Tensor, image_MD: Tensor, image_index_N: Tensor | None = None) -> Tensor:
        pooled, expanded = [], None
        for question_layer, image_layer in zip(self.project_question, self.project_image, strict=True):
            product = question_layer(question_NH) * pick(image_layer(image_MD), image_index_N)
            expanded = self.dropout(product if expanded is None else expanded * product)
            block = expanded.unflatten(-1, (-1, self.factors)).sum(dim=-1)
            pooled.append(functional.normalize(signed_sqrt(block), dim=-1))
        return pooled[0] if len(pooled) == 1 else torch.cat(pooled, dim=-1)


class BlockFusion(nn.Module):
    """BLOCK (Ben-younes et al. 2019, https://arxiv.org/abs/1902.00038, equations 4 to 7): a block-diagonal core.

    Question and image are projected and cut into P pieces. Each pair of pieces has its own core, whose slices have rank R:
    ``z_p = Σ_r (M_pr q_p) ∘ (N_pr v_p)``. With ``normalise`` each piece is power and L2 normalised, as in the authors' code.
    """

    def __init__(
        self,
        question_size: int,
        image_size: int,
        *,
        hidden_size: int,
        factor_size: int,
        pieces: int,
        rank: int,
        normalise: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if factor_size % pieces:
            raise ValueError(f"factor_size={factor_size} cannot be cut into {pieces} equal pieces")
        self.pieces, self.rank, self.normalise = pieces, rank, normalise
        size = factor_size // pieces
        self.project_question = nn.Linear(question_size, factor_size)
        self.project_image = nn.Linear(image_size, factor_size)
        bound = size**-0.5  # as in nn.Linear
        self.merge_question = nn.Parameter(torch.empty(pieces, size, rank * size).uniform_(-bound, bound))
        self.merge_image = nn.Parameter(torch.empty(pieces, size, rank * size).uniform_(-bound, bound))
        self.project_joint = nn.Linear(factor_size, hidden_size)
        self.dropout = Dropout(dropout)
        self.output_size = hidden_size

    def forward(self, question_NH: Tensor, image_MD: Tensor, image_index_N: Tensor | None = None) -> Tensor:
        question = self._merge(self.dropout(self.project_question(question_NH)), self.merge_question)
        image = self._merge(self.dropout(self.project_image(image_MD)), self.merge_image)
        if image_index_N is not None:
            image = image.index_select(1, image_index_N)
        merged = (question * image).unflatten(2, (self.rank, -1)).sum(dim=2)  # (P, N, size)
        if self.normalise:
            merged = functional.normalize(signed_sqrt(merged), dim=2)
        return self.project_joint(merged.transpose(0, 1).flatten(1))

    def _merge(self, vectors: Tensor, weights: Tensor) -> Tensor:
        """Return (P, vectors, rank · size)."""
        return vectors.unflatten(1, (self.pieces, -1)).transpose(0, 1) @ weights
