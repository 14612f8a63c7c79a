"""Regions to image vectors.

Every kind takes the distinct images and gives vectors with, for each question, the row that is its own: without a look at the
question there is one vector an image, and what follows runs once an image.

Shape letters: B images, N questions, K regions, D feature size, H question vector size, A attention size.
"""

import torch
from torch import Tensor, nn

from vqa_rnn.config import NoAttention
from vqa_rnn.config import StackedAttention as StackedConfig
from vqa_rnn.config import TopDownAttention as TopDownConfig


class MeanPooling(nn.Module):
    """The mean of an image's regions; the question is not looked at."""

    def __init__(self, config: NoAttention, feature_size: int, question_size: int) -> None:
        super().__init__()
        self.output_size = feature_size

    def forward(
        self, features_BKD: Tensor, region_mask_BK: Tensor, question_NH: Tensor, image_index_N: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Average the regions that exist.

        Args:
            features_BKD: (B, K, D) float.
            region_mask_BK: (B, K) bool.
            question_NH: (N, H) float, unused.
            image_index_N: (N,) int64.

        Returns:
            (B, D) image vectors, and ``image_index_N`` to pick each question's.
        """
        mask = region_mask_BK.unsqueeze(2).to(features_BKD.dtype)
        mean_BD = (features_BKD * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return mean_BD, image_index_N


class TopDownAttention(nn.Module):
    """One weight a region from the question (Anderson et al. 2018, https://arxiv.org/abs/1707.07998, section 3.3 on VQA).

    ``a_k = w · f([v_k; q])`` with the gated tanh ``f(x) = tanh(W x + b) ∘ sigmoid(W' x + b')``; the weights are the softmax
    of ``a`` over the regions that exist. ``W [v; q]`` is computed as ``W_v v + W_q q``, the first part once an image. Differs
    from the paper: dropout on ``f``, by option, and no weight norm.
    """

    def __init__(self, config: TopDownConfig, feature_size: int, question_size: int) -> None:
        super().__init__()
        self.project_image = nn.Linear(feature_size, 2 * config.hidden_size)
        self.project_question = nn.Linear(question_size, 2 * config.hidden_size, bias=False)
        self.score = nn.Linear(config.hidden_size, 1)
        self.dropout = nn.Dropout(config.dropout)
        self.output_size = feature_size

    def forward(
        self, features_BKD: Tensor, region_mask_BK: Tensor, question_NH: Tensor, image_index_N: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Weigh each question's image's regions.

        Args:
            features_BKD: (B, K, D) float.
            region_mask_BK: (B, K) bool.
            question_NH: (N, H) float.
            image_index_N: (N,) int64.

        Returns:
            (N, D) image vectors, already one a question, and None.
        """
        weights_NK = self.weights(features_BKD, region_mask_BK, question_NH, image_index_N)
        attended_ND = (weights_NK.unsqueeze(1) @ features_BKD.index_select(0, image_index_N)).squeeze(1)
        return attended_ND, None

    def weights(self, features_BKD: Tensor, region_mask_BK: Tensor, question_NH: Tensor, image_index_N: Tensor) -> Tensor:
        """The attention weights.

        Args:
            features_BKD: (B, K, D) float.
            region_mask_BK: (B, K) bool.
            question_NH: (N, H) float.
            image_index_N: (N,) int64.

        Returns:
            (N, K) float, each row sums to 1, 0 where there is no region; all 0 where an image has none.
        """
        image_BKA = self.project_image(features_BKD)
        both_NKA = image_BKA.index_select(0, image_index_N) + self.project_question(question_NH).unsqueeze(1)
        value, gate = both_NKA.chunk(2, dim=2)
        logits_NK = self.score(self.dropout(value.tanh() * gate.sigmoid())).squeeze(2)
        return _weights(logits_NK, region_mask_BK[image_index_N]).to(features_BKD.dtype)


class StackedAttention(nn.Module):
    """Looks at the regions several times (Yang et al. 2016, https://arxiv.org/abs/1511.02274, equations 12 to 21).

    With ``v_k = tanh(W f_k + b)`` and ``u = W' q + b'``, each look has weights ``softmax(w · tanh(W_v v_k + W_u u))`` and adds
    what it saw to the query: ``u ← u + Σ p_k v_k``. The last ``u`` is the image vector. Differs from the paper: the question
    passes a layer first, so that its size is free, ``u`` goes to the fusion and not straight to the answers, and there is
    dropout by option.
    """

    def __init__(self, config: StackedConfig, feature_size: int, question_size: int) -> None:
        super().__init__()
        size, looks = config.hidden_size, range(config.num_looks)
        self.project_image = nn.Linear(feature_size, size)
        self.project_question = nn.Linear(question_size, size)
        self.key = nn.ModuleList(nn.Linear(size, size, bias=False) for _ in looks)
        self.query = nn.ModuleList(nn.Linear(size, size) for _ in looks)
        self.score = nn.ModuleList(nn.Linear(size, 1) for _ in looks)
        self.dropout = nn.Dropout(config.dropout)
        self.output_size = size

    def forward(
        self, features_BKD: Tensor, region_mask_BK: Tensor, question_NH: Tensor, image_index_N: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Look at each question's image's regions.

        Args:
            features_BKD: (B, K, D) float.
            region_mask_BK: (B, K) bool.
            question_NH: (N, H) float.
            image_index_N: (N,) int64.

        Returns:
            (N, A) image vectors, already one a question, and None.
        """
        image_BKA = self.project_image(features_BKD).tanh()
        values_NKA = image_BKA.index_select(0, image_index_N)
        mask_NK = region_mask_BK[image_index_N]
        query_NA = self.project_question(question_NH)
        for key, query, score in zip(self.key, self.query, self.score, strict=True):
            both_NKA = key(image_BKA).index_select(0, image_index_N) + query(query_NA).unsqueeze(1)
            weights_NK = _weights(score(self.dropout(both_NKA.tanh())).squeeze(2), mask_NK)
            query_NA = query_NA + (weights_NK.to(values_NKA.dtype).unsqueeze(1) @ values_NKA).squeeze(1)
        return query_NA, None


def _weights(logits_NK: Tensor, mask_NK: Tensor) -> Tensor:
    """Softmax over the regions that exist, in float32 at least; 0 everywhere where none does."""
    logits_NK = logits_NK.to(torch.promote_types(logits_NK.dtype, torch.float32))
    lowest = torch.finfo(logits_NK.dtype).min  # not -inf: a row without any region would be NaN
    return logits_NK.masked_fill(~mask_NK, lowest).softmax(dim=1) * mask_NK


ATTENTIONS: dict[str, type[MeanPooling] | type[TopDownAttention] | type[StackedAttention]] = {
    "none": MeanPooling,
    "top_down": TopDownAttention,
    "stacked": StackedAttention,
}
