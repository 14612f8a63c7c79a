"""Backbones of torchvision."""

from collections import OrderedDict
from typing import Any

import torchvision
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn
from torchvision.models.vision_transformer import interpolate_embeddings

from vqa_rnn.errors import UserError
from vqa_rnn.features.backbones.base import Network, Preset, check_patches
from vqa_rnn.files import unknown_name

# torchvision's evaluation, for weights that do not specify their own: the central 224 of 256 pixels.
_PRESET = Preset(224, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, "bilinear", 224 / 256)


def build(backbone: str, from_hub: bool, name: str | None) -> Network:
    """Build a network of torchvision.

    Args:
        backbone: Its name.
        from_hub: Whether to download weights.
        name: Name of the weights; by default torchvision's own choice.

    Returns:
        The network.

    Raises:
        UserError: The network or its weights do not exist, or it is a detector.
    """
    if backbone not in torchvision.models.list_models():
        raise UserError(f"torchvision: {unknown_name('backbone', backbone, torchvision.models.list_models())}")
    if backbone in torchvision.models.list_models(module=torchvision.models.detection):
        raise UserError(f"{backbone} is a detector: set features.output=regions")
    if not from_hub:
        return _network(torchvision.models.get_model(backbone, weights=None), "", _PRESET)
    weights = find_weights(backbone, name)
    images = weights.transforms()
    has_crop = hasattr(images, "crop_size")
    preset = Preset(
        image_size=images.crop_size[0] if has_crop else _PRESET.image_size,
        mean=getattr(images, "mean", _PRESET.mean),
        std=getattr(images, "std", _PRESET.std),
        interpolation=images.interpolation.value if hasattr(images, "interpolation") else _PRESET.interpolation,
        crop_share=images.crop_size[0] / images.resize_size[0] if has_crop else 1.0,
    )
    return _network(torchvision.models.get_model(backbone, weights=weights), str(weights), preset)


def find_weights(backbone: str, name: str | None = None) -> Any:
    """Find weights of torchvision.

    Args:
        backbone: The network.
        name: Name of the weights; by default torchvision's own choice.

    Returns:
        The entry of torchvision's ``WeightsEnum``.

    Raises:
        UserError: The network has no weights of this name.
    """
    weights = torchvision.models.get_model_weights(backbone)
    if name is None:
        return weights.DEFAULT
    known = {each.name: each for each in weights}
    if name not in known:
        raise UserError(f"{backbone}: {unknown_name('weights', name, known)}")
    return known[name]


def _network(model: Any, weights: str, preset: Preset) -> Network:
    if not isinstance(model, torchvision.models.VisionTransformer):
        return Network(model, weights, preset, channels_last=isinstance(model, torchvision.models.SwinTransformer))

    def resize(size: int) -> None:
        """Resample the position embeddings."""
        check_patches(model.patch_size, size)
        key = "encoder.pos_embedding"
        state = interpolate_embeddings(size, model.patch_size, OrderedDict({key: model.encoder.pos_embedding.detach()}))
        model.encoder.pos_embedding = nn.Parameter(state[key])
        model.image_size = size

    preset = preset._replace(image_size=model.image_size)
    return Network(model, weights, preset, num_prefix_tokens=1, resize=resize, patch_size=model.patch_size)
