"""Mean pooling, without attention."""

from torch import Tensor, nn

from vqa_rnn.models.attention.attended import Attended
from vqa_rnn.models.text_encoder import EncodedTexts


class MeanPooling(nn.Module):
    """The mean of an image's regions, independent of the question."""

    reads_words = False

    def __init__(self, region_size: int, question_size: int) -> None:
        super().__init__()
        self.output_size, self.question_size = region_size, question_size

    def forward(self, regions_BKD: Tensor, region_mask_BK: Tensor, questions: EncodedTexts, image_index_N: Tensor) -> Attended:
        """Compute the mean of the regions that exist.

        Args:
            regions_BKD: (B, K, D) float.
            region_mask_BK: (B, K) bool.
            questions: N of them.
            image_index_N: (N,) int64.

        Returns:
            (B, D) image vectors.
        """
        return Attended(questions.vectors, mean_of_regions(regions_BKD, region_mask_BK), image_index_N, None)


def mean_of_regions(regions_BKD: Tensor, region_mask_BK: Tensor) -> Tensor:
    """Compute the mean of the regions that exist.

    Args:
        regions_BKD: (B, K, D) float.
        region_mask_BK: (B, K) bool.

    Returns:
        (B, D) float, 0 for images without regions.
    """
    mask = region_mask_BK.unsqueeze(2).to(regions_BKD.dtype)
    return (regions_BKD * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
