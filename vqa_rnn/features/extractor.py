"""A CNN with its last layers cut off: the backbone, and how it computes.

The same extractor serves offline extraction and answering. Transfer learning as in Donahue et al. 2014
(https://arxiv.org/abs/1310.1531): the backbone is frozen and never trained here.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align

from vqa_rnn.config import FeaturesConfig
from vqa_rnn.errors import UserError
from vqa_rnn.features.backbones.base import hash_description
from vqa_rnn.features.backbones.layers import LayerGrids, relative_difference
from vqa_rnn.features.detectors import Detector
from vqa_rnn.features.regions import Regions, all_finite, check_features
from vqa_rnn.features.transform import BoxedImage, Pixels, Transform
from vqa_rnn.precision import Precision, has_large_caches, native_precision

LARGEST_PRECISION_ERROR = 1e-2  # mean difference of features, over their mean size


def open_extractor(
    config: FeaturesConfig, device: str = "cpu", compute: Mapping[str, Any] | None = None
) -> "Extractor | Detector":
    """Load what makes the features of a config.

    Args:
        config: Which network, and how.
        device: Where to compute.
        compute: How a store was computed that this goes on with.

    Returns:
        A detector where it proposes the regions, else a backbone.
    """
    return (Detector if config.output == "regions" else Extractor)(config, device, compute)


class Extractor:
    """Images to region features.

    Attributes:
        description: Everything that fixes the features but the way they are computed: backbone, weights, layers, transform.
        fingerprint: A hash of ``description``.
        weights: What the backbone's weights are called; ``description`` has their hash.
        precision: How the backbone computes.
        folds_norms: Whether batch norms were folded into the convolutions before them.
        batch_rows: Images a pass.
        compiled: Whether the backbone is compiled.
        transform: From an image file to pixels in the backbone's size.
        num_regions: K; 1 where regions are boxes, as only the whole image is in all images.
        feature_size: D.
    """

    def __init__(self, config: FeaturesConfig, device: str = "cpu", compute: Mapping[str, Any] | None = None) -> None:
        """Load the backbone.

        Args:
            config: Which one, and how.
            device: Where to compute.
            compute: How a store was computed that this goes on with; by default as ``config`` says, where ``auto`` looks at the
                processor and the features.

        Raises:
            UserError: The backbone, its weights or a layer does not exist.
        """
        self._config = config
        self._device = torch.device(device)
        self.precision: Precision = "float32"
        self.compiled = False
        self._grids = LayerGrids(config, self._device)
        backbone = self._grids.backbone
        self.weights, preset = backbone.weights, backbone.network.preset
        mean, std = config.mean or preset.mean, config.std or preset.std
        self.transform = Transform.of(config, preset, self._grids.image_size)
        self._factor = 1 / (torch.tensor(std).view(1, 3, 1, 1).to(self._device) * 255)
        self._shift = -torch.tensor(mean).view(1, 3, 1, 1).to(self._device) * 255 * self._factor
        self.description: dict[str, Any] = {
            "backbone": config.backbone_name,
            "weights_sha256": backbone.weights_sha256,
            "layer": list(self.layers),
            "transform": {
                "intensity": config.intensity,
                "image_size": self.transform.image_size,
                "resize": config.resize,
                "interpolation": self.transform.interpolation.name.lower(),
                **({"crop_share": self.transform.crop_share} if config.resize == "crop" else {}),
                "mean": list(mean),
                "std": list(std),
                "output": config.output,
                "grid_size": config.grid_size,
                **({"box_method": config.box_method} if config.output == "boxes" else {}),
            },
        }
        self.fingerprint = hash_description(self.description)
        self.num_regions, self.feature_size = self._try_out()
        may_fold = compute is None or compute.get("folds_norms")
        self.folds_norms = self._grids.fold_norms(self._batch(self._noise)) if may_fold else False
        precision = config.precision if compute is None else compute["precision"]
        self.precision = self._auto_precision() if precision == "auto" else precision
        if self.precision == "bfloat16" and self.folds_norms:
            self.model.to(torch.bfloat16)  # without norms nothing is left that needs float32
        compiles = config.compile if compute is None else bool(compute.get("compiled"))
        batch_rows = config.batch_rows if compute is None else compute["batch_rows"]
        self.batch_rows: int = batch_rows or images_a_pass(self.image_size, self.precision, self._device, compiled=compiles)
        if compiles:
            self.compiled = self._grids.compile(self._batch(self._noise.expand(self.batch_rows, -1, -1, -1)))

    @property
    def model(self) -> nn.Module:
        """The backbone."""
        return self._grids.model

    @property
    def layers(self) -> Sequence[str]:
        """Names of the layers whose output is taken."""
        return self._grids.names

    @property
    def image_size(self) -> int:
        """Height and width that images are scaled to."""
        return self.transform.image_size

    @property
    def compute(self) -> dict[str, Any]:
        """How it computes, to be recorded in a store."""
        return {
            "precision": self.precision,
            "layout": "channels_last",
            "compiled": self.compiled,
            "folds_norms": self.folds_norms,
            "batch_rows": self.batch_rows,
        }

    @property
    def region_columns(self) -> tuple[str, ...]:
        """What it says of regions besides their features."""
        return () if self.transform.box_method is None else ("boxes",)

    def extract(self, images: Sequence[Image.Image | BoxedImage]) -> list[Regions]:
        """Run the backbone.

        Args:
            images: As ``transform.prepare`` gives them.

        Returns:
            The regions of each image. A grid's cells go row by row from the top left. With ``output=boxes`` the whole image
            comes first; a box is the mean of the grid under it (RoIAlign: He et al. 2017, https://arxiv.org/abs/1703.06870,
            section 3, one bin a box), or of the grid of the box cut out.
        """
        return self.begin(self.transform.pack(images))()

    def begin(self, images: Pixels) -> Callable[[], list[Regions]]:
        """Start what ``extract`` does. A GPU computes on while the next images are brought to it.

        Args:
            images: As ``transform.pack`` gives them.

        Returns:
            Waits for the regions of each image.
        """
        if self.transform.box_method is None:
            grids = _to_host(self._grid_features(images.views))
            return lambda: [Regions(features, {}) for features in grids()]
        pooled, ends = _to_host(self._box_features(images)), np.cumsum([len(boxes) for boxes in images.boxes])[:-1]
        return lambda: [
            Regions(features, {"boxes": boxes}) for features, boxes in zip(np.split(pooled(), ends), images.boxes, strict=True)
        ]

    def regions(self, images: Sequence[Image.Image]) -> NDArray[Any]:
        """Run the backbone where every image has as many regions.

        Args:
            images: As ``transform.load`` gives them.

        Returns:
            (len(images), K, D) in the stored dtype.
        """
        return np.stack([regions.features for regions in self.extract(images)])

    def check(self, features: NDArray[Any], image: str | Path) -> None:
        """See that an image's features can be stored.

        Args:
            features: (…, D), from ``extract``.
            image: The image, for the error message.

        Raises:
            UserError: One of them is no number, or too large for ``features.dtype``: of which layer.
        """
        if all_finite(features):
            return
        *_, channel = np.argwhere(~np.isfinite(features))[0]
        layer = self.layers[int(np.searchsorted(np.cumsum(self._channels), channel, side="right"))]
        check_features(features, image, f"the layer {layer} of {self._config.backbone}")

    def _grid_features(self, views: Tensor) -> Tensor:
        """(B, K, D) in the stored dtype."""
        joined = self._grid(views).flatten(2).transpose(1, 2)
        if self._config.output != "grid":
            joined = joined.mean(dim=1, keepdim=True)
        return self._stored(joined)

    def _box_features(self, images: Pixels) -> Tensor:
        """(boxes of all images, D) in the stored dtype."""
        if self.transform.box_method == "crop":
            parts = [self._grid(views).mean(dim=(2, 3)) for views in images.views.split(self.batch_rows)]
            return self._stored(torch.cat(parts))
        grid = self._grid(images.views)
        size = torch.tensor([grid.shape[3], grid.shape[2]] * 2, dtype=torch.float32)
        boxes = [(torch.from_numpy(box) * size).to(grid.device) for box in images.boxes]
        return self._stored(roi_align(grid, boxes, output_size=1, aligned=True).flatten(1))

    def _stored(self, features: Tensor) -> Tensor:
        return features.to(getattr(torch, self._config.dtype)).contiguous()  # ``check`` looks for what overflows

    def _batch(self, views: Tensor) -> Tensor:
        """(V, 3, image_size, image_size) pixels as the backbone takes them."""
        batch = views.to(self._device, non_blocking=True).permute(0, 3, 1, 2)  # bytes travel, a quarter of what floats take
        batch = torch.addcmul(self._shift, batch.to(torch.float32), self._factor)
        return batch.to(next(self.model.parameters()).dtype).contiguous(memory_format=torch.channels_last)

    def _grid(self, views: Tensor) -> Tensor:
        """(V, D, side, side) float32: the outputs of the layers, pooled to one grid."""
        missing = self.batch_rows - len(views) if self.compiled else 0  # it is compiled for batches of one size
        batch = self._batch(torch.cat([views, views[-1:].expand(missing, -1, -1, -1)]) if missing else views)
        casts = self.precision == "bfloat16" and batch.dtype == torch.float32
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=casts):
            outputs = [output[: len(views)] for output in self._grids(batch)]
        finest = max(output.shape[-1] for output in outputs)
        size = self._config.grid_size or outputs[-1].shape[-1]
        if size > finest:
            raise UserError(
                f"features.grid_size={size}, but {', '.join(self.layers)} of {self._config.backbone} gives {finest} x "
                f"{finest} cells at features.image_size={self.image_size}: take a smaller grid or a larger image"
            )
        self._channels = [output.shape[1] for output in outputs]
        grids = [output.float() for output in outputs]
        grids = [grid if grid.shape[-1] == size else functional.adaptive_avg_pool2d(grid, size) for grid in grids]
        return grids[0] if len(grids) == 1 else torch.cat(grids, dim=1)

    def _auto_precision(self) -> Precision:
        """What the processor has, if the features are nearly those of float32."""
        if native_precision(self._device) == "float32":
            return "float32"
        exact = self._grid(self._noise)
        self.precision = "bfloat16"
        rough = self._grid(self._noise)
        return "bfloat16" if relative_difference([rough], [exact]) < LARGEST_PRECISION_ERROR else "float32"

    @property
    def _noise(self) -> Tensor:
        """(1, image_size, image_size, 3) uint8: an image to compare ways of computing by, the same every time."""
        size = self.image_size
        random = np.random.default_rng(0)
        smooth = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
        pixels = np.asarray(smooth).astype(np.int16) + random.integers(-20, 21, (size, size, 3), np.int16)
        return torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)[None])

    def _try_out(self) -> tuple[int, int]:
        """Run one grey image: K and D, or why there are none."""
        config = self._config
        try:
            sample = self._grid_features(torch.zeros(1, self.image_size, self.image_size, 3, dtype=torch.uint8))
        except (RuntimeError, AssertionError, AttributeError, ValueError, TypeError) as error:
            raise UserError(
                f"{config.backbone} gives no regions from {', '.join(self.layers)} at features.image_size="
                f"{self.image_size}: {error}"
            ) from error
        return sample.shape[1], sample.shape[2]


def images_a_pass(image_size: int, precision: Precision, device: torch.device, *, compiled: bool = False) -> int:
    """How many images of a size go through a backbone at once where the user does not say. A rule and not a measurement.

    Args:
        image_size: Height and width.
        precision: How it computes.
        device: Where.
        compiled: Whether the backbone is compiled: then most of its layers leave nothing behind.

    Returns:
        As many as leave the outputs of a layer in a CPU's caches; a GPU needs more to be busy (docs/performance.md).
    """
    most = 128
    if device.type != "cpu":
        at_224 = most = 64
    elif has_large_caches():
        at_224 = 32
    else:
        at_224 = 16 if compiled or precision == "bfloat16" else 8
    return min(most, max(1, round(at_224 * (224 / image_size) ** 2)))


def _to_host(features: Tensor) -> Callable[[], NDArray[Any]]:
    """Begin to copy features from their device; what comes back waits for them, and for nothing that was begun later."""
    if features.device.type != "cuda":
        array = features.cpu().numpy()
        return lambda: array
    copied = torch.empty(features.shape, dtype=features.dtype, pin_memory=True).copy_(features, non_blocking=True)
    done = torch.cuda.Event()
    done.record()

    def wait() -> NDArray[Any]:
        done.synchronize()
        return copied.numpy()

    return wait
