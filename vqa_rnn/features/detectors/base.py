"""What every detector has, whichever library it is from, and which of its proposals become regions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.ops import batched_nms


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
        prepare: An image to what ``propose`` takes of it, without the device.
        propose: That, on a device, to proposals.
        suppresses: Whether proposals of one thing are many, so that all but the best must be left out.
    """

    model: nn.Module
    weights: str
    image_size: int
    label_names: Sequence[str]
    set_image_size: Callable[[int], None]
    prepare: Callable[[Image.Image], Any]
    propose: Callable[[Any, torch.device], Proposals]
    suppresses: bool


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
