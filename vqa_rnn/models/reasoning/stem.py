"""Layers on the image before the question is used.

Shape letters: B images, K regions, D region size, A channels.
"""

from torch import Tensor, nn

from vqa_rnn.models.layers import grid_side


class Stem(nn.Module):
    """Convolutions over the grid of regions, each followed by an activation; with a kernel of 1, an MLP on each region."""

    def __init__(
        self, region_size: int, hidden_size: int, *, num_layers: int, kernel_size: int, activation: type[nn.Module]
    ) -> None:
        """Create the layers.

        Args:
            region_size: D.
            hidden_size: A.
            num_layers: At least 1.
            kernel_size: An odd number; above 1 the regions must be the cells of a square grid, row by row.
            activation: Activation after each layer.
        """
        super().__init__()
        self.kernel_size = kernel_size
        sizes = [region_size] + [hidden_size] * (num_layers - 1)
        self.layers = nn.Sequential(
            *(
                layer
                for size in sizes
                for layer in (nn.Conv2d(size, hidden_size, kernel_size, padding=kernel_size // 2), activation())
            )
        )

    def forward(self, regions_BKD: Tensor) -> Tensor:
        """Apply the layers.

        Args:
            regions_BKD: (B, K, D) float.

        Returns:
            (B, A, side, side) float; (B, A, K, 1) with a kernel of 1.

        Raises:
            ValueError: If the kernel is larger than 1 and K is not a square number.
        """
        return self.layers(to_grid(regions_BKD, self.kernel_size))


def to_grid(regions_BKD: Tensor, kernel_size: int) -> Tensor:
    """Arrange regions as a grid for convolutions.

    Args:
        regions_BKD: (B, K, D).
        kernel_size: Kernel size of the convolutions.

    Returns:
        (B, D, side, side); (B, D, K, 1) with a kernel of 1.
    """
    side = 1 if kernel_size == 1 else grid_side(regions_BKD.shape[1])
    return regions_BKD.transpose(1, 2).unflatten(2, (-1, side))
