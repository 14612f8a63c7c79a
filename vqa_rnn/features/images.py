"""Image files to upright 8-bit RGB."""

import io
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from vqa_rnn.errors import UserError

# How to undo each EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: Path, content: bytes | None = None) -> Image.Image:
    """Read an image file.

    Args:
        path: The file.
        content: Its bytes, if they were read before.

    Returns:
        An RGB image, turned as its EXIF data says.

    Raises:
        UserError: The file is missing, is no image, or is damaged.
    """
    try:
        with Image.open(io.BytesIO(path.read_bytes() if content is None else content)) as image:
            image.load()
            return _upright_rgb(image)
    except FileNotFoundError:
        raise UserError(f"no image at {path}") from None
    except UnidentifiedImageError:
        raise UserError(f"{path} is not an image that can be read (PNG, JPEG, WebP, …)") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot read the image {path}: {reason}") from error


def _upright_rgb(image: Image.Image) -> Image.Image:
    # Only the orientation is read: ImageOps.exif_transpose fails on photos with other EXIF entries that are odd.
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    turned: Image.Image = image if turn is None else image.transpose(turn)
    if turned.mode.startswith("I;16"):  # convert would clip 16 bits to white
        turned = Image.fromarray((np.asarray(turned) // 257).astype(np.uint8))
    return turned.convert("RGB")
