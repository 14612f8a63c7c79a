"""Backbones with their weights: from a package, from the hub of their library, or from a file.

A library is a module with one function ``build``; each is imported only when a backbone of it is wanted.
"""

from dataclasses import dataclass

from vqa_rnn.config import FeaturesConfig
from vqa_rnn.errors import UserError
from vqa_rnn.features.backbones.base import Network, Preset, hash_weights, load_network

__all__ = ["Backbone", "Network", "Preset", "load_backbone"]

MODULES = {
    "timm": f"{__name__}.timm",
    "torchvision": f"{__name__}.torchvision",
    "transformers": f"{__name__}.huggingface",
}


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network with its weights, ready for images of one size.

    Attributes:
        network: The network.
        weights: What its weights are called; the name of the file where they come from one.
        weights_sha256: A hash of the weights as they were loaded; the image size does not change it.
        image_size: Height and width of the images that it takes.
    """

    network: Network
    weights: str
    weights_sha256: str
    image_size: int

    @property
    def num_patches(self) -> int | None:
        """How many patches a vision transformer cuts an image into; None for other networks."""
        return None if self.network.patch_size is None else (self.image_size // self.network.patch_size) ** 2


def load_backbone(config: FeaturesConfig) -> Backbone:
    """Build a backbone with its weights.

    Args:
        config: Which one.

    Returns:
        The backbone.

    Raises:
        UserError: The backbone or its weights do not exist, or it cannot take images of this size.
    """
    network, weights = load_network(config, MODULES)
    weights_sha256 = hash_weights(network.model)
    size = config.image_size or network.preset.image_size
    try:
        network.resize(size)
    except (RuntimeError, AssertionError, AttributeError, ValueError) as error:
        raise UserError(f"{config.backbone} cannot take images of features.image_size={size}: {error}") from error
    return Backbone(network, weights, weights_sha256, size)
