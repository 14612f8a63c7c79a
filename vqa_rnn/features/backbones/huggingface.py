"""Backbones of Hugging Face's transformers: CLIP, DINOv2, SigLIP, ConvNeXt, ResNet, ViT and others that see images alone."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import AutoConfig, AutoImageProcessor, AutoModel

from vqa_rnn.errors import UserError
from vqa_rnn.features.backbones.base import Network, Preset, check_patches
from vqa_rnn.huggingface import check_source, quiet

PREFIX_TOKENS = ("cls_token", "class_embedding", "distillation_token", "register_tokens")


def build(backbone: str, from_hub: bool, name: str | None) -> Network:
    """Build a network of transformers.

    Args:
        backbone: Its name on the hub, such as ``openai/clip-vit-base-patch32``, or a folder with ``config.json`` and
            ``preprocessor_config.json``. Of a network that reads text as well, the half that sees images.
        from_hub: Whether its weights are those of the hub, or of the folder.
        name: Which revision of them, a branch, tag or commit.

    Returns:
        The network.

    Raises:
        UserError: It sees no images.
    """
    check_name(backbone)
    source = {"revision": name or "main", "trust_remote_code": False}
    with quiet():
        settings = AutoConfig.from_pretrained(backbone, **source)
        model: Any
        if from_hub:
            model = AutoModel.from_pretrained(backbone, **source, dtype=torch.float32)
        else:
            model = AutoModel.from_config(settings, trust_remote_code=False)
    model = getattr(model, "vision_model", model)
    if getattr(model, "main_input_name", "") != "pixel_values":
        raise UserError(f"features.backbone={backbone}: a {type(model).__name__} does not take images alone: take another")
    preset = preset_of(load_processor(backbone, source))
    trained = getattr(model.config, "image_size", None)
    has_places = any("position_embedding" in name for name, _ in model.named_parameters())
    patch_size = model.config.patch_size if has_places else None  # ConvNeXt calls the stride of its first layer so
    options: dict[str, Any] = {}

    def resize(size: int) -> None:
        if patch_size is not None:
            check_patches(patch_size, size)
        if size != trained and "interpolate_pos_encoding" in inspect.signature(model.forward).parameters:
            options["interpolate_pos_encoding"] = True  # others, such as DINOv2, do so by themselves

    return Network(
        model=model,
        weights=base_name(backbone) + (f"@{name}" if name else "") if from_hub else "",
        preset=preset,
        num_prefix_tokens=_num_prefix_tokens(model),
        resize=resize,
        patch_size=patch_size,
        options=options,
    )


def check_name(backbone: str) -> None:
    """Refuse what can be neither a folder nor a name on the hub, before the hub is asked.

    Args:
        backbone: A name on the hub, ``OWNER/NAME``, or a folder.

    Raises:
        UserError: It is neither.
    """
    check_source("features.backbone", backbone, "ask: --weights FOLDER says where it is now")
    if "/" not in backbone and not Path(backbone).is_dir():
        raise UserError(
            f"features.backbone={backbone}: give a folder, or a name on the hub with its owner, such as "
            "openai/clip-vit-base-patch32"
        )


def load_processor(backbone: str, source: Mapping[str, Any]) -> Any:
    """Load what says how images are scaled and normalised.

    Args:
        backbone: As ``build`` takes it.
        source: Which revision of it.

    Returns:
        An image processor.

    Raises:
        UserError: There is none.
    """
    try:
        with quiet():
            return AutoImageProcessor.from_pretrained(backbone, **source)
    except (OSError, ValueError) as error:
        raise UserError(
            f"features.backbone={backbone}: no image processor (preprocessor_config.json), which says how images are scaled"
        ) from error


def preset_of(processor: Any) -> Preset:
    """Read what an image processor does.

    Args:
        processor: From ``AutoImageProcessor``.

    Returns:
        The same as a preset.
    """
    settings = processor.to_dict()
    scaled, cut = settings.get("size") or {}, settings.get("crop_size") or {}
    side = scaled.get("shortest_edge") or scaled.get("height") or 224
    crop_share = 1.0
    if settings.get("do_center_crop") and cut:
        crop_share = min(1.0, cut["height"] / side)
        side = cut["height"]
    elif "crop_pct" in settings and side < 384:  # as ConvNeXt's processor has it
        crop_share = settings["crop_pct"]
    normalises = settings.get("do_normalize", True)
    return Preset(
        image_size=side,
        mean=settings["image_mean"] if normalises else (0.0, 0.0, 0.0),
        std=settings["image_std"] if normalises else (1.0, 1.0, 1.0),
        interpolation=Image.Resampling(settings.get("resample", Image.Resampling.BILINEAR)).name.lower(),
        crop_share=crop_share,
    )


def base_name(backbone: str) -> str:
    """What to call weights.

    Args:
        backbone: A name on the hub, or a folder.

    Returns:
        The name, or that of the folder alone.
    """
    return Path(backbone).name if Path(backbone).is_dir() else backbone


def _num_prefix_tokens(model: nn.Module) -> int:
    """Class tokens and registers are parameters of the embeddings."""
    found = {name: parameter for name, parameter in model.named_parameters() if name.rpartition(".")[2] in PREFIX_TOKENS}
    return sum(parameter.shape[1] if parameter.dim() == 3 else 1 for parameter in found.values())
