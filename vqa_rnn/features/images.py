"""Conversion of images to upright 8-bit RGB."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vqa_rnn.config import Intensity
from vqa_rnn.errors import UserError
from vqa_rnn.features.image_files import check_size, decoded, identified, opened

log = logging.getLogger("vqa_rnn")

ImageSource = str | Path | bytes | Image.Image | NDArray[Any]
"""The path of a file, its bytes, a Pillow image, or an array of shape (height, width) or (height, width, 3 or 4) with uint8 or
with floats from 0 to 1."""

CONSTANT = 128
_PIXELS_AT_ONCE = 2**22  # converted to RGB at a time
_dim_image_is_new = threading.Lock()  # acquired once and never released, so that all threads together warn once


def read_image(
    source: ImageSource, content: bytes | None = None, intensity: Intensity = "full", smallest_side: int | None = None
) -> Image.Image:
    """Read an image.

    Args:
        source: The image, usually a path.
        content: The bytes of the file, if it was read before.
        intensity: Which values become black and white if pixels have more than 8 bits. ``full``: 0 and 65535; for floats 0 and
            1, or 0 and 255 if a value is larger than 1. ``image``: the smallest and largest value of the image; if all values
            are equal, the image becomes mid grey.
        smallest_side: Length that the short side is later scaled to, or an upper bound of it. A much larger JPEG is then
            decoded at a half, a quarter or an eighth of its size, with both sides at least twice this length, which is faster.

    Returns:
        An RGB image, rotated or flipped according to its EXIF data. Transparent parts are shown on white. For an animation, its
        first frame.

    Raises:
        UserError: The file is missing, not an image, too large or damaged; its values are not finite or outside the range of
            ``full``; or an array does not have the shape or dtype of an image.
    """
    name = name_of(source)
    if isinstance(source, np.ndarray):
        source = _of_array(source)
    if isinstance(source, Image.Image):
        return _eight_bit_rgb(decoded(source, name), intensity, name)
    with opened(source if content is None else content) as file:
        image = identified(file, name)
        check_size(image, name)
        if smallest_side is not None:
            image.draft(None, (2 * smallest_side, 2 * smallest_side))  # ignored by formats other than JPEG
        return _eight_bit_rgb(decoded(image, name), intensity, name)


def name_of(source: ImageSource) -> str:
    """Return the name of an image for messages.

    Args:
        source: The image.

    Returns:
        Its path; for an image without a path, its kind, such as ``<array>``.
    """
    if isinstance(source, str | Path):
        return str(source) or "."
    if isinstance(source, bytes):
        return f"<{len(source):,} bytes>"
    return "<array>" if isinstance(source, np.ndarray) else "<image>"


def _of_array(array: NDArray[Any]) -> Image.Image:
    height_width, channels = array.shape[:2], array.shape[2:]
    if len(height_width) < 2 or 0 in height_width or channels not in ((), (1,), (3,), (4,)):
        raise UserError(
            f"an array of shape {array.shape} is no image: give (height, width), or (height, width, 3) of colours or 4 with "
            "transparency"
        )
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise UserError("an array of floats is an image where all are from 0 to 1: scale it, or give uint8")
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise UserError(f"an array of {array.dtype} is no image: give uint8, or floats from 0 to 1")
    return Image.fromarray(array[:, :, 0] if channels == (1,) else array)


def _eight_bit_rgb(image: Image.Image, intensity: Intensity, name: str) -> Image.Image:
    """Convert an image to RGB, some rows at a time. Transparent parts are shown on white."""
    has_more_than_8_bits = image.mode.startswith("I") or image.mode == "F"
    convert = _scaling(image, intensity, name) if has_more_than_8_bits else _strip_to_rgb
    if image.width * image.height <= _PIXELS_AT_ONCE:
        return convert(image)
    rgb = Image.new("RGB", image.size)
    for box in _strips(image):
        rgb.paste(convert(image.crop(box)), box)
    return rgb


def _strips(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    rows = max(1, _PIXELS_AT_ONCE // image.width)
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(top + rows, image.height)


def _strip_to_rgb(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _scaling(image: Image.Image, intensity: Intensity, name: str) -> Callable[[Image.Image], Image.Image]:
    """Return a function that converts strips of a 16- or 32-bit grey image to RGB, by the value range of the whole image."""
    strips = (np.asarray(image.crop(box)) for box in _strips(image))
    ends = np.array([(strip.min(), strip.max(), np.isfinite(strip).all()) for strip in strips], dtype=np.float64)
    if not ends[:, 2].all():
        raise UserError(f"the image {name} has pixels that are not finite (NaN or infinite)")
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    full_range = None if intensity == "image" else _full_range(image.mode, low, high, name)
    transparent = image.info.get("transparency")  # the transparent grey value of a PNG file

    def scale(strip: Image.Image) -> Image.Image:
        values = np.asarray(strip).astype(np.float64)
        if full_range is not None:
            scaled = values * (255 / full_range)
        else:
            scaled = (values - low) * (255 / (high - low)) if high > low else np.full_like(values, CONSTANT)
        grey = np.rint(scaled).astype(np.uint8)
        if transparent is not None:
            grey[values == transparent] = 255
        return Image.fromarray(grey).convert("RGB")

    return scale


def _full_range(mode: str, low: float, high: float, name: str) -> float:
    """Return the value that becomes white; 0 becomes black.

    It is 1 or 255 for floats. Integers are treated as 16 bits, because Pillow opens some 16-bit files as 32 bits.
    """
    limits, kind = ((1, 255), "floats from 0 to 1 or from 0 to 255") if mode == "F" else ((65535,), "integers from 0 to 65535")
    white = next((limit for limit in limits if low >= 0 and high <= limit), None)
    if white is None:
        raise UserError(
            f"the image {name} has pixels from {low:g} to {high:g}, not {kind}: set features.intensity=image to scale each "
            "image by its own range"
        )
    if mode != "F" and 0 < high < 4096 and _dim_image_is_new.acquire(blocking=False):
        log.warning(
            "%s holds 12 bits or fewer (its largest value is %d of 65535) and looks nearly black: set features.intensity=image "
            "to scale each image by its own range; other images are not reported",
            name,
            high,
        )
    return white
