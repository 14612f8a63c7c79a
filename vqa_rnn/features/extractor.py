"""Feature extraction with a backbone, without its last layers.

The same extractor is used for offline extraction and for answering. Transfer learning as in Donahue et al. 2014
(https://arxiv.org/abs/1310.1531): the backbone is frozen and never trained here.
"""

import math
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

LARGEST_PRECISION_ERROR = 1e-2  # mean absolute difference of features, over their mean absolute value


def open_extractor(
    config: FeaturesConfig, device: str = "cpu", compute: Mapping[str, Any] | None = None
) -> "Extractor | Detector":
    """Load the extractor of a config.

    Args:
        config: The network and its settings.
        device: The device to compute on.
        compute: How an existing store was computed, if it is continued.

    Returns:
        A ``Detector`` if ``output=regions``, else an ``Extractor``.
    """
    return (Detector if config.output == "regions" else Extractor)(config, device, compute)


class Extractor:
    """Extractor of region features with a backbone.

    Attributes:
        description: What determines the features, except how they are computed: backbone, weights, layers, transform.
        fingerprint: A hash of ``description``.
        weights: Name of the backbone's weights; ``description`` has their hash.
        precision: Precision of the backbone.
        folds_norms: Whether batch norms were folded into the convolutions before them.
        batch_rows: Images per forward pass.
        compiled: Whether the backbone is compiled.
        transform: Reads and scales image files for the backbone.
        num_regions: K; 1 with ``output=boxes``, because the number of boxes differs between images.
        feature_size: D.
    """

    def __init__(self, config: FeaturesConfig, device: str = "cpu", compute: Mapping[str, Any] | None = None) -> None:
        """Load the backbone.

        Args:
            config: The backbone and its settings.
            device: The device to compute on.
            compute: How an existing store was computed, if it is continued. By default the config decides; its ``auto`` depends
                on the processor and the features.

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
            self.model.to(torch.bfloat16)  # without batch norms, no layer needs float32
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
        """Names of the layers whose outputs are used."""
        return self._grids.names

    @property
    def image_size(self) -> int:
        """Height and width that images are scaled to."""
        return self.transform.image_size

    @property
    def compute(self) -> dict[str, Any]:
        """How the features are computed, as recorded in a store."""
        return {
            "precision": self.precision,
            "layout": "channels_last",
            "compiled": self.compiled,
            "folds_norms": self.folds_norms,
            "batch_rows": self.batch_rows,
        }

    @property
    def region_columns(self) -> tuple[str, ...]:
        """Columns of regions besides the features."""
        return () if self.transform.box_method is None else ("boxes",)

    def extract(self, images: Sequence[Image.Image | BoxedImage]) -> list[Regions]:
        """Extract the regions of images.

        Args:
            images: As returned by ``transform.prepare``.

        Returns:
            The regions of each image. Grid cells are ordered row by row from the top left. With ``output=boxes`` the whole
            image comes first. The features of a box are the mean of the grid under it (RoIAlign: He et al. 2017,
            https://arxiv.org/abs/1703.06870, section 3, with one bin per box); with ``box_method=crop`` they are the mean of
            the grid of the cut-out box.
        """
        return self.begin(self.transform.pack(images))()

    def begin(self, images: Pixels) -> Callable[[], list[Regions]]:
        """Start an extraction without waiting for it. A GPU computes while the next images are copied to it.

        Args:
            images: As returned by ``transform.pack``.

        Returns:
            A function that waits for the regions of each image and returns them.
        """
        if self.transform.box_method is None:
            grids = _to_host(self._grid_features(images.views))
            return lambda: [Regions(features, {}) for features in grids()]
        pooled, ends = _to_host(self._box_features(images)), np.cumsum([len(boxes) for boxes in images.boxes])[:-1]
        return lambda: [
            Regions(features, {"boxes": boxes}) for features, boxes in zip(np.split(pooled(), ends), images.boxes, strict=True)
        ]

    def regions(self, images: Sequence[Image.Image]) -> NDArray[Any]:
        """Extract images that all have the same number of regions.

        Args:
            images: As returned by ``transform.load``.

        Returns:
            (len(images), K, D) in the stored dtype.
        """
        return np.stack([regions.features for regions in self.extract(images)])

    def check(self, features: NDArray[Any], image: str | Path) -> None:
        """Check that the features of an image can be stored.

        Args:
            features: (…, D), from ``extract``.
            image: The image, for the error message.

        Raises:
            UserError: A feature is NaN or infinite, or too large for ``features.dtype``; the message names its layer.
        """
        if all_finite(features):
            return
        *_, channel = np.argwhere(~np.isfinite(features))[0]
        layer = self.layers[int(np.searchsorted(np.cumsum(self._channels), channel, side="right"))]
        check_features(features, image, f"the layer {layer} of {self._config.backbone}")

    def _grid_features(self, views: Tensor) -> Tensor:
        """Return (B, K, D) features in the stored dtype."""
        joined = self._grid(views).flatten(2).transpose(1, 2)
        if self._config.output != "grid":
            joined = joined.mean(dim=1, keepdim=True)
        return self._stored(joined)

    def _box_features(self, images: Pixels) -> Tensor:
        """Return (boxes of all images, D) features in the stored dtype."""
        if self.transform.box_method == "crop":
            parts = [self._grid(views).mean(dim=(2, 3)) for views in images.views.split(self.batch_rows)]
            return self._stored(torch.cat(parts))
        grid = self._grid(images.views)
        size = torch.tensor([grid.shape[3], grid.shape[2]] * 2, dtype=torch.float32)
        boxes = [(torch.from_numpy(box) * size).to(grid.device) for box in images.boxes]
        return self._stored(roi_align(grid, boxes, output_size=1, aligned=True).flatten(1))

    def _stored(self, features: Tensor) -> Tensor:
        return features.to(getattr(torch, self._config.dtype)).contiguous()  # ``check`` reports values that overflow

    def _batch(self, views: Tensor) -> Tensor:
        """Return (V, 3, image_size, image_size) normalised pixels in the backbone's dtype."""
        batch = views.to(self._device, non_blocking=True).permute(0, 3, 1, 2)  # copied as bytes, a quarter of float32
        batch = torch.addcmul(self._shift, batch.to(torch.float32), self._factor)
        return batch.to(next(self.model.parameters()).dtype).contiguous(memory_format=torch.channels_last)

    def _grid(self, views: Tensor) -> Tensor:
        """Return (V, D, side, side) float32: the outputs of the layers, pooled to one size and concatenated."""
        return self._joined(self._outputs(views))

    def _outputs(self, views: Tensor) -> list[Tensor]:
        """Return the outputs of the layers."""
        missing = self.batch_rows - len(views) if self.compiled else 0  # compiled for one batch size
        batch = self._batch(torch.cat([views, views[-1:].expand(missing, -1, -1, -1)]) if missing else views)
        casts = self.precision == "bfloat16" and batch.dtype == torch.float32
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=casts):
            return [output[: len(views)] for output in self._grids(batch)]

    def _joined(self, outputs: Sequence[Tensor]) -> Tensor:
        """Pool the outputs of the layers to one size and concatenate them."""
        finest = max(output.shape[-1] for output in outputs)
        size = self._config.grid_size or outputs[-1].shape[-1]
        if size > finest:
            raise UserError(
                f"features.grid_size={size}, but {', '.join(self.layers)} of {self._config.backbone} gives {finest} x "
                f"{finest} cells at features.image_size={self.image_size}: take a smaller grid or a larger image"
            )
        grids = [output.float() for output in outputs]
        grids = [grid if grid.shape[-1] == size else functional.adaptive_avg_pool2d(grid, size) for grid in grids]
        return grids[0] if len(grids) == 1 else torch.cat(grids, dim=1)

    def _auto_precision(self) -> Precision:
        """Return bfloat16 if the processor supports it and the features stay close to those of float32, else float32."""
        if native_precision(self._device) == "float32":
            return "float32"
        exact = self._grid(self._noise)
        self.precision = "bfloat16"
        rough = self._grid(self._noise)
        return "bfloat16" if relative_difference([rough], [exact]) < LARGEST_PRECISION_ERROR else "float32"

    @property
    def _noise(self) -> Tensor:
        """(1, image_size, image_size, 3) uint8: a fixed random image, to compare ways of computing."""
        size = self.image_size
        random = np.random.default_rng(0)
        smooth = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
        pixels = np.asarray(smooth).astype(np.int16) + random.integers(-20, 21, (size, size, 3), np.int16)
        return torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)[None])

    def _try_out(self) -> tuple[int, int]:
        """Run one black image, keep the number of channels of each layer, and return K and D.

        Raise ``UserError`` if the layers give no regions.
        """
        config = self._config
        try:
            outputs = self._outputs(torch.zeros(1, self.image_size, self.image_size, 3, dtype=torch.uint8))
            grid = self._joined(outputs)
        except (RuntimeError, AssertionError, AttributeError, ValueError, TypeError) as error:
            raise UserError(
                f"{config.backbone} gives no regions from {', '.join(self.layers)} at features.image_size="
                f"{self.image_size}: {error}"
            ) from error
        self._channels = [output.shape[1] for output in outputs]
        return math.prod(grid.shape[2:]) if config.output == "grid" else 1, grid.shape[1]


def images_a_pass(image_size: int, precision: Precision, device: torch.device, *, compiled: bool = False) -> int:
    """Return the default number of images per forward pass. It is a fixed rule, not a measurement.

    Args:
        image_size: Height and width of the images.
        precision: Precision of the backbone.
        device: The device to compute on.
        compiled: Whether the backbone is compiled. Most of its layers then do not write their outputs to memory.

    Returns:
        On a CPU, as many images as keep the outputs of a layer in its caches. A GPU needs more images to be busy
        (docs/performance.md).
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
    """Start to copy features to the host. The returned function waits for this copy, not for work started later."""
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
