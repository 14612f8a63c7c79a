"""DRAW: a recurrent variational autoencoder that draws an image step by step.

Gregor et al. 2015, "DRAW: A Recurrent Neural Network For Image Generation" (https://arxiv.org/abs/1502.04623), whose equations
are cited. Deviations: any recurrent cell; the pixels of an image may be grey.

A pixel is the probability that a binary pixel is white. The loss of a grey image is therefore an upper bound on the mean
negative log-likelihood of the binary images that it stands for. It cannot fall below the entropy of the pixels.

Shape letters: N images, S side of the image, T steps, Z latent size, H hidden size.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vqa_rnn.rnn import RecurrentNetwork
from vqa_rnn.sequences.draw_windows import GaussianReader, GaussianWriter, WholeReader, WholeWriter


@dataclass(frozen=True, slots=True)
class DigitBatch:
    """Images to draw.

    Attributes:
        images: (N, S, S) float from 0 to 1.
        example_index: (N,) int64, the place of each image in its split.
        noise: (N, T, Z) float, what the latent vectors are drawn with; None draws it anew.
    """

    images: Tensor
    example_index: Tensor
    noise: Tensor | None = None

    @property
    def num_examples(self) -> int:
        """Number of images."""
        return len(self.images)

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "DigitBatch":
        """Copy to a device.

        Args:
            device: The device.
            non_blocking: Copy asynchronously, where the memory is pinned.

        Returns:
            The batch there. ``example_index`` stays where it is.
        """
        noise = None if self.noise is None else self.noise.to(device, non_blocking=non_blocking)
        return DigitBatch(self.images.to(device, non_blocking=non_blocking), self.example_index, noise)


class Drawing(NamedTuple):
    """Images that were drawn.

    Attributes:
        canvases: T tensors (N, S, S) float, the logits of the pixels after each step.
        divergences: T tensors (N,) float, the Kullback-Leibler divergence of each step in nats; none without images to look at.
        read: T tensors (N, 4) float x1 y1 x2 y2 in pixels, where the image was read; none without images to look at.
        written: T tensors (N, 4) float, where the canvas was written to.
    """

    canvases: list[Tensor]
    divergences: list[Tensor]
    read: list[Tensor]
    written: list[Tensor]

    def stages(self) -> Tensor:
        """Return what can be seen on the canvas.

        Returns:
            (N, T, S, S) float from 0 to 1, the pixels after each step.
        """
        return torch.stack(self.canvases, dim=1).sigmoid()

    def boxes(self) -> Tensor:
        """Return where the canvas was written to.

        Returns:
            (N, T, 4) float x1 y1 x2 y2 in pixels.
        """
        return torch.stack(self.written, dim=1)

    def divergence(self) -> Tensor:
        """Sum the divergences over the steps (equation 10).

        Returns:
            (N,) float, in nats.
        """
        return torch.stack(self.divergences).sum(dim=0)


class Draw(nn.Module):
    """Images in, images out, by way of T latent vectors.

    Attributes:
        steps: T.
        latent_size: Z.
        side: S.
    """

    def __init__(
        self,
        side: int,
        steps: int = 10,
        cell: str = "lstm",
        hidden_size: int = 128,
        latent_size: int = 10,
        *,
        read_size: int | None = 5,
        write_size: int | None = 5,
        num_layers: int = 1,
        first_state: Literal["zero", "learned"] = "learned",
        recurrent_start: Literal["uniform", "orthogonal"] = "uniform",
        forget_bias: float | None = None,
    ) -> None:
        """Make the layers. The initial canvas is learned.

        Args:
            side: S.
            steps: T.
            cell: A name from ``vqa_rnn.rnn.CELLS``.
            hidden_size: H, of the encoder and of the decoder.
            latent_size: Z.
            read_size: Filters along a side of the grid that reads; None reads the whole image.
            write_size: Filters along a side of the grid that writes; None writes on the whole canvas.
            num_layers: Of the encoder and of the decoder.
            first_state: As in ``RecurrentNetwork``, as are the next two.
            recurrent_start: Initialisation of the recurrent matrices.
            forget_bias: Initial bias of an LSTM's forget gate; None leaves it to torch.
        """
        super().__init__()
        self.steps, self.latent_size, self.side = steps, latent_size, side
        self.reader = WholeReader(side) if read_size is None else GaussianReader(hidden_size, side, read_size)
        self.writer = WholeWriter(hidden_size, side) if write_size is None else GaussianWriter(hidden_size, side, write_size)

        def network(input_size: int) -> RecurrentNetwork:
            return RecurrentNetwork(
                cell,
                input_size,
                hidden_size,
                num_layers=num_layers,
                first_state=first_state,
                recurrent_start=recurrent_start,
                forget_bias=forget_bias,
            )

        self.encoder = network(self.reader.output_size + hidden_size)
        self.posterior = nn.Linear(hidden_size, 2 * latent_size)
        self.decoder = network(latent_size)
        self.blank = nn.Parameter(torch.zeros(side * side))  # a vector, because weight decay applies to matrices only

    def forward(self, batch: DigitBatch) -> Drawing:
        """Draw images while looking at them.

        Args:
            batch: The images. Without noise, it is drawn with torch's global generator.

        Returns:
            The drawing.
        """
        noise_NTZ = batch.noise
        if noise_NTZ is None:
            noise_NTZ = torch.randn(len(batch.images), self.steps, self.latent_size, device=self.blank.device)
        return self.reconstruct(batch.images, noise_NTZ)

    def losses(self, drawing: Drawing, batch: DigitBatch) -> tuple[Tensor, Tensor]:
        """Compute the loss: the negative variational bound (equations 9 to 12).

        Args:
            drawing: From ``forward``.
            batch: The batch it belongs to.

        Returns:
            (N,) float in nats; (N,) int64, a 1 for each image.
        """
        loss_N = self.reconstruction(drawing, batch.images) + drawing.divergence()
        return loss_N, torch.ones(len(loss_N), dtype=torch.int64, device=loss_N.device)

    def reconstruction(self, drawing: Drawing, images_NSS: Tensor) -> Tensor:
        """Compute how far the last canvas is from the images (equation 9).

        Args:
            drawing: The drawing.
            images_NSS: (N, S, S) float from 0 to 1.

        Returns:
            (N,) float, the cross-entropy in nats, summed over the pixels.
        """
        canvas_NSS = drawing.canvases[-1]
        images_NSS = images_NSS.to(canvas_NSS.dtype)
        return functional.binary_cross_entropy_with_logits(canvas_NSS, images_NSS, reduction="none").flatten(1).sum(dim=1)

    def reconstruct(self, images_NSS: Tensor, noise_NTZ: Tensor) -> Drawing:
        """Draw images while looking at them (equations 1 to 8 and 11).

        Args:
            images_NSS: (N, S, S) float from 0 to 1.
            noise_NTZ: (N, T, Z) float from a standard normal distribution; zeros draw the mean of each latent vector.

        Returns:
            The drawing.
        """
        return self._draw(noise_NTZ, images_NSS)

    def sample(self, noise_NTZ: Tensor) -> Drawing:
        """Draw new images (equations 13 to 16).

        Args:
            noise_NTZ: (N, T, Z) float from a standard normal distribution: the latent vectors.

        Returns:
            The drawing.
        """
        return self._draw(noise_NTZ, None)

    def _draw(self, noise_NTZ: Tensor, images_NSS: Tensor | None) -> Drawing:
        drawing = Drawing([], [], [], [])
        N = len(noise_NTZ)
        canvas_NSS = self.blank.view(1, self.side, self.side).expand(N, -1, -1)
        encoder_state, decoder_state = self.encoder.begin(N), self.decoder.begin(N)
        decoded_NH = self.decoder.last_output(decoder_state)
        for noise_NZ in noise_NTZ.to(self.blank.dtype).unbind(dim=1):
            latent_NZ = noise_NZ
            if images_NSS is not None:
                images_NSS = images_NSS.to(self.blank.dtype)
                images_N2SS = torch.stack([images_NSS, images_NSS - canvas_NSS.sigmoid()], dim=1)
                read_NE, box_N4 = self.reader(images_N2SS, decoded_NH)
                encoded_NH, encoder_state = self.encoder.step(torch.cat([read_NE, decoded_NH], dim=1), encoder_state)
                mean_NZ, log_std_NZ = self.posterior(encoded_NH).to(self.blank.dtype).chunk(2, dim=1)
                variance_NZ = (2 * log_std_NZ).exp()
                latent_NZ = mean_NZ + log_std_NZ.exp() * noise_NZ
                drawing.divergences.append((mean_NZ.square() + variance_NZ - 1 - 2 * log_std_NZ).sum(dim=1) / 2)
                drawing.read.append(box_N4)
            decoded_NH, decoder_state = self.decoder.step(latent_NZ, decoder_state)
            added_NSS, box_N4 = self.writer(decoded_NH)
            canvas_NSS = canvas_NSS + added_NSS
            drawing.canvases.append(canvas_NSS)
            drawing.written.append(box_N4)
        return drawing
