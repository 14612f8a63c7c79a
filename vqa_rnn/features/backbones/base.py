"""The backbone with its weights: from a package, from the hub of its library, or from a file."""

import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
import torchvision
from safetensors.torch import load_file
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, resolve_data_config
from torch import Tensor, nn
from torchvision.models.vision_transformer import interpolate_embeddings

from vqa_rnn.config import FeaturesConfig
from vqa_rnn.errors import UserError
from vqa_rnn.features.weights import weights_file
from vqa_rnn.files import unknown_name


class Preset(NamedTuple):
    """The images that a backbone was trained to see.

    Attributes:
        mean: Of each channel, where pixels go from 0 to 1.
        std: The deviation of each channel.
        interpolation: How pixels are computed when an image is scaled; a name of Pillow's, in small letters.
        crop_share: Where the middle is cut out, the share of the short side that is left.
    """

    mean: Sequence[float]
    std: Sequence[float]
    interpolation: str
    crop_share: float


# What torchvision evaluates with where its weights do not say otherwise: 224 of 256 pixels.
TORCHVISION_PRESET = Preset(IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, "bilinear", 224 / 256)


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network with its weights.

    Attributes:
        model: The network, made to take images of ``features.image_size``.
        weights: What its weights are called: ``ResNet101_Weights.IMAGENET1K_V2``, ``resnet50.a1_in1k``, or the name of a file.
        weights_sha256: A hash of the weights as they were loaded; the image size does not change it.
        preset: The images it was trained to see.
        num_prefix_tokens: How many tokens (class, registers) a vision transformer puts before those of the patches.
        num_patches: How many tokens of patches there are, where it says so.
        channels_last: Whether its grids are (B, H, W, D).
    """

    model: nn.Module
    weights: str
    weights_sha256: str
    preset: Preset
    num_prefix_tokens: int
    num_patches: int | None
    channels_last: bool


def load_backbone(config: FeaturesConfig) -> Backbone:
    """Build a backbone with its weights.

    Args:
        config: Which one.

    Returns:
        The backbone.

    Raises:
        UserError: The backbone or its weights do not exist, or it cannot take images of this size.
    """
    source, colon, name = config.weights.partition(":")
    try:
        build = _from_timm if config.library == "timm" else _from_torchvision
        model, weights, preset = build(config.backbone, source == "hub", name if colon else None)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"cannot get the weights of {config.backbone} from the hub: {error}; give a file that you have with "
            "features.weights=FILE, or take another features.backbone"
        ) from error
    path = weights_file(config)
    if path is not None:
        _load_weights(model, path)
        weights = path.name
    weights_sha256 = _hash_weights(model)
    try:
        _set_image_size(model, config.image_size)
    except (RuntimeError, AssertionError, AttributeError, ValueError) as error:
        raise UserError(f"{config.backbone} cannot take images of features.image_size={config.image_size}: {error}") from error
    is_torchvision_vit = isinstance(model, torchvision.models.VisionTransformer)
    return Backbone(
        model=model,
        weights=weights,
        weights_sha256=weights_sha256,
        preset=preset,
        num_prefix_tokens=1 if is_torchvision_vit else getattr(model, "num_prefix_tokens", 0),
        num_patches=getattr(getattr(model, "patch_embed", None), "num_patches", None),
        channels_last=isinstance(model, torchvision.models.SwinTransformer) or getattr(model, "output_fmt", "") == "NHWC",
    )


def _from_timm(backbone: str, from_hub: bool, name: str | None) -> tuple[nn.Module, str, Preset]:
    """The network, the name of its weights and its preset. A backbone may name its weights itself: ``resnet50.tv_in1k``."""
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
    preset = Preset(settings["mean"], settings["std"], settings["interpolation"], settings["crop_pct"])
    return model, f"{architecture}.{model.pretrained_cfg.get('tag', '')}".rstrip("."), preset


def _from_torchvision(backbone: str, from_hub: bool, name: str | None) -> tuple[nn.Module, str, Preset]:
    """The network, the name of its weights and its preset."""
    if backbone not in torchvision.models.list_models():
        raise UserError(f"torchvision: {unknown_name('backbone', backbone, torchvision.models.list_models())}")
    if not from_hub:
        return torchvision.models.get_model(backbone, weights=None), "", TORCHVISION_PRESET
    known = {weights.name: weights for weights in torchvision.models.get_model_weights(backbone)}
    if name is not None and name not in known:
        raise UserError(f"{backbone}: {unknown_name('weights', name, known)}")
    weights = torchvision.models.get_model_weights(backbone).DEFAULT if name is None else known[name]
    images = weights.transforms()
    preset = Preset(
        mean=getattr(images, "mean", TORCHVISION_PRESET.mean),
        std=getattr(images, "std", TORCHVISION_PRESET.std),
        interpolation=images.interpolation.value if hasattr(images, "interpolation") else TORCHVISION_PRESET.interpolation,
        crop_share=images.crop_size[0] / images.resize_size[0] if hasattr(images, "crop_size") else 1.0,
    )
    return torchvision.models.get_model(backbone, weights=weights), str(weights), preset


def _set_image_size(model: Any, size: int) -> None:
    """Let a network take images of another size than its own: position embeddings are resampled, windows scaled."""
    if isinstance(model, torchvision.models.VisionTransformer):
        _check_patches(model.patch_size, size)
        key = "encoder.pos_embedding"
        state = interpolate_embeddings(size, model.patch_size, OrderedDict({key: model.encoder.pos_embedding.detach()}))
        model.encoder.pos_embedding = nn.Parameter(state[key])
        model.image_size = size
    elif hasattr(model, "set_input_size") and model.pretrained_cfg["input_size"][-1] != size:
        if hasattr(model, "patch_embed"):
            _check_patches(model.patch_embed.patch_size[0], size)
        model.set_input_size(img_size=(size, size))


def _check_patches(patch_size: int, size: int) -> None:
    """Refuse a size of which the last pixels would not be seen."""
    if size % patch_size:
        raise ValueError(f"its patches have {patch_size} pixels a side, of which the image size must be a multiple")


def _load_weights(model: nn.Module, path: Path) -> None:
    """Load a state dict by name; or by order, where names differ but all shapes agree (other ports of one network)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on pickles that are not its own; the error says enough
            loaded = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"no weights at {path}: features.weights (or --weights) must be a .pth or .safetensors file") from None
    except Exception as error:  # torch raises many kinds for a file that is none of its own
        raise UserError(f"cannot read weights from {path}: it is not a file of weights alone, or is damaged") from error
    for key in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise UserError(f"{path} does not hold a state dict")
    state = {str(key).removeprefix("module."): value for key, value in loaded.items()}
    wanted = model.state_dict()
    if set(state) != set(wanted):
        if [value.shape for value in state.values()] != [value.shape for value in wanted.values()]:
            odd = sorted(set(wanted) ^ set(state))
            raise UserError(f"{path} does not fit the backbone: {len(odd)} entries differ, the first is {odd[0]}")
        state = dict(zip(wanted, state.values(), strict=True))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{path} does not fit the backbone: {str(error).splitlines()[-1].strip()}") from error


def _hash_weights(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
