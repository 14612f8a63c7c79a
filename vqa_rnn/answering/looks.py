"""Pictures of where a model looked, on the image itself."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

DARKEST = 0.2  # how bright a pixel stays that the model did not look at
ORANGE = (230, 159, 0)  # tells itself from most images, to colour-blind people too
WIDEST = 320  # pixels of a thumbnail
SMALL = 128  # pixels of an image that JPEG would blur


def show_weights(image: Image.Image, weights_K: NDArray[np.float32], boxes_K4: NDArray[np.float32]) -> Image.Image:
    """Darken an image where a model did not look, and outline the region that it saw most of.

    A pixel is as bright as the largest weight of a region that it lies in, over the largest of all. Nothing is smoothed: the
    edges of regions are seen.

    Args:
        image: RGB.
        weights_K: (K,) the weight of each region.
        boxes_K4: (K, 4) x1 y1 x2 y2 as fractions of the image.

    Returns:
        The image, of the same size; as it is where all weights are 0.
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
    """Make an image small enough for a page; one that is small is left as it is.

    Args:
        image: RGB.

    Returns:
        No side longer than ``WIDEST``.
    """
    small = image.copy()
    small.thumbnail((WIDEST, WIDEST))
    return small


def side_by_side(images: Sequence[Image.Image]) -> Image.Image:
    """Join images of one size.

    Args:
        images: RGB, at least one.

    Returns:
        All of them in a row, with gaps of white.
    """
    width, height = images[0].size
    step = width + max(2, width // 20)
    joined = Image.new("RGB", (step * len(images) - step + width, height), "white")
    for number, image in enumerate(images):
        joined.paste(image, (step * number, 0))
    return joined


def data_url(image: Image.Image) -> str:
    """An image as text, for a page that needs no other file.

    Args:
        image: RGB.

    Returns:
        A data URL: of a PNG file where the image is small, as drawings are, else of a JPEG file, a tenth as large.
    """
    kind = "png" if max(image.size) <= SMALL else "jpeg"
    content = io.BytesIO()
    image.save(content, kind, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
