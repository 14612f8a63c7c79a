"""Backbones of Hugging Face's transformers: CLIP, DINOv2, SigLIP, ConvNeXt, ResNet, ViT and other image models."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import AutoConfig, AutoImageProcessor, AutoModel

from vqa_rnn.errors import UserError
from vqa_rnn.features.backbones.base import Network, Preset, State, check_patches
from vqa_rnn.huggingface import check_source, quiet

PREFIX_TOKENS = ("cls_token", "class_embedding", "distillation_token", "register_tokens")


def build(backbone: str, from_hub: bool, name: str | None) -> Network:
    """Build a network of transformers.

    Args:
        backbone: Its name on the hub, such as ``openai/clip-vit-base-patch32``, or a folder with ``config.json`` and
            ``preprocessor_config.json``. Of a model of images and text, only the image part is used.
        from_hub: Whether to load the weights of the hub or the folder.
        name: Revision of the weights: a branch, tag or commit; defaults to ``main``.

    Returns:
        The network.

    Raises:
        UserError: Its input is not images alone, or some of its weights are missing.
    """
    check_name(backbone)
    source = {"revision": name or "main", "trust_remote_code": False}
    with quiet():
        settings = AutoConfig.from_pretrained(backbone, **source)
        whole: Any
        lacking: list[str] = []
        if from_hub:
            whole, found = AutoModel.from_pretrained(backbone, **source, dtype=torch.float32, output_loading_info=True)
            lacking = _zero_pooler(whole, found["missing_keys"])
        else:
            whole = AutoModel.from_config(settings, trust_remote_code=False)
    part = "vision_model" if hasattr(whole, "vision_model") else ""
    model = whole.get_submodule(part)
    lacking = [name for name in lacking if name.startswith(part)]
    if lacking:
        raise UserError(f"features.backbone={backbone}: its weights lack {len(lacking)} entries, the first is {lacking[0]}")
    if getattr(model, "main_input_name", "") != "pixel_values":
        raise UserError(f"features.backbone={backbone}: a {type(model).__name__} does not take images alone: take another")
    preset = preset_of(load_processor(backbone, source))
    trained = getattr(model.config, "image_size", None)
    has_places = any("position_embedding" in name for name, _ in model.named_parameters())
    patch_size = model.config.patch_size if has_places else None  # in ConvNeXt it is the stride of the first layer
    options: dict[str, Any] = {}

    def resize(size: int) -> None:
        if patch_size is not None:
            check_patches(patch_size, size)
        if size != trained and "interpolate_pos_encoding" in inspect.signature(model.forward).parameters:
            options["interpolate_pos_encoding"] = True  # others, such as DINOv2, always interpolate

    return Network(
        model=model,
        weights=weights_name(backbone, name) if from_hub else "",
        preset=preset,
        num_prefix_tokens=_num_prefix_tokens(model),
        resize=resize,
        patch_size=patch_size,
        options=options,
        convert_names=names_converter(whole, part),
    )


def names_converter(model: Any, part: str = "") -> Callable[[State], State]:
    """Make a function that converts the entries of a weight file with transformers.

    Transformers knows the names of earlier versions, and leaves out the entries of a head.

    Args:
        model: A network of transformers.
        part: Name of the submodule that is used; the whole network by default.

    Returns:
        A function from the entries of a file to those of the part. It returns its argument unchanged if entries of the part are
        missing or shapes differ.
    """
    kind, settings = type(model), model.config

    def convert(state: State) -> State:
        try:
            with quiet():
                loaded, found = kind.from_pretrained(None, config=settings, state_dict=dict(state), output_loading_info=True)
        except (RuntimeError, ValueError):  # shapes differ
            return state
        if any(name.startswith(part) for name in _zero_pooler(loaded, found["missing_keys"])):
            return state
        converted: State = loaded.get_submodule(part).float().state_dict()
        return converted

    return convert


def _zero_pooler(model: nn.Module, missing: Iterable[str]) -> list[str]:
    """Set missing entries of a pooler to zero, and return the other missing entries.

    A pooler does not affect the patches. Weights of a classifier have none, and transformers then initialises it at random, so
    that every build would have another hash.
    """
    for name in missing:
        if "pooler." in name:
            nn.init.zeros_(model.get_parameter(name))
    return sorted(name for name in missing if "pooler." not in name)


def check_name(backbone: str) -> None:
    """Check that a backbone can be a folder or a name on the hub, before the hub is asked.

    Args:
        backbone: A name on the hub, ``OWNER/NAME``, or a folder.

    Raises:
        UserError: It is neither.
    """
    moved = "ask: --weights FOLDER says where it is now"
    check_source("features.backbone", backbone, moved)
    if "/" not in backbone and not Path(backbone).is_dir():
        raise UserError(
            f"features.backbone={backbone}: there is no such folder ({moved}), and a name on the hub has its owner in it, such "
            "as openai/clip-vit-base-patch32"
        )


def load_processor(backbone: str, source: Mapping[str, Any]) -> Any:
    """Load the image processor of a backbone, which says how images are scaled and normalised.

    Args:
        backbone: As in ``build``.
        source: Arguments of ``from_pretrained``, such as the revision.

    Returns:
        The image processor.

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
    """Convert an image processor to a preset.

    Args:
        processor: From ``AutoImageProcessor``.

    Returns:
        The preset.
    """
    settings = processor.to_dict()
    scaled, cut = settings.get("size") or {}, settings.get("crop_size") or {}
    side = scaled.get("shortest_edge") or scaled.get("height") or 224
    crop_share = 1.0
    if settings.get("do_center_crop") and cut:
        crop_share = min(1.0, cut["height"] / side)
        side = cut["height"]
    elif "crop_pct" in settings and side < 384:  # as in ConvNeXt's processor
        crop_share = settings["crop_pct"]
    normalises = settings.get("do_normalize", True)
    return Preset(
        image_size=side,
        mean=settings["image_mean"] if normalises else (0.0, 0.0, 0.0),
        std=settings["image_std"] if normalises else (1.0, 1.0, 1.0),
        interpolation=Image.Resampling(settings.get("resample", Image.Resampling.BILINEAR)).name.lower(),
        crop_share=crop_share,
    )


def weights_name(backbone: str, revision: str | None) -> str:
    """Return the name of a backbone's weights.

    Args:
        backbone: A name on the hub, or the path of a folder.
        revision: Revision of the weights, if it is given.

    Returns:
        The name on the hub, or the name of the folder without its path; then ``@`` and the revision.
    """
    name = Path(backbone).name if Path(backbone).is_dir() else backbone
    return f"{name}@{revision}" if revision else name


def _num_prefix_tokens(model: nn.Module) -> int:
    """Count the class tokens and registers, which are parameters of the embeddings."""
    found = {name: parameter for name, parameter in model.named_parameters() if name.rpartition(".")[2] in PREFIX_TOKENS}
    return sum(parameter.shape[1] if parameter.dim() == 3 else 1 for parameter in found.values())
