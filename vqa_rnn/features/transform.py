"""Reading and scaling of images for a backbone. A transform holds no network, so it can be sent to loader processes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from vqa_rnn.config import FeaturesConfig, Intensity
from vqa_rnn.errors import UserError
from vqa_rnn.features.backbones.base import Preset
from vqa_rnn.features.images import ImageSource, name_of, read_image
from vqa_rnn.features.regions import NO_BOXES, WHOLE


class BoxedImage(NamedTuple):
    """An image with boxes.

    Attributes:
        views: Scaled images: the whole image, then with ``box_method=crop`` each box, cut out.
        boxes: (n + 1, 4) float32 x1 y1 x2 y2 as fractions of the image; row 0 is the whole image.
    """

    views: list[Image.Image]
    boxes: NDArray[np.float32]


class Pixels(NamedTuple):
    """A batch of images for a backbone.

    Attributes:
        views: (V, image_size, image_size, 3) uint8: one view per image, or several with ``box_method=crop``.
        boxes: The boxes of each image, as in ``BoxedImage``; empty unless regions are boxes.
    """

    views: Tensor
    boxes: list[NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Transform:
    """How image files are read and scaled.

    Attributes:
        image_size: Height and width of the result.
        resize: ``squash``, ``pad`` or ``crop``.
        interpolation: Resampling filter.
        crop_share: With ``crop``, the share of the scaled short side that is kept.
        intensity: As in ``read_image``.
        box_method: ``roi`` or ``crop`` if regions are boxes of the data set, else None.
    """

    image_size: int
    resize: str
    interpolation: Image.Resampling
    crop_share: float
    intensity: Intensity
    box_method: str | None

    @classmethod
    def of(cls, config: FeaturesConfig, preset: Preset, image_size: int) -> "Transform":
        """Make a transform from a config. Options that are None are those of the backbone.

        Args:
            config: The settings.
            preset: The images that the backbone was trained with.
            image_size: Height and width of the result.

        Returns:
            The transform.
        """
        return cls(
            image_size=image_size,
            resize=config.resize,
            interpolation=Image.Resampling[(config.interpolation or preset.interpolation).upper()],
            crop_share=config.crop_share or preset.crop_share,
            intensity=config.intensity,
            box_method=config.box_method if config.output == "boxes" else None,
        )

    def prepare(
        self, source: ImageSource, boxes: NDArray[np.float32] = NO_BOXES, content: bytes | None = None, *, mirror: bool = False
    ) -> Image.Image | BoxedImage:
        """Read and scale an image, with ``load_boxed`` if ``output=boxes``, else with ``load``.

        Args:
            source: The image, usually a path.
            boxes: (n, 4) x1 y1 x2 y2 in pixels; ignored unless ``output=boxes``.
            content: The bytes of the file, if it was read before.
            mirror: Flip the image and its boxes left to right.

        Returns:
            An input of ``pack``.

        Raises:
            UserError: The file cannot be read, or a box has no area inside the image.
        """
        if self.box_method is None:
            return self.load(source, content, mirror=mirror)
        return self.load_boxed(source, boxes, content, mirror=mirror)

    def pack(self, images: Sequence[Image.Image | BoxedImage]) -> Pixels:
        """Stack images into one tensor.

        Args:
            images: As returned by ``prepare``; at least one.

        Returns:
            The input of the extractor.
        """
        views = [view for image in images for view in (image.views if isinstance(image, BoxedImage) else [image])]
        boxes = [image.boxes for image in images if isinstance(image, BoxedImage)]
        return Pixels(torch.from_numpy(np.stack([np.asarray(view) for view in views])), boxes)

    def join(self, packs: Sequence[Pixels], *, pin_memory: bool = False) -> Pixels:
        """Concatenate several packs.

        Args:
            packs: As returned by ``pack``; at least one.
            pin_memory: Use pinned memory, from which a GPU copies asynchronously.

        Returns:
            The images of all packs.
        """
        boxes = [box for pack in packs for box in pack.boxes]
        if not pin_memory:
            return Pixels(torch.cat([pack.views for pack in packs]) if len(packs) > 1 else packs[0].views, boxes)
        shape = (sum(len(pack.views) for pack in packs), *packs[0].views.shape[1:])
        views = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        return Pixels(torch.cat([pack.views for pack in packs], out=views), boxes)

    def load(self, source: ImageSource, content: bytes | None = None, *, mirror: bool = False) -> Image.Image:
        """Read and scale an image.

        Args:
            source: The image, usually a path.
            content: The bytes of the file, if it was read before.
            mirror: Flip the image left to right.

        Returns:
            An RGB image, ``image_size`` pixels high and wide, rotated or flipped according to its EXIF data.

        Raises:
            UserError: The file is missing, not an image, or damaged.
        """
        image = read_image(source, content, self.intensity, self._short_side)
        return self.scale(ImageOps.mirror(image) if mirror else image)

    def load_boxed(
        self, source: ImageSource, boxes: NDArray[np.float32], content: bytes | None = None, *, mirror: bool = False
    ) -> BoxedImage:
        """Read and scale an image with boxes.

        Args:
            source: The image, usually a path.
            boxes: (n, 4) x1 y1 x2 y2 in pixels; they are clipped to the image.
            content: The bytes of the file, if it was read before.
            mirror: Flip the image and its boxes left to right.

        Returns:
            The image with its boxes.

        Raises:
            UserError: As in ``load``; or a box has no area inside the image.
        """
        image = read_image(source, content, self.intensity)
        if mirror:
            image, boxes = ImageOps.mirror(image), boxes.copy()
            boxes[:, [0, 2]] = image.width - boxes[:, [2, 0]]
        fractions = (boxes / np.array([image.width, image.height] * 2, dtype=np.float32)).clip(0, 1)
        empty = np.flatnonzero((fractions[:, 2:] <= fractions[:, :2]).any(axis=1))
        if empty.size:
            corners = ", ".join(f"{value:g}" for value in boxes[empty[0]])
            size = f"{image.width} x {image.height} pixels"
            raise UserError(
                f"the box ({corners}) of {name_of(source)} has no area inside the image ({size}); boxes are x1 y1 x2 y2"
            )
        views = [self.scale(image)]
        if self.box_method == "crop":
            views += [self.scale(image.crop(_whole_pixels(box))) for box in boxes.clip(0, [image.width, image.height] * 2)]
        return BoxedImage(views, np.concatenate([WHOLE, fractions.astype(np.float32)]))

    @property
    def _short_side(self) -> int:
        """Length that the short side of an image is scaled to; with ``pad``, an upper bound of it."""
        if self.resize != "crop":
            return self.image_size
        return math.floor(self.image_size / self.crop_share + 1e-6)  # 224 / (224 / 232) is a little less than 232

    def scale(self, image: Image.Image) -> Image.Image:
        """Scale an image.

        Args:
            image: RGB.

        Returns:
            An image that is ``image_size`` pixels high and wide.
        """
        size = self.image_size
        if self.resize == "squash":
            return image.resize((size, size), self.interpolation)
        if self.resize == "pad":
            return ImageOps.pad(image, (size, size), self.interpolation, color=(128, 128, 128))
        short = self._short_side
        width, height = (max(short, short * side // min(image.size)) for side in image.size)
        left, top = round((width - size) / 2), round((height - size) / 2)
        return image.resize((width, height), self.interpolation).crop((left, top, left + size, top + size))

    def in_image(self, boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
        """Convert boxes in the scaled image to boxes in the original image.

        Args:
            boxes: (n, 4) x1 y1 x2 y2 as fractions of the scaled image.
            width: Width of the original image, in pixels.
            height: Height of the original image, in pixels.

        Returns:
            (n, 4) as fractions of the original image; parts in the padding are cut off.
        """
        if self.resize == "squash":
            return boxes
        ends = np.array([width, height] * 2, dtype=np.float32)
        if self.resize == "pad":
            scaled = np.maximum(np.rint(ends * self.image_size / max(width, height)), 1)
            first = -np.rint((self.image_size - scaled) / 2)
        else:
            scaled = np.maximum(self._short_side, self._short_side * ends // min(width, height))
            first = np.rint((scaled - self.image_size) / 2)
        return ((boxes * self.image_size + first) / scaled).clip(0, 1).astype(np.float32)


def _whole_pixels(box: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """Return the rectangle of pixels that a box touches, at least one pixel wide and high."""
    left, top = np.floor(box[:2]).astype(int).tolist()
    right, bottom = np.ceil(box[2:]).astype(int).tolist()
    return left, top, max(right, left + 1), max(bottom, top + 1)
