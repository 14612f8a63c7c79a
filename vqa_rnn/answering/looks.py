"""Pictures that show on the image where a model looked."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

DARKEST = 0.2  # brightness of a pixel that the model did not look at
ORANGE = (230, 159, 0)  # stands out from most images, also for colour-blind people
WIDEST = 320  # of a thumbnail, in pixels
SMALL = 128  # in pixels: images up to this size would be blurred by JPEG


def show_weights(image: Image.Image, weights_K: NDArray[np.float32], boxes_K4: NDArray[np.float32]) -> Image.Image:
    """Darken an image where a model did not look, and outline the region with the largest weight.

    The brightness of a pixel, from ``DARKEST`` to 1, is linear in the largest weight of the regions that contain it, relative
    to the largest weight of all regions. Nothing is smoothed, so the edges of regions are visible.

    Args:
        image: RGB.
        weights_K: (K,) the weight of each region.
        boxes_K4: (K, 4) x1 y1 x2 y2 as fractions of the image.

    Returns:
        The image, of the same size; unchanged if all weights are 0.
    """
    if weights_K.max(initial=0) <= 0:
        return image
    width, height = image.size
    brightness = np.zeros((height, width), dtype=np.float32)
    corners = np.rint(boxes_K4 * np.array([width, height, width, height])).astype(int)
    for weight, (left, top, right, bottom) in zip(weights_K, corners, strict=True):
        inside = brightness[top : max(bottom, top + 1), left : max(right, left + 1)]
        np.maximum(inside, weight, out=inside)
    brightness = DARKEST + (1 - DARKEST) * brightness / float(weights_K.max())
    shown = Image.fromarray((np.asarray(image) * brightness[:, :, None]).astype(np.uint8))
    left, top, right, bottom = corners[weights_K.argmax()].tolist()
    corner = max(right - 1, left), max(bottom - 1, top)
    ImageDraw.Draw(shown).rectangle([(left, top), corner], outline=ORANGE, width=max(1, min(image.size) // 120))
    return shown


def thumbnail(image: Image.Image) -> Image.Image:
    """Shrink an image for display on a page; a small image keeps its size.

    Args:
        image: RGB.

    Returns:
        A copy with no side longer than ``WIDEST``.
    """
    small = image.copy()
    small.thumbnail((WIDEST, WIDEST))
    return small


def side_by_side(images: Sequence[Image.Image]) -> Image.Image:
    """Join images of the same size in a row.

    Args:
        images: RGB, at least one.

    Returns:
        The joined image, with white gaps.
    """
    width, height = images[0].size
    step = width + max(2, width // 20)
    joined = Image.new("RGB", (step * len(images) - step + width, height), "white")
    for number, image in enumerate(images):
        joined.paste(image, (step * number, 0))
    return joined


def data_url(image: Image.Image) -> str:
    """Encode an image as a data URL, for a page that needs no other files.

    Args:
        image: RGB.

    Returns:
        The URL of a PNG file if the image is small, as drawings are, else of a JPEG file, which is a tenth as large.
    """
    kind = "png" if max(image.size) <= SMALL else "jpeg"
    content = io.BytesIO()
    image.save(content, kind, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
