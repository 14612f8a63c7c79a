"""Modular co-attention.

Shape letters: B images, N questions, K regions, T words, D region size, S word state size, A model size.
"""

import torch
from torch import Tensor, nn

from vqa_rnn.dropout import Dropout
from vqa_rnn.models.layers import masked_softmax
from vqa_rnn.models.reasoning.reasoned import Reasoned
from vqa_rnn.models.text_encoder import EncodedTexts


class Mcan(nn.Module):
    """MCAN (Yu et al. 2019, https://arxiv.org/abs/1906.10770, sections 3 and 4), encoder and decoder.

    In L layers the word states attend to each other. In L more layers the regions attend to each other and to the last word
    states. Each side is summed into one vector with weights from an MLP (equations 8 and 9), and the joint vector is
    ``LayerNorm(W_x x + W_y y)`` (equation 10). The layers are torch's transformer layers, which equal the paper's units.
    Optional difference: words first pass through a layer, so that they can have any size.
    """

    reads_words = True

    def __init__(
        self,
        region_size: int,
        question_size: int,
        *,
        word_size: int,
        hidden_size: int,
        num_layers: int,
        num_heads: int,
        joint_size: int,
        project_words: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not project_words and word_size != hidden_size:
            raise ValueError(f"project_words=false needs word states of size {hidden_size}, got {word_size}")
        size, layers = hidden_size, range(num_layers)
        options = {"dim_feedforward": 4 * size, "dropout": dropout, "batch_first": True}
        self.project_words: nn.Module = nn.Linear(word_size, size) if project_words else nn.Identity()
        self.project_regions = nn.Linear(region_size, size)
        self.word_layers = nn.ModuleList(nn.TransformerEncoderLayer(size, num_heads, **options) for _ in layers)  # type: ignore[arg-type]
        self.region_layers = nn.ModuleList(nn.TransformerDecoderLayer(size, num_heads, **options) for _ in layers)  # type: ignore[arg-type]
        self.score_words = nn.Sequential(nn.Linear(size, size), nn.ReLU(), Dropout(dropout), nn.Linear(size, 1))
        self.score_regions = nn.Sequential(nn.Linear(size, size), nn.ReLU(), Dropout(dropout), nn.Linear(size, 1))
        self.join_words = nn.Linear(size, joint_size)
        self.join_regions = nn.Linear(size, joint_size)
        self.norm = nn.LayerNorm(joint_size)
        self.output_size = joint_size

    def forward(self, regions_BKD: Tensor, region_mask_BK: Tensor, questions: EncodedTexts, image_index_N: Tensor) -> Reasoned:
        """Attend to words and regions.

        Args:
            regions_BKD: (B, K, D) float.
            region_mask_BK: (B, K) bool.
            questions: N of them, with the states of their words.
            image_index_N: (N,) int64.

        Returns:
            (N, J) joint vectors, one map and one word map: the weights of the two sums.
        """
        words_NTA, mask_NT = self.project_words(questions.words), questions.mask
        regions_NKA = self.project_regions(regions_BKD).index_select(0, image_index_N)
        mask_NK = region_mask_BK[image_index_N]
        nothing_N = ~mask_NK.any(dim=1, keepdim=True)
        seen_NK = mask_NK | (nothing_N & (torch.arange(mask_NK.shape[1], device=mask_NK.device) == 0))  # empty rows give NaN
        for layer in self.word_layers:
            words_NTA = layer(words_NTA, src_key_padding_mask=~mask_NT)
        for layer in self.region_layers:
            regions_NKA = layer(regions_NKA, words_NTA, tgt_key_padding_mask=~seen_NK, memory_key_padding_mask=~mask_NT)
        words_NA, weights_NT = _reduce(self.score_words, words_NTA, mask_NT)
        regions_NA, weights_NK = _reduce(self.score_regions, regions_NKA, mask_NK)
        joint_NJ = self.norm(self.join_words(words_NA) + self.join_regions(regions_NA))
        return Reasoned(joint_NJ, weights_NK.unsqueeze(1), weights_NT.unsqueeze(1))


def _reduce(score: nn.Module, states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted sum of states, and the weights."""
    weights = masked_softmax(score(states).squeeze(2), mask).to(states.dtype)
    return (weights.unsqueeze(1) @ states.masked_fill(~mask.unsqueeze(2), 0)).squeeze(1), weights
