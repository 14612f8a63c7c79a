"""Attentions with several glimpses: G weights for each region, from the product or the bilinear fusion of question and region.

Shape letters: B images, N questions, K regions, D region size, H question vector size, A attention size, G glimpses.
"""

from torch import Tensor, nn

from vqa_rnn.dropout import Dropout
from vqa_rnn.models.attention.attended import Attended
from vqa_rnn.models.fusion import FactorisedFusion, MutanFusion
from vqa_rnn.models.layers import masked_softmax
from vqa_rnn.models.text_encoder import EncodedTexts


class GlimpseAttention(nn.Module):
    """``α = softmax(P (tanh(U q) ∘ tanh(V v_k)))``, with one softmax for each of the G rows of P.

    Kim et al. 2017, https://arxiv.org/abs/1610.04325, equations 10 to 12. The image vector concatenates the weighted sums of
    the glimpses.
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
        return _attend(self.score(joint_NKA), regions_BKD, region_mask_BK, questions, image_index_N)


class MutanAttention(nn.Module):
    """``α = softmax(P z_k)``, where ``z_k`` is MUTAN of the question and region k.

    Ben-younes et al. 2017, https://arxiv.org/abs/1705.06676, section 4.1, with the layers of the authors' code. The image
    vector concatenates the weighted sums of the glimpses. Dropout is on the projected question and regions, and on ``z_k``.
    """

    reads_words = False

    def __init__(
        self,
        region_size: int,
        question_size: int,
        *,
        hidden_size: int,
        factor_size: int,
        rank: int,
        num_glimpses: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.fusion = MutanFusion(
            question_size, region_size, hidden_size=hidden_size, factor_size=factor_size, rank=rank, dropout=dropout
        )
        self.score = nn.Linear(hidden_size, num_glimpses, bias=False)
        self.dropout = Dropout(dropout)
        self.output_size, self.question_size = num_glimpses * region_size, question_size

    def forward(self, regions_BKD: Tensor, region_mask_BK: Tensor, questions: EncodedTexts, image_index_N: Tensor) -> Attended:
        """Weigh the regions of each question's image, as ``GlimpseAttention``."""
        joint_NKA = self.dropout(self.fusion(questions.vectors.unsqueeze(1), regions_BKD, image_index_N))
        return _attend(self.score(joint_NKA), regions_BKD, region_mask_BK, questions, image_index_N)


class MfbAttention(nn.Module):
    """``α = softmax(P relu(W z_k + b))``, where ``z_k`` is MFB of the question and region k.

    Yu et al. 2017, https://arxiv.org/abs/1708.01471, section 4, with the layers of the authors' code. The image vector
    concatenates the weighted sums of the glimpses. Dropout is on the products that MFB sums.
    """

    reads_words = False

    def __init__(
        self,
        region_size: int,
        question_size: int,
        *,
        hidden_size: int,
        factors: int,
        score_size: int,
        num_glimpses: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.fusion = FactorisedFusion(question_size, region_size, hidden_size=hidden_size, factors=factors, dropout=dropout)
        self.score = nn.Sequential(
            nn.Linear(hidden_size, score_size), nn.ReLU(), nn.Linear(score_size, num_glimpses, bias=False)
        )
        self.output_size, self.question_size = num_glimpses * region_size, question_size

    def forward(self, regions_BKD: Tensor, region_mask_BK: Tensor, questions: EncodedTexts, image_index_N: Tensor) -> Attended:
        """Weigh the regions of each question's image, as ``GlimpseAttention``."""
        joint_NKA = self.fusion(questions.vectors.unsqueeze(1), regions_BKD, image_index_N)
        return _attend(self.score(joint_NKA), regions_BKD, region_mask_BK, questions, image_index_N)


def _attend(
    logits_NKG: Tensor, regions_BKD: Tensor, region_mask_BK: Tensor, questions: EncodedTexts, image_index_N: Tensor
) -> Attended:
    """Concatenate the sums of the regions that are weighed by the softmax of each glimpse."""
    maps_NKG = masked_softmax(logits_NKG, region_mask_BK[image_index_N].unsqueeze(2), dim=1)
    maps_NGK = maps_NKG.transpose(1, 2).to(regions_BKD.dtype)
    attended_NGD = maps_NGK @ regions_BKD.index_select(0, image_index_N)
    return Attended(questions.vectors, attended_NGD.flatten(1), None, maps_NGK)
