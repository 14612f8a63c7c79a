"""Code shared by the backbones of all libraries."""

import hashlib
import json
import logging
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vqa_rnn.config import FeaturesConfig
from vqa_rnn.errors import UserError
from vqa_rnn.features.weights import weights_file

State = Mapping[str, Tensor]


class Preset(NamedTuple):
    """The images that a backbone was trained with.

    Attributes:
        image_size: Height and width.
        mean: Mean of each channel, for pixels from 0 to 1.
        std: Standard deviation of each channel.
        interpolation: Resampling filter, one of Pillow's names in lower case.
        crop_share: With a centre crop, the share of the short side that is kept.
    """

    image_size: int
    mean: Sequence[float]
    std: Sequence[float]
    interpolation: str
    crop_share: float


@dataclass(frozen=True, slots=True)
class Network:
    """A network as built by its library.

    Attributes:
        model: The network.
        weights: Name of its weights, such as ``resnet50.a1_in1k``; empty if it has none.
        preset: The images that it was trained with.
        num_prefix_tokens: Number of tokens (class, registers) before the patch tokens of a vision transformer.
        channels_last: Whether its grids are (B, H, W, D).
        resize: Prepares it for another image size, the argument; raises ``ValueError`` if that is not possible.
        patch_size: Patch size of a vision transformer, in pixels; None for other networks.
        options: Further arguments of ``forward``.
        convert_names: Renames the entries of a weight file to those of the model, if the library knows both.
    """

    model: nn.Module
    weights: str
    preset: Preset
    num_prefix_tokens: int = 0
    channels_last: bool = False
    resize: Callable[[int], None] = lambda size: None
    patch_size: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    convert_names: Callable[[State], State] = lambda state: state


def load_network(config: FeaturesConfig, modules: Mapping[str, str]) -> tuple[Any, str]:
    """Build the network of a config with its weights.

    Args:
        config: The network and its weights.
        modules: By library name, the module whose ``build`` makes the network; imported only when used.

    Returns:
        The result of ``build``, and the name of the weights.

    Raises:
        UserError: The network or its weights do not exist, or they do not fit.
    """
    source, colon, name = config.weights.partition(":")
    from_hub = source == "hub"
    try:
        module = import_module(modules[config.library])
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # no warnings about retries: the error says why
        network = module.build(config.backbone, from_hub, name if from_hub and colon else None)
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        if config.library == "transformers" and not Path(config.backbone).exists():
            why = f"there is no such folder, and the hub reports: {why}"
        own, option, kind = "a file of weights", "weights", "FILE"
        if config.library == "transformers":
            own, option, kind = "a folder", "backbone", "FOLDER"
        raise UserError(
            f"cannot get {config.backbone}: {why}; give {own} that you have with features.{option}={kind} "
            f"(ask: --weights {kind}), or take another features.backbone"
        ) from error
    path = weights_file(config)
    if path is None:
        return network, network.weights
    load_weights(network.model, path, network.convert_names)
    return network, path.name


def check_patches(patch_size: int, size: int) -> None:
    """Check that an image size is a multiple of the patch size. Otherwise the last pixels would be ignored.

    Args:
        patch_size: Patch size of a vision transformer, in pixels.
        size: Height and width of the images, in pixels.

    Raises:
        ValueError: It is not a multiple.
    """
    if size % patch_size:
        raise ValueError(f"the image size must be a multiple of its patch size, {patch_size} pixels")


def load_weights(model: nn.Module, path: Path, convert_names: Callable[[State], State]) -> None:
    """Load a state dict by name, or by order if names differ but all shapes agree (other ports of the same network).

    Args:
        model: The network.
        path: A ``.safetensors`` file, or a torch file that holds only tensors.
        convert_names: As in ``Network``; used if names differ.

    Raises:
        UserError: The file is missing, of another kind, or does not fit.
    """
    if path.is_dir():
        raise UserError(
            f"cannot read weights from {path}, a folder: give the file in it; a whole folder of transformers is "
            f"features.backbone={path} features.weights=hub"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about foreign pickles; the error says enough
            loaded = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(
            f"no weights at {path}: features.weights (ask: --weights) must be a .pth or .safetensors file"
        ) from None
    except Exception as error:  # torch raises many kinds of errors for other files
        raise UserError(f"cannot read weights from {path}: it is not a file of weights alone, or is damaged") from error
    for key in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise UserError(f"{path} does not hold a state dict")
    state: State = {str(key).removeprefix("module."): value for key, value in loaded.items()}
    wanted = model.state_dict()
    if set(state) != set(wanted):
        state = convert_names(state)
    if set(state) != set(wanted):
        if [value.shape for value in state.values()] != [value.shape for value in wanted.values()]:
            odd = sorted(set(wanted) ^ set(state))
            raise UserError(f"{path} does not fit the backbone: {len(odd)} entries differ, the first is {odd[0]}")
        state = dict(zip(wanted, state.values(), strict=True))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{path} does not fit the backbone: {str(error).splitlines()[-1].strip()}") from error


def hash_description(description: Mapping[str, Any]) -> str:
    """Hash the description of an extractor.

    Args:
        description: As in ``Extractor``.

    Returns:
        Its fingerprint, 16 hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]


def hash_weights(model: nn.Module) -> str:
    """Hash a network's weights.

    Args:
        model: The network.

    Returns:
        SHA-256 of the names and bytes of its state dict.
    """
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
