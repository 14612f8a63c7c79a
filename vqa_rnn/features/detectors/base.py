"""Code shared by the detectors of all libraries, and the selection of regions from proposals."""

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
    """The output of a detector for an image.

    Attributes:
        features: (P, D) float32.
        boxes: (P, 4) x1 y1 x2 y2 as fractions of the image.
        scores: (P, C) probabilities of the classes, without the background class.
        whole: (D,) features of the whole image.
    """

    features: Tensor
    boxes: Tensor
    scores: Tensor
    whole: Tensor


@dataclass(frozen=True, slots=True)
class DetectorNetwork:
    """A detector as built by its library.

    Attributes:
        model: The network.
        weights: Name of the weights; empty if none are loaded yet.
        image_size: Short side of the training images, whose aspect ratio is kept; or both sides.
        label_names: Names of its classes; empty if unknown.
        set_image_size: Sets another image size.
        convert: Converts an image to the input of ``propose``, which is not on a device yet. It can be pickled.
        propose: Computes proposals from that input, on a device.
        suppresses: Whether several proposals may show the same object, so that all but the best must be suppressed.
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
    """How image files are read for a detector, with the interface of ``Transform``.

    Attributes:
        convert: As in ``DetectorNetwork``.
        intensity: As in ``read_image``.
    """

    convert: Callable[[Image.Image], Any]
    intensity: Intensity

    def prepare(
        self, source: ImageSource, boxes: NDArray[np.float32] = NO_BOXES, content: bytes | None = None, *, mirror: bool = False
    ) -> Any:
        """Read an image.

        Args:
            source: The image, usually a path.
            boxes: Ignored.
            content: The bytes of the file, if it was read before.
            mirror: Flip the image left to right.

        Returns:
            An input of ``pack``.

        Raises:
            UserError: The file is missing, not an image, or damaged.
        """
        image = read_image(source, content, self.intensity)
        return self.convert(ImageOps.mirror(image) if mirror else image)

    def pack(self, images: Sequence[Any]) -> list[Any]:
        """Return images as a list. They are not stacked, because each has its own size.

        Args:
            images: As returned by ``prepare``.

        Returns:
            The input of the detector.
        """
        return list(images)

    def join(self, packs: Sequence[list[Any]], *, pin_memory: bool = False) -> list[Any]:
        """Concatenate several packs.

        Args:
            packs: As returned by ``pack``.
            pin_memory: Ignored.

        Returns:
            The images of all packs.
        """
        return [image for pack in packs for image in pack]


class Selected(NamedTuple):
    """The proposals that become regions, by descending score.

    Attributes:
        places: (n,) int64 indices of the proposals.
        labels: (n,) int64 class of each.
        scores: (n,) probability of that class.
    """

    places: Tensor
    labels: Tensor
    scores: Tensor


def select_regions(
    boxes: Tensor, scores: Tensor, fewest: int, most: int, threshold: float, largest_overlap: float | None
) -> Selected:
    """Select the regions of an image, as in bottom-up attention (Anderson et al. 2018, https://arxiv.org/abs/1707.07998).

    For each class, only the box with the highest score is kept of those that overlap. The label of a box is its best remaining
    class. All boxes that reach the threshold are selected, but at least ``fewest`` and at most ``most``. A suppressed box has
    score 0, which never reaches the threshold.

    Args:
        boxes: (P, 4) x1 y1 x2 y2.
        scores: (P, C) probabilities of the classes.
        fewest: Minimum number of regions, if there are that many proposals.
        most: Maximum number of regions.
        threshold: Lowest score of the regions beyond ``fewest``.
        largest_overlap: Intersection over union above which boxes are of the same object; None keeps all boxes.

    Returns:
        The selected proposals.
    """
    num_proposals, num_classes = scores.shape
    stayed = scores
    if largest_overlap is not None and num_proposals:
        classes = torch.arange(num_classes, device=boxes.device).repeat(num_proposals)
        kept = batched_nms(boxes.repeat_interleave(num_classes, dim=0), scores.flatten(), classes, largest_overlap)
        stayed = torch.zeros_like(scores).flatten().index_copy(0, kept, scores.flatten()[kept]).unflatten(0, scores.shape)
    best, labels = stayed.max(dim=1) if num_proposals else (scores.new_zeros(0), scores.new_zeros(0, dtype=torch.long))
    order = best.argsort(descending=True, stable=True)
    count = int(((best >= threshold) & (best > 0)).sum().clamp(min=fewest, max=most))
    places = order[:count]
    return Selected(places, labels[places], best[places])
