"""How DRAW reads an image and writes on a canvas: through a grid of Gaussian filters, or all of it.

Equations are those of Gregor et al. 2015 (https://arxiv.org/abs/1502.04623). Images are square.

Shape letters: N images, S side of the image, G filters along a side of the grid, H hidden size, E size of what is read.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Window(NamedTuple):
    """Where a grid of filters lies on each of N images, in pixels: the centres of the pixels are at 1, 2, ..., S.

    Attributes:
        centre: (N, 2) float, the centre of the grid: x, then y.
        stride: (N,) float, the distance between neighbouring filters.
        variance: (N,) float, the variance of each filter.
        intensity: (N,) float, what the result is multiplied by when reading, and divided by when writing.
    """

    centre: Tensor
    stride: Tensor
    variance: Tensor
    intensity: Tensor

    def filters(self, grid: int, side: int) -> Tensor:
        """Compute the filters (equations 19, 20, 25 and 26).

        The normalised Gaussian of equations 25 and 26 is a softmax over the pixels, which also holds for a filter far outside
        of the image. There, the sum of the equations would be 0 in floating point.

        Args:
            grid: G.
            side: S.

        Returns:
            (N, 2, G, S) float: the filters along x, and along y. Each sums to 1.
        """
        place_G = torch.arange(1, grid + 1, device=self.centre.device) - grid / 2 - 0.5
        mean_N2G1 = (self.centre[:, :, None] + place_G * self.stride[:, None, None]).unsqueeze(3)
        pixel_S = torch.arange(1, side + 1, device=self.centre.device)
        return (-(pixel_S - mean_N2G1).square() / (2 * self.variance[:, None, None, None])).softmax(dim=3)

    def boxes(self, grid: int) -> Tensor:
        """Compute the rectangle of the outermost filters.

        Args:
            grid: G.

        Returns:
            (N, 4) float x1 y1 x2 y2 in pixels, from 0 at the left and upper edge of the image to S at the others.
        """
        half_N1 = (self.stride * (grid - 1) / 2)[:, None]
        middle_N2 = self.centre - 0.5  # the centre of the first pixel is half a pixel from the edge
        return torch.cat([middle_N2 - half_N1, middle_N2 + half_N1], dim=1)


class _Placed(nn.Module):
    """Computes a window from the state of the decoder (equations 21 to 24); ``side`` is S and ``grid`` is G."""

    def __init__(self, hidden_size: int, side: int, grid: int) -> None:
        super().__init__()
        self.side, self.grid = side, grid
        self.place = nn.Linear(hidden_size, 5)

    def window(self, state_NH: Tensor) -> Window:
        """Return the window of each image."""
        values_N5 = self.place(state_NH).to(self.place.weight.dtype)  # positions need more than the bits of an autocast
        centre_N2 = (self.side + 1) / 2 * (values_N5[:, :2] + 1)
        variance_N, scale_N, intensity_N = values_N5[:, 2:].exp().unbind(dim=1)
        return Window(centre_N2, (self.side - 1) / (self.grid - 1) * scale_N, variance_N, intensity_N)


class GaussianReader(_Placed):
    """Reads G x G numbers of an image and of its error (equation 27)."""

    def __init__(self, hidden_size: int, side: int, grid: int) -> None:
        """Make the layer.

        Args:
            hidden_size: H.
            side: S.
            grid: G, at least 2.
        """
        super().__init__(hidden_size, side, grid)
        self.output_size = 2 * grid * grid

    def forward(self, images_N2SS: Tensor, state_NH: Tensor) -> tuple[Tensor, Tensor]:
        """Read.

        Args:
            images_N2SS: (N, 2, S, S) float, images and their errors.
            state_NH: (N, H) float, the state of the decoder.

        Returns:
            (N, 2 G G) float, what was read; (N, 4) float, the ``boxes`` that were read.
        """
        window = self.window(state_NH)
        along_x_N1GS, along_y_N1GS = window.filters(self.grid, self.side).split(1, dim=1)
        read_N2GG = along_y_N1GS @ images_N2SS @ along_x_N1GS.transpose(2, 3)
        return window.intensity[:, None] * read_N2GG.flatten(1), window.boxes(self.grid)


class GaussianWriter(_Placed):
    """Writes G x G numbers on a canvas (equations 28 and 29).

    A filter spreads its number over the pixels so that they sum to it. A grid as wide as the image therefore writes values that
    are smaller than its numbers, by the square of the stride. The initial intensity makes up for it, which is not in the paper.
    Without it, the latent vectors came into use much later in training.
    """

    def __init__(self, hidden_size: int, side: int, grid: int) -> None:
        """Make the layers.

        Args:
            hidden_size: H.
            side: S.
            grid: G, at least 2.
        """
        super().__init__(hidden_size, side, grid)
        self.patch = nn.Linear(hidden_size, grid * grid)
        stride = (side - 1) / (grid - 1)
        with torch.no_grad():
            self.place.bias[4] = -2 * math.log(stride)

    def forward(self, state_NH: Tensor) -> tuple[Tensor, Tensor]:
        """Write.

        Args:
            state_NH: (N, H) float, the state of the decoder.

        Returns:
            (N, S, S) float, what is added to the canvas; (N, 4) float, the ``boxes`` that were written to.
        """
        window = self.window(state_NH)
        along_x_NGS, along_y_NGS = window.filters(self.grid, self.side).unbind(dim=1)
        patch_NGG = self.patch(state_NH).unflatten(1, (self.grid, self.grid))
        written_NSS = along_y_NGS.transpose(1, 2) @ patch_NGG @ along_x_NGS
        return written_NSS / window.intensity[:, None, None], window.boxes(self.grid)


class WholeReader(nn.Module):
    """Reads the image and its error as they are (equation 17)."""

    def __init__(self, side: int) -> None:
        """Store the size.

        Args:
            side: S.
        """
        super().__init__()
        self.output_size = 2 * side * side

    def forward(self, images_N2SS: Tensor, state_NH: Tensor) -> tuple[Tensor, Tensor]:
        """Read.

        Args:
            images_N2SS: As in ``GaussianReader``.
            state_NH: Not needed.

        Returns:
            (N, 2 S S) float; (N, 4) float, boxes that cover the images.
        """
        return images_N2SS.flatten(1), _whole(state_NH, images_N2SS.shape[3])


class WholeWriter(nn.Module):
    """Writes on the whole canvas (equation 18)."""

    def __init__(self, hidden_size: int, side: int) -> None:
        """Make the layer.

        Args:
            hidden_size: H.
            side: S.
        """
        super().__init__()
        self.side = side
        self.patch = nn.Linear(hidden_size, side * side)

    def forward(self, state_NH: Tensor) -> tuple[Tensor, Tensor]:
        """Write.

        Args:
            state_NH: (N, H) float, the state of the decoder.

        Returns:
            (N, S, S) float, what is added to the canvas; (N, 4) float, boxes that cover the canvas.
        """
        return self.patch(state_NH).unflatten(1, (self.side, self.side)), _whole(state_NH, self.side)


def _whole(state_NH: Tensor, side: int) -> Tensor:
    """(N, 4) boxes that cover the whole image."""
    return state_NH.new_tensor([0, 0, side, side]).expand(len(state_NH), 4)
