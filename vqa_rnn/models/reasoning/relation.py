"""Relations between pairs of regions.

Shape letters: B images, N questions, K regions, D region size, H question vector size, A layer size.
"""

from torch import Tensor, nn

from vqa_rnn.dropout import Dropout
from vqa_rnn.models.reasoning.reasoned import Reasoned
from vqa_rnn.models.text_encoder import EncodedTexts


class RelationNetwork(nn.Module):
    """Relation network (Santoro et al. 2017, https://arxiv.org/abs/1706.01427, equation 1).

    ``f(Σ_ij g([o_i; o_j; q]))`` over all ordered pairs of regions, where g and f are MLPs with relu. The first layer of g is
    computed as ``W_1 o_i + W_2 o_j + W_3 q``, the first two parts once per image. Regions should include their position
    (``model.geometry``). Differs from the paper: f has one layer here, and the head has the others; the sum is divided by K, so
    that it grows less with the number of regions.
    """

    reads_words = False

    def __init__(
        self, region_size: int, question_size: int, *, hidden_size: int, num_layers: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.left = nn.Linear(region_size, hidden_size)
        self.right = nn.Linear(region_size, hidden_size, bias=False)
        self.question = nn.Linear(question_size, hidden_size, bias=False)
        layers = [layer for _ in range(num_layers - 1) for layer in (nn.Linear(hidden_size, hidden_size), nn.ReLU())]
        self.pair = nn.Sequential(nn.ReLU(), *layers)
        self.joint = nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.ReLU(), Dropout(dropout))
        self.output_size = hidden_size

    def forward(self, regions_BKD: Tensor, region_mask_BK: Tensor, questions: EncodedTexts, image_index_N: Tensor) -> Reasoned:
        """Relate the regions of each question's image.

        Args:
            regions_BKD: (B, K, D) float.
            region_mask_BK: (B, K) bool.
            questions: N of them.
            image_index_N: (N,) int64.

        Returns:
            (N, A) joint vectors.
        """
        left_BKA = self.left(regions_BKD)
        pairs_BKKA = left_BKA.unsqueeze(2) + self.right(regions_BKD).unsqueeze(1)
        question_NA = self.question(questions.vectors)
        pairs_NKKA = self.pair(pairs_BKKA.index_select(0, image_index_N) + question_NA[:, None, None])
        exist_BKK = region_mask_BK.unsqueeze(2) & region_mask_BK.unsqueeze(1)
        weight_BKK = exist_BKK.to(pairs_NKKA.dtype) / region_mask_BK.sum(dim=1).clamp(min=1)[:, None, None]
        weight_NKK = weight_BKK.index_select(0, image_index_N)
        return Reasoned(self.joint((weight_NKK.flatten(1).unsqueeze(1) @ pairs_NKKA.flatten(1, 2)).squeeze(1)), None)
