"""Bilinear attention between words and regions.

Shape letters: B images, N questions, K regions, T words, D region size, S word state size, R rank.
"""

import torch
from torch import Tensor, nn

from vqa_rnn.dropout import Dropout
from vqa_rnn.models.attention.attended import Attended
from vqa_rnn.models.layers import masked_softmax
from vqa_rnn.models.text_encoder import EncodedTexts


class BilinearAttention(nn.Module):
    """BAN (Kim et al. 2018, https://arxiv.org/abs/1805.07932, equations 4 to 9).

    Each glimpse g weighs all pairs of a word and a region by ``A_g = softmax(((1 · p_gᵀ) ∘ σ(X U)) σ(V Y)ᵀ)`` over all pairs,
    computes ``f_k = Σ_ij A_ij σ(X U_g)_ik σ(Y V_g)_jk`` and adds ``P_g f`` to every word for the next glimpse; σ is relu. With
    ``fusion.name=sum`` and ``fusion.hidden_size=null`` the joint vector is that of the paper with one difference: words are
    averaged, not summed, so that the glimpses do not weigh more in longer questions.
    """

    reads_words = True

    def __init__(
        self,
        region_size: int,
        question_size: int,
        *,
        word_size: int,
        hidden_size: int,
        num_glimpses: int,
        score_size: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        glimpses, score_size = range(num_glimpses), score_size or hidden_size
        self.attend_words = nn.Linear(word_size, score_size)
        self.attend_regions = nn.Linear(region_size, score_size)
        self.score = nn.Parameter(torch.randn(num_glimpses, score_size) * score_size**-0.5)
        self.project_words = nn.ModuleList(nn.Linear(word_size, hidden_size) for _ in glimpses)
        self.project_regions = nn.ModuleList(nn.Linear(region_size, hidden_size) for _ in glimpses)
        self.project_joint = nn.ModuleList(nn.Linear(hidden_size, word_size) for _ in glimpses)
        self.dropout = Dropout(dropout)
        self.output_size = self.question_size = word_size

    def forward(self, regions_BKD: Tensor, region_mask_BK: Tensor, questions: EncodedTexts, image_index_N: Tensor) -> Attended:
        """Weigh pairs of words and regions.

        Args:
            regions_BKD: (B, K, D) float.
            region_mask_BK: (B, K) bool.
            questions: N of them, with the states of their words.
            image_index_N: (N,) int64.

        Returns:
            (N, S) image vectors, the sums over the glimpses; (N, S) question vectors, the means of the words; and one map and
            one word map per glimpse: the weights of each region summed over the words, and of each word over the regions.
        """
        words_NTS, word_mask_NT = questions.words, questions.mask
        exist_NTK = word_mask_NT.unsqueeze(2) & region_mask_BK[image_index_N].unsqueeze(1)
        query_NTR = self.dropout(self.attend_words(words_NTS).relu())
        key_NRK = self.dropout(self.attend_regions(regions_BKD).relu()).transpose(1, 2).index_select(0, image_index_N)
        seen_NS = torch.zeros_like(words_NTS[:, 0])
        maps, word_maps = [], []
        for score_R, to_words, to_regions, to_joint in zip(
            self.score, self.project_words, self.project_regions, self.project_joint, strict=True
        ):
            logits_NTK = (query_NTR * score_R) @ key_NRK
            weights_NTK = masked_softmax(logits_NTK.flatten(1), exist_NTK.flatten(1)).view_as(logits_NTK).to(words_NTS.dtype)
            words_NTR = self.dropout(to_words(words_NTS + seen_NS.unsqueeze(1)).relu())
            regions_NKR = self.dropout(to_regions(regions_BKD).relu()).index_select(0, image_index_N)
            pooled_NR = (words_NTR * (weights_NTK @ regions_NKR)).sum(dim=1)
            seen_NS = seen_NS + to_joint(self.dropout(pooled_NR))
            maps.append(weights_NTK.sum(dim=1))
            word_maps.append(weights_NTK.sum(dim=2))
        mask_NT1 = word_mask_NT.unsqueeze(2).to(words_NTS.dtype)
        question_NS = (words_NTS * mask_NT1).sum(dim=1) / mask_NT1.sum(dim=1).clamp(min=1)
        return Attended(question_NS, seen_NS, None, torch.stack(maps, dim=1), word_maps=torch.stack(word_maps, dim=1))
