"""No attention."""

from torch import Tensor, nn

from vqa_rnn.models.attention.attended import Attended
from vqa_rnn.models.text_encoder import EncodedTexts


class MeanPooling(nn.Module):
    """The mean of an image's regions; the question is not looked at."""

    reads_words = False

    def __init__(self, region_size: int, question_size: int) -> None:
        super().__init__()
        self.output_size, self.question_size = region_size, question_size

    def forward(self, regions_BKD: Tensor, region_mask_BK: Tensor, questions: EncodedTexts, image_index_N: Tensor) -> Attended:
        """Average the regions that exist.

        Args:
            regions_BKD: (B, K, D) float.
            region_mask_BK: (B, K) bool.
            questions: N of them.
            image_index_N: (N,) int64.

        Returns:
            (B, D) image vectors.
        """
        mask = region_mask_BK.unsqueeze(2).to(regions_BKD.dtype)
        mean_BD = (regions_BKD * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return Attended(questions.vectors, mean_BD, image_index_N, None)
