"""Backbones of timm."""

from typing import Any

import timm
from timm.data import resolve_data_config

from vqa_rnn.errors import UserError
from vqa_rnn.features.backbones.base import Network, Preset, check_patches
from vqa_rnn.files import unknown_name


def build(backbone: str, from_hub: bool, name: str | None) -> Network:
    """Build a network of timm.

    Args:
        backbone: Its name, which may include the weights: ``resnet50.tv_in1k``.
        from_hub: Whether to download weights.
        name: Name of the weights; by default timm's own choice.

    Returns:
        The network.

    Raises:
        UserError: The network or its weights do not exist, or ``backbone`` and ``name`` are different weights.
    """
    architecture, _, tag = backbone.partition(".")
    if not timm.is_model(architecture):
        raise UserError(f"timm: {unknown_name('backbone', backbone, timm.list_models())}")
    if from_hub and name is not None:
        if tag not in ("", name):
            raise UserError(
                f"features.backbone={backbone} and features.weights=hub:{name} name different weights: leave one out"
            )
        tags = [known.partition(".")[2] for known in timm.list_pretrained(architecture)]
        if name not in tags:
            raise UserError(f"{architecture}: {unknown_name('weights', name, tags)}")
        tag = name
    model: Any = timm.create_model(f"{architecture}.{tag}" if tag else architecture, pretrained=from_hub)
    settings = resolve_data_config({}, model=model)
    preset = Preset(
        settings["input_size"][-1], settings["mean"], settings["std"], settings["interpolation"], settings["crop_pct"]
    )
    patches = getattr(model, "patch_embed", None)
    patch_size = getattr(patches, "patch_size", None)

    def resize(size: int) -> None:
        if hasattr(model, "set_input_size") and preset.image_size != size:
            if patch_size is not None:
                check_patches(patch_size[0], size)
            model.set_input_size(img_size=(size, size))

    return Network(
        model=model,
        weights=f"{architecture}.{model.pretrained_cfg.get('tag', '')}".rstrip("."),
        preset=preset,
        num_prefix_tokens=getattr(model, "num_prefix_tokens", 0),
        channels_last=getattr(model, "output_fmt", "") == "NHWC",
        resize=resize,
        patch_size=None if patch_size is None else patch_size[0],
    )
