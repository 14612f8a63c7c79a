"""Regions that a detector proposes, with the detector's features.

This is bottom-up attention (Anderson et al. 2018, https://arxiv.org/abs/1707.07998). Each library is a module with a function
``build``. It is imported only when one of its detectors is used.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vqa_rnn.config import REGION_OPTIONS, FeaturesConfig
from vqa_rnn.errors import UserError
from vqa_rnn.features.backbones.base import hash_description, hash_weights, load_network
from vqa_rnn.features.detectors.base import DetectorNetwork, DetectorTransform, select_regions
from vqa_rnn.features.regions import WHOLE, Regions, check_features

MODULES = {"torchvision": f"{__name__}.torchvision", "transformers": f"{__name__}.huggingface"}
LARGEST_OVERLAP = 0.3


class Detector:
    """Extractor of regions that a detector proposes, with the interface of ``Extractor``.

    Images are processed one at a time. In a batch they would be padded, and their features would depend on each other.

    Attributes:
        description: What determines the features, except how they are computed.
        fingerprint: A hash of ``description``.
        weights: Name of the weights; ``description`` has their hash.
        compute: How the features are computed, as recorded in a store.
        batch_rows: 1.
        region_columns: Boxes, labels and scores.
        transform: Reads image files for the detector.
        label_names: Names of its classes.
        num_regions: K: the whole image and at most ``max_regions`` regions.
        feature_size: D.
    """

    batch_rows = 1
    region_columns = ("boxes", "labels", "scores")

    def __init__(self, config: FeaturesConfig, device: str = "cpu", compute: Mapping[str, Any] | None = None) -> None:
        """Load the detector.

        Args:
            config: The detector and its settings.
            device: The device to compute on.
            compute: Ignored: there is only one way to compute.

        Raises:
            UserError: The detector or its weights do not exist.
        """
        self._config, self._device = config, torch.device(device)
        self._network: DetectorNetwork
        self._network, self.weights = load_network(config, MODULES)
        self.description: dict[str, Any] = {
            "backbone": config.backbone_name,
            "weights_sha256": hash_weights(self._network.model),
            "layer": [],
            "transform": {
                "intensity": config.intensity,
                "image_size": config.image_size or self._network.image_size,
                "output": config.output,
                "largest_overlap": LARGEST_OVERLAP if self._network.suppresses else None,
                **{name: getattr(config, name) for name in REGION_OPTIONS},
            },
        }
        self.fingerprint = hash_description(self.description)
        self.compute = {"precision": "float32", "layout": "contiguous", "compiled": False, "batch_rows": self.batch_rows}
        self._network.model.eval().requires_grad_(False).to(self._device)
        self._network.set_image_size(self.description["transform"]["image_size"])
        self.transform = DetectorTransform(self._network.convert, config.intensity)
        self.label_names = list(self._network.label_names)
        self.num_regions = 1 + config.max_regions
        self.feature_size = self._try_out()

    def extract(self, images: Sequence[Any]) -> list[Regions]:
        """Detect the regions of images.

        Args:
            images: As returned by ``transform.prepare``.

        Returns:
            For each image its regions with boxes, labels and scores: first the whole image, with label -1 and score 1, then the
            others by descending score.
        """
        return [self._regions(image) for image in images]

    def begin(self, images: Sequence[Any]) -> Callable[[], list[Regions]]:
        """Run ``extract``. It is not asynchronous, because suppression waits for the device in any case.

        Args:
            images: As returned by ``transform.prepare``.

        Returns:
            A function that returns the regions of each image.
        """
        regions = self.extract(images)
        return lambda: regions

    def check(self, features: NDArray[Any], image: str | Path) -> None:
        """Check that the features of an image can be stored.

        Args:
            features: (n, D), from ``extract``.
            image: The image, for the error message.

        Raises:
            UserError: A feature is NaN or infinite, or too large for ``features.dtype``.
        """
        check_features(features, image, self._config.backbone)

    def _regions(self, image: Any) -> Regions:
        config = self._config
        with torch.inference_mode():
            found = self._network.propose(image, self._device)
            overlap = LARGEST_OVERLAP if self._network.suppresses else None
            chosen = select_regions(
                found.boxes, found.scores, config.min_regions, config.max_regions, config.region_score, overlap
            )
            features = torch.cat([found.whole[None], found.features[chosen.places]]).to(getattr(torch, config.dtype))
        columns = {
            "boxes": np.concatenate([WHOLE, found.boxes[chosen.places].cpu().numpy()]),
            "labels": np.concatenate([[-1], chosen.labels.cpu().numpy()]).astype(np.int32),
            "scores": np.concatenate([[1], chosen.scores.cpu().numpy()]).astype(np.float32),
        }
        return Regions(features.cpu().numpy(), columns)

    def _try_out(self) -> int:
        """Run one black image and return D. Raise ``UserError`` if there are no features."""
        try:
            return self._regions(self._network.convert(Image.new("RGB", (64, 64)))).features.shape[1]
        except (RuntimeError, AssertionError, AttributeError, ValueError, TypeError) as error:
            raise UserError(f"{self._config.backbone} gives no regions: {error}") from error
