"""What every detector has, whichever library it is from, and which of its proposals become regions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor, nn
from torchvision.ops import batched_nms

from vqa_rnn.config import Intensity
from vqa_rnn.features.backbones.base import State
from vqa_rnn.features.images import ImageSource, read_image
from vqa_rnn.features.regions import NO_BOXES


class Proposals(NamedTuple):
    """What a detector makes of an image.

    Attributes:
        features: (P, D) float32.
        boxes: (P, 4) x1 y1 x2 y2 as fractions of the image.
        scores: (P, C) probabilities of the classes, without that of nothing at all.
        whole: (D,) the features of the whole image.
    """

    features: Tensor
    boxes: Tensor
    scores: Tensor
    whole: Tensor


@dataclass(frozen=True, slots=True)
class DetectorNetwork:
    """A detector as its library builds it.

    Attributes:
        model: The network.
        weights: What its weights are called; empty if it has none yet.
        image_size: The short side of the images that it was trained with, which keep their shape; or both sides.
        label_names: Of its classes; empty where they are not known.
        set_image_size: Lets it see images in another size.
        convert: An image to what ``propose`` takes of it, without the device. It can be pickled.
        propose: That, on a device, to proposals.
        suppresses: Whether proposals of one thing are many, so that all but the best must be left out.
        convert_names: As in ``vqa_rnn.features.backbones.Network``.
    """

    model: nn.Module
    weights: str
    image_size: int
    label_names: Sequence[str]
    set_image_size: Callable[[int], None]
    convert: Callable[[Image.Image], Any]
    propose: Callable[[Any, torch.device], Proposals]
    suppresses: bool
    convert_names: Callable[[State], State] = lambda state: state


@dataclass(frozen=True, slots=True)
class DetectorTransform:
    """From an image file to what a detector takes; it has the interface of ``Transform``.

    Attributes:
        convert: An image to what the network takes.
        intensity: As ``read_image`` takes it.
    """

    convert: Callable[[Image.Image], Any]
    intensity: Intensity

    def prepare(
        self, source: ImageSource, boxes: NDArray[np.float32] = NO_BOXES, content: bytes | None = None, *, mirror: bool = False
    ) -> Any:
        """Read an image.

        Args:
            source: Usually a file.
            boxes: Are not looked at.
            content: A file's bytes, if they were read before.
            mirror: Show it as a mirror does.

        Returns:
            What ``pack`` takes.

        Raises:
            UserError: The file is missing, is no image, or is damaged.
        """
        image = read_image(source, content, self.intensity)
        return self.convert(ImageOps.mirror(image) if mirror else image)

    def pack(self, images: Sequence[Any]) -> list[Any]:
        """Leave images as they are: each has its own size.

        Args:
            images: As ``prepare`` gives them.

        Returns:
            What the detector takes.
        """
        return list(images)

    def join(self, packs: Sequence[list[Any]], *, pin_memory: bool = False) -> list[Any]:
        """Join several packs.

        Args:
            packs: The packs.
            pin_memory: Is not looked at.

        Returns:
            All of their images.
        """
        return [image for pack in packs for image in pack]


class Selected(NamedTuple):
    """The proposals that become regions, the surest first.

    Attributes:
        places: (n,) int64, which.
        labels: (n,) int64, the class of each.
        scores: (n,) its probability.
    """

    places: Tensor
    labels: Tensor
    scores: Tensor


def select_regions(
    boxes: Tensor, scores: Tensor, fewest: int, most: int, threshold: float, largest_overlap: float | None
) -> Selected:
    """Choose the regions of an image, as bottom-up attention does (Anderson et al. 2018, https://arxiv.org/abs/1707.07998).

    For each class, of boxes that overlap only the one with the highest score stays. A box counts with its best class that
    stayed. All above the threshold are taken, but at least ``fewest`` and at most ``most``.

    Args:
        boxes: (P, 4).
        scores: (P, C).
        fewest: Regions, as far as there are proposals.
        most: Regions.
        threshold: The score that is needed beyond the fewest.
        largest_overlap: Intersection over union from which on boxes are of the same thing; None keeps all.

    Returns:
        The regions.
    """
    num_proposals, num_classes = scores.shape
    stayed = scores
    if largest_overlap is not None and num_proposals:
        classes = torch.arange(num_classes, device=boxes.device).repeat(num_proposals)
        kept = batched_nms(boxes.repeat_interleave(num_classes, dim=0), scores.flatten(), classes, largest_overlap)
        stayed = torch.zeros_like(scores).flatten().index_copy(0, kept, scores.flatten()[kept]).unflatten(0, scores.shape)
    best, labels = stayed.max(dim=1) if num_proposals else (scores.new_zeros(0), scores.new_zeros(0, dtype=torch.long))
    order = best.argsort(descending=True, stable=True)
    count = int((best >= threshold).sum().clamp(min=fewest, max=most))
    places = order[:count]
    return Selected(places, labels[places], best[places])
