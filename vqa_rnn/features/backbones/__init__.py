"""Backbones with their weights: from a package, from the hub of their library, or from a file.

Each library is a module with a function ``build``. It is imported only when one of its backbones is used.
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
        weights: Name of the weights; the name of their file if they come from one.
        weights_sha256: A hash of the weights as loaded; it does not depend on the image size.
        image_size: Height and width of the images.
    """

    network: Network
    weights: str
    weights_sha256: str
    image_size: int

    @property
    def num_patches(self) -> int | None:
        """Number of patches per image of a vision transformer; None for other networks."""
        return None if self.network.patch_size is None else (self.image_size // self.network.patch_size) ** 2


def load_backbone(config: FeaturesConfig) -> Backbone:
    """Build a backbone with its weights.

    Args:
        config: The backbone, its weights and the image size.

    Returns:
        The backbone.

    Raises:
        UserError: The backbone or its weights do not exist, or it does not support this image size.
    """
    network, weights = load_network(config, MODULES)
    weights_sha256 = hash_weights(network.model)
    size = config.image_size or network.preset.image_size
    try:
        network.resize(size)
    except (RuntimeError, AssertionError, AttributeError, ValueError) as error:
        raise UserError(f"{config.backbone} cannot take images of features.image_size={size}: {error}") from error
    return Backbone(network, weights, weights_sha256, size)
