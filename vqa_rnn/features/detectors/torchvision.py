"""Faster R-CNN and Mask R-CNN of torchvision, trained on COCO."""

from typing import Any

import torch
import torchvision
from torch import Tensor
from torchvision.models.detection.faster_rcnn import FasterRCNN
from torchvision.transforms.functional import pil_to_tensor

from vqa_rnn.errors import UserError
from vqa_rnn.features.backbones.torchvision import find_weights
from vqa_rnn.features.detectors.base import DetectorNetwork, Proposals
from vqa_rnn.files import unknown_name

_MODELS = torchvision.models.detection


def build(backbone: str, from_hub: bool, name: str | None) -> DetectorNetwork:
    """Build a two-stage detector. The features of a box are the output of its ``box_head``.

    Args:
        backbone: Its name, such as ``fasterrcnn_resnet50_fpn_v2``.
        from_hub: Whether to download weights.
        name: Name of the weights; by default torchvision's own choice.

    Returns:
        The detector. A proposal is a box of the first stage, for which the features are computed. The box corrections of the
        second stage are ignored, as in bottom-up attention.

    Raises:
        UserError: The detector or its weights do not exist.
    """
    names = torchvision.models.list_models(module=_MODELS, include=["fasterrcnn*", "maskrcnn*"])
    if backbone not in names:
        raise UserError(f"torchvision: {unknown_name('detector', backbone, names)}")
    weights = find_weights(backbone, name) if from_hub else None
    model: FasterRCNN = torchvision.models.get_model(backbone, weights=weights, weights_backbone=None)
    short, long = model.transform.min_size[-1], model.transform.max_size

    def set_image_size(size: int) -> None:
        model.transform.min_size, model.transform.max_size = (size,), round(size * long / short)

    def propose(pixels: Tensor, device: torch.device) -> Proposals:
        return _propose(model, pixels.to(device).float() / 255)

    return DetectorNetwork(
        model=model,
        weights="" if weights is None else str(weights),
        image_size=short,
        label_names=find_weights(backbone).meta["categories"][1:],  # the first is the background
        set_image_size=set_image_size,
        convert=pil_to_tensor,
        propose=propose,
        suppresses=True,
    )


def _propose(model: Any, image: Tensor) -> Proposals:
    images, _ = model.transform([image])
    grids = model.backbone(images.tensors)
    (boxes,), _ = model.rpn(images, grids)
    height, width = images.image_sizes[0]
    size = boxes.new_tensor([width, height, width, height])
    boxes = torch.cat([size.new_tensor([[0, 0, width, height]]), boxes])  # the whole image first
    features = model.roi_heads.box_head(model.roi_heads.box_roi_pool(grids, [boxes], images.image_sizes))
    logits, _ = model.roi_heads.box_predictor(features[1:])
    return Proposals(features[1:], (boxes[1:] / size).clamp(0, 1), logits.softmax(dim=1)[:, 1:], features[0])
