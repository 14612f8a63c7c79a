"""Top-down attention.

Shape letters: B images, N questions, K regions, D region size, H question vector size, A attention size.
"""

from torch import Tensor, nn

from vqa_rnn.dropout import Dropout
from vqa_rnn.models.attention.attended import Attended
from vqa_rnn.models.layers import linear, masked_softmax
from vqa_rnn.models.text_encoder import EncodedTexts


class TopDownAttention(nn.Module):
    """One weight per region (Anderson et al. 2018, https://arxiv.org/abs/1707.07998, section 3.3 on VQA).

    ``a_k = w · f([v_k; q])`` with the gated tanh ``f(x) = tanh(W x + b) ∘ sigmoid(W' x + b')``; the weights are the softmax
    of ``a`` over the regions that exist. ``W [v; q]`` is computed as ``W_v v + W_q q``, the first part once per image. Optional
    differences from the paper: dropout on ``f``; ``weight_norm`` normalises ``W_v`` and ``W_q`` separately.
    """

    reads_words = False

    def __init__(
        self, region_size: int, question_size: int, *, hidden_size: int, weight_norm: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.project_image = linear(region_size, 2 * hidden_size, weight_norm=weight_norm)
        self.project_question = linear(question_size, 2 * hidden_size, weight_norm=weight_norm, bias=False)
        self.score = linear(hidden_size, 1, weight_norm=weight_norm)
        self.dropout = Dropout(dropout)
        self.output_size, self.question_size = region_size, question_size

    def forward(self, regions_BKD: Tensor, region_mask_BK: Tensor, questions: EncodedTexts, image_index_N: Tensor) -> Attended:
        """Weigh the regions of each question's image.

        Args:
            regions_BKD: (B, K, D) float.
            region_mask_BK: (B, K) bool.
            questions: N of them.
            image_index_N: (N,) int64.

        Returns:
            (N, D) image vectors, and one map: it sums to 1, or is 0 for an image without regions.
        """
        image_BKA = self.project_image(regions_BKD)
        both_NKA = image_BKA.index_select(0, image_index_N) + self.project_question(questions.vectors).unsqueeze(1)
        value, gate = both_NKA.chunk(2, dim=2)
        logits_NK = self.score(self.dropout(value.tanh() * gate.sigmoid())).squeeze(2)
        weights_NK = masked_softmax(logits_NK, region_mask_BK[image_index_N]).to(regions_BKD.dtype)
        attended_ND = (weights_NK.unsqueeze(1) @ regions_BKD.index_select(0, image_index_N)).squeeze(1)
        return Attended(questions.vectors, attended_ND, None, weights_NK.unsqueeze(1))
