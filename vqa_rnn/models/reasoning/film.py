"""Feature-wise linear modulation.

Shape letters: B images, N questions, K regions, D region size, H question vector size, A channels, J joint size.
"""

from torch import Tensor, nn

from vqa_rnn.dropout import Dropout
from vqa_rnn.models.reasoning.reasoned import Reasoned
from vqa_rnn.models.reasoning.stem import Stem
from vqa_rnn.models.text_encoder import EncodedTexts


class Film(nn.Module):
    """FiLM (Perez et al. 2018, https://arxiv.org/abs/1709.07871, section 3 and figure 3).

    The question determines a factor and a shift for each channel of each block: ``h = relu(W_1 x)``,
    ``x ← h + relu(γ ∘ norm(W_2 h) + β)``, where ``W_1`` has a kernel of 1 and ``γ = 1 + Δγ``. A layer with a kernel of 1 and
    the maximum over the image follow. Regions should include their position (``model.geometry``), as in the paper. Differs from
    the paper: groups of 8 channels (all channels, if 8 does not divide their number) are normalised per image, not per batch,
    so that an answer does not depend on the batch, on gradient accumulation or on the number of processes; there is one
    convolution before the blocks.
    """

    reads_words = False

    def __init__(
        self,
        region_size: int,
        question_size: int,
        *,
        hidden_size: int,
        num_blocks: int,
        kernel_size: int,
        joint_size: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.stem = Stem(region_size, hidden_size, num_layers=1, kernel_size=kernel_size, activation=nn.ReLU)
        self.modulate = nn.Linear(question_size, num_blocks * 2 * hidden_size)
        self.blocks = nn.ModuleList(_Block(hidden_size, kernel_size) for _ in range(num_blocks))
        self.joint = nn.Conv2d(hidden_size, joint_size, 1)
        self.dropout = Dropout(dropout)
        self.output_size = joint_size

    def forward(self, regions_BKD: Tensor, region_mask_BK: Tensor, questions: EncodedTexts, image_index_N: Tensor) -> Reasoned:
        """Modulate the image of each question.

        Args:
            regions_BKD: (B, K, D) float.
            region_mask_BK: (B, K) bool; with a kernel larger than 1 all regions must exist.
            questions: N of them.
            image_index_N: (N,) int64.

        Returns:
            (N, J) joint vectors.
        """
        grid = self.stem(regions_BKD).index_select(0, image_index_N)
        exist = region_mask_BK[image_index_N].view(image_index_N.shape[0], 1, *grid.shape[2:])
        for block, parameters in zip(self.blocks, self.modulate(questions.vectors).chunk(len(self.blocks), dim=1), strict=True):
            change_NA, shift_NA = parameters[:, :, None, None].chunk(2, dim=1)
            grid = block(grid, exist, 1 + change_NA, shift_NA)
        joint = self.joint(grid).relu() * exist  # at least 0, so that missing regions are not the maximum
        return Reasoned(self.dropout(joint.flatten(2).amax(dim=2)), None)


class _Block(nn.Module):
    def __init__(self, hidden_size: int, kernel_size: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(hidden_size, hidden_size, 1)
        self.second = nn.Conv2d(hidden_size, hidden_size, kernel_size, padding=kernel_size // 2)
        self.groups = hidden_size // 8 if hidden_size % 8 == 0 else 1

    def forward(self, grid: Tensor, exist: Tensor, factor: Tensor, shift: Tensor) -> Tensor:
        hidden = self.first(grid).relu()
        return hidden + (factor * _normalise(self.second(hidden), exist, self.groups) + shift).relu()


def _normalise(grid: Tensor, exist: Tensor, groups: int) -> Tensor:
    """Apply group normalisation (Wu and He 2018) to existing regions; the question provides scale and shift."""
    values = grid.unflatten(1, (groups, -1))
    mask = exist.unsqueeze(1).to(values.dtype)
    count = (mask.sum(dim=(2, 3, 4), keepdim=True) * values.shape[2]).clamp(min=1)
    mean = (values * mask).sum(dim=(2, 3, 4), keepdim=True) / count
    centred = (values - mean) * mask
    variance = centred.square().sum(dim=(2, 3, 4), keepdim=True) / count
    return (centred / (variance + 1e-5).sqrt()).flatten(1, 2)
