"""Attention with several glimpses.

Shape letters: B images, N questions, K regions, D region size, H question vector size, A attention size, G glimpses.
"""

from torch import Tensor, nn

from vqa_rnn.dropout import Dropout
from vqa_rnn.models.attention.attended import Attended
from vqa_rnn.models.layers import masked_softmax
from vqa_rnn.models.text_encoder import EncodedTexts


class GlimpseAttention(nn.Module):
    """G weights per region (Kim et al. 2017, https://arxiv.org/abs/1610.04325, equations 10 to 12; also MCB, MUTAN and MFB).

    ``α = softmax(P (tanh(U q) ∘ tanh(V v_k)))``, with one softmax for each of the G rows of P. The image vector concatenates
    the weighted sums of the glimpses.
    """

    reads_words = False

    def __init__(
        self, region_size: int, question_size: int, *, hidden_size: int, num_glimpses: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.project_image = nn.Linear(region_size, hidden_size)
        self.project_question = nn.Linear(question_size, hidden_size)
        self.score = nn.Linear(hidden_size, num_glimpses, bias=False)  # a bias would not change the softmax
        self.dropout = Dropout(dropout)
        self.output_size, self.question_size = num_glimpses * region_size, question_size

    def forward(self, regions_BKD: Tensor, region_mask_BK: Tensor, questions: EncodedTexts, image_index_N: Tensor) -> Attended:
        """Weigh the regions of each question's image.

        Args:
            regions_BKD: (B, K, D) float.
            region_mask_BK: (B, K) bool.
            questions: N of them.
            image_index_N: (N,) int64.

        Returns:
            (N, G · D) image vectors, and one map per glimpse.
        """
        image_NKA = self.project_image(regions_BKD).tanh().index_select(0, image_index_N)
        joint_NKA = self.dropout(image_NKA * self.project_question(questions.vectors).tanh().unsqueeze(1))
        maps_NKG = masked_softmax(self.score(joint_NKA), region_mask_BK[image_index_N].unsqueeze(2), dim=1)
        maps_NGK = maps_NKG.transpose(1, 2).to(regions_BKD.dtype)
        attended_NGD = maps_NGK @ regions_BKD.index_select(0, image_index_N)
        return Attended(questions.vectors, attended_NGD.flatten(1), None, maps_NGK)
