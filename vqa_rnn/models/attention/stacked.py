"""Stacked attention.

Shape letters: B images, N questions, K regions, D region size, H question vector size, A image vector size.
"""

import torch
from torch import Tensor, nn

from vqa_rnn.dropout import Dropout
from vqa_rnn.models.attention.attended import Attended
from vqa_rnn.models.layers import masked_softmax
from vqa_rnn.models.text_encoder import EncodedTexts


class StackedAttention(nn.Module):
    """Attention in several looks at the regions (Yang et al. 2016, https://arxiv.org/abs/1511.02274, equations 12 to 21).

    With ``v_k = tanh(W f_k + b)`` and ``u = W' q + b'``, each look has weights ``p = softmax(w · tanh(W_v v_k + W_u u))`` and
    adds the weighted regions to the query: ``u ← u + Σ p_k v_k``. The last ``u`` is the image vector; with
    ``fusion.name=image`` the answer head gets it directly, as in the paper. Optional differences: the question first passes
    through a layer, so that it can have any size; dropout.
    """

    reads_words = False

    def __init__(
        self,
        region_size: int,
        question_size: int,
        *,
        hidden_size: int,
        num_looks: int,
        score_size: int | None = None,
        project_question: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not project_question and question_size != hidden_size:
            raise ValueError(f"project_question=false needs question vectors of size {hidden_size}, got {question_size}")
        size, looks, score_size = hidden_size, range(num_looks), score_size or hidden_size
        self.project_image = nn.Linear(region_size, size)
        self.project_question: nn.Module = nn.Linear(question_size, size) if project_question else nn.Identity()
        self.key = nn.ModuleList(nn.Linear(size, score_size, bias=False) for _ in looks)
        self.query = nn.ModuleList(nn.Linear(size, score_size) for _ in looks)
        self.score = nn.ModuleList(nn.Linear(score_size, 1) for _ in looks)
        self.dropout = Dropout(dropout)
        self.output_size, self.question_size = size, question_size

    def forward(self, regions_BKD: Tensor, region_mask_BK: Tensor, questions: EncodedTexts, image_index_N: Tensor) -> Attended:
        """Weigh the regions of each question's image.

        Args:
            regions_BKD: (B, K, D) float.
            region_mask_BK: (B, K) bool.
            questions: N of them.
            image_index_N: (N,) int64.

        Returns:
            (N, A) image vectors, and one map per look.
        """
        image_BKA = self.project_image(regions_BKD).tanh()
        values_NKA = image_BKA.index_select(0, image_index_N)
        mask_NK = region_mask_BK[image_index_N]
        query_NA = self.project_question(questions.vectors)
        maps = []
        for key, query, score in zip(self.key, self.query, self.score, strict=True):
            both_NKA = key(image_BKA).index_select(0, image_index_N) + query(query_NA).unsqueeze(1)
            weights_NK = masked_softmax(score(self.dropout(both_NKA.tanh())).squeeze(2), mask_NK).to(values_NKA.dtype)
            query_NA = query_NA + (weights_NK.unsqueeze(1) @ values_NKA).squeeze(1)
            maps.append(weights_NK)
        return Attended(questions.vectors, query_NA, None, torch.stack(maps, dim=1))
