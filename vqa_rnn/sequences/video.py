"""A recurrent network over the frames of a video: one label for the video, or one for each frame.

A convolutional network turns each frame into a vector and a recurrent network reads these: LRCN (Donahue et al. 2015,
https://arxiv.org/abs/1411.4389, section 3), there with AlexNet and an LSTM. In the terms of the lecture, a label for a video is
many to one and a label for each frame many to many. Donahue et al. average the predictions of all frames to label a video; here
one prediction is made from the last state, or from the mean or the maximum of the states over time (Ng et al. 2015,
https://arxiv.org/abs/1503.08909, compare pooling and LSTM). Before that, Karpathy et al. 2014
(https://doi.org/10.1109/CVPR.2014.223) fused frames by convolutions over time.

Shape letters: N videos, T frames of the longest one, M frames of all videos, S image size, D feature size, F frame size,
H size of the states, A labels.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from vqa_rnn.dropout import Dropout
from vqa_rnn.rnn import RecurrentNetwork
from vqa_rnn.sequences.video_data import VideoBatch

CHANNELS = (16, 32)  # of the convolutions, each of which halves the image


class PixelEncoder(nn.Module):
    """A small convolutional network for small images. It has no batch norm: a frame's vector depends on that frame alone."""

    def __init__(self, image_size: int, frame_size: int) -> None:
        """Make the layers.

        Args:
            image_size: S.
            frame_size: F.
        """
        super().__init__()
        layers: list[nn.Module] = []
        before, side = 3, image_size
        for channels in CHANNELS:
            layers += [nn.Conv2d(before, channels, 3, stride=2, padding=1), nn.ReLU()]
            before, side = channels, -(-side // 2)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * side**2, frame_size), nn.ReLU())

    def forward(self, frames_MSS3: Tensor) -> Tensor:
        """Encode frames.

        Args:
            frames_MSS3: (M, S, S, 3) uint8.

        Returns:
            (M, F) float.
        """
        dtype = next(self.parameters()).dtype
        return self.layers(frames_MSS3.permute(0, 3, 1, 2).to(dtype) / 255 - 0.5)


class FeatureEncoder(nn.Module):
    """A layer over the features of a pretrained network, which are scaled to mean 0 and variance 1 in each frame."""

    def __init__(self, feature_size: int, frame_size: int) -> None:
        """Make the layers.

        Args:
            feature_size: D.
            frame_size: F.
        """
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(feature_size), nn.Linear(feature_size, frame_size), nn.ReLU())

    def forward(self, features_MD: Tensor) -> Tensor:
        """Encode frames.

        Args:
            features_MD: (M, D) float.

        Returns:
            (M, F) float.
        """
        return self.layers(features_MD.to(next(self.parameters()).dtype))


class VideoModel(nn.Module):
    """Videos in, logits of labels out.

    Attributes:
        encoder: Turns frames into vectors.
        network: The recurrent network over these.
    """

    def __init__(
        self,
        encoder: nn.Module,
        frame_size: int,
        num_labels: int,
        cell: str = "lstm",
        hidden_size: int = 128,
        *,
        output: Literal["sequence", "frame"] = "sequence",
        pooling: Literal["last", "mean", "max"] = "last",
        bidirectional: bool = False,
        num_layers: int = 1,
        dropout: float = 0.0,
        first_state: Literal["zero", "learned"] = "zero",
        recurrent_start: Literal["uniform", "orthogonal"] = "uniform",
        forget_bias: float | None = None,
    ) -> None:
        """Make the layers.

        Args:
            encoder: Turns the frames of a batch into (M, F) vectors, such as ``PixelEncoder``.
            frame_size: F.
            num_labels: A.
            cell: A name from ``vqa_rnn.rnn.CELLS``.
            hidden_size: Size of the state of a direction.
            output: One label for a video, or one for each frame.
            pooling: How the states become the vector of a video; not used for labels of frames.
            bidirectional: Read the video in both directions.
            num_layers: Layers of the recurrent network.
            dropout: On the frame vectors, between layers and before the output layer.
            first_state: As in ``RecurrentNetwork``, as are the next two.
            recurrent_start: Initialisation of the recurrent matrices.
            forget_bias: Initial bias of an LSTM's forget gate; None leaves it to torch.
        """
        super().__init__()
        self.encoder = encoder
        self.network = RecurrentNetwork(
            cell,
            frame_size,
            hidden_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            first_state=first_state,
            recurrent_start=recurrent_start,
            forget_bias=forget_bias,
        )
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(self.network.output_size, num_labels)
        self._labels_frames = output == "frame"
        self._pooling = pooling

    def forward(self, batch: VideoBatch) -> Tensor:
        """Label videos or frames.

        Args:
            batch: The videos.

        Returns:
            (N, A) float logits of the videos' labels; or (M, A), of the frames', video by video.
        """
        vectors_MF = self.dropout(self.encoder(batch.frames))
        lengths_N, num_steps = batch.lengths, int(batch.lengths.max())
        exists_NT = torch.arange(num_steps) < lengths_N[:, None]
        place_M = exists_NT.flatten().nonzero().squeeze(1).to(vectors_MF.device, non_blocking=True)
        padded = vectors_MF.new_zeros(len(lengths_N) * num_steps, vectors_MF.shape[1]).index_copy(0, place_M, vectors_MF)
        states_NTH, final = self.network(padded.unflatten(0, (-1, num_steps)), lengths_N)
        if self._labels_frames:
            return self.output(self.dropout(states_NTH.flatten(0, 1).index_select(0, place_M)))
        if self._pooling == "last":
            vectors_NH = self.network.last_output(final)
        elif self._pooling == "mean":
            vectors_NH = states_NTH.sum(dim=1) / lengths_N.to(states_NTH.device)[:, None]
        else:
            missing_NT1 = ~exists_NT.to(states_NTH.device).unsqueeze(2)
            vectors_NH = states_NTH.masked_fill(missing_NT1, -torch.inf).amax(dim=1)
        return self.output(self.dropout(vectors_NH))

    def losses(self, logits: Tensor, batch: VideoBatch) -> tuple[Tensor, Tensor]:
        """Compute the loss.

        Args:
            logits: From ``forward``.
            batch: The videos they belong to.

        Returns:
            (N,) float, the summed cross-entropy of each video's labels; (N,) int64, the number of these labels.
        """
        losses = functional.cross_entropy(logits, batch.labels, reduction="none")
        if not self._labels_frames:
            return losses, torch.ones_like(batch.labels)
        lengths_N = batch.lengths.to(losses.device)
        video_M = torch.arange(len(lengths_N), device=losses.device).repeat_interleave(lengths_N, output_size=len(losses))
        return losses.new_zeros(len(lengths_N)).index_add(0, video_M, losses), lengths_N


def correct_sums(model: VideoModel) -> Callable[[VideoBatch], Tensor]:
    """Return a function that counts correct labels, for ``build_sums_evaluator``.

    Args:
        model: The model.

    Returns:
        A function of a batch, which returns (2,) float64: the number of correct labels, and of all labels.
    """

    def sums(batch: VideoBatch) -> Tensor:
        is_right = model(batch).argmax(dim=1) == batch.labels
        return torch.stack([is_right.double().sum(), torch.ones_like(is_right, dtype=torch.float64).sum()])

    return sums


def accuracy(sums: Sequence[float]) -> dict[str, float]:
    """Compute the metric of a video model.

    Args:
        sums: The sums of ``correct_sums`` over a split.

    Returns:
        ``accuracy``, the share of labels that are correct.
    """
    correct, count = sums
    return {"accuracy": correct / count}
