"""Reading and decoding of image files. The error message of a bad file says what it is and what to do."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image, UnidentifiedImageError

from vqa_rnn.errors import UserError

MOST_PIXELS = 178_956_970  # 0.7 GB when decoded; Pillow raises an error above this
MOST_ELONGATED = 1000  # largest ratio of the two sides: a strip must fit into memory when it is scaled
_START = 4096  # bytes read to identify a file
# Files that are mistaken for images: pattern of the first bytes, what the file is, and what to do.
_OTHER_KINDS = (
    (rb"\s*<(!doctype html|html)", "a web page; download the image itself"),
    (rb"\s*<(.*<)?svg", "an SVG drawing, which has no pixels; export it as PNG"),
    (rb"....ftyp(heic|heix|heim|heis|hevc|hevx|mif1|msf1)", "a HEIC photo, which cannot be read; save it as JPEG"),
    (rb"....ftypavi[fs]", "an AVIF image that cannot be read; save it as JPEG or PNG"),
    (rb"....ftyp|\x1a\x45\xdf\xa3", "a video; save a frame of it as PNG"),
    (rb"%PDF", "a PDF document; export the page as PNG"),
    (rb"PK\x03\x04|\x1f\x8b|Rar!", "an archive; unpack it"),
)

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


def read_content(path: Path) -> bytes:
    """Read an image file without decoding it.

    Args:
        path: The file.

    Returns:
        The bytes of the file.

    Raises:
        UserError: The file cannot be read.
    """
    with opened(path) as file:
        return file.read()


@contextmanager
def opened(source: str | Path | bytes) -> Iterator[BinaryIO]:
    """Open an image file. Errors while it is read are raised as ``UserError``.

    Args:
        source: The path of a file, or its bytes.

    Yields:
        The open file.

    Raises:
        UserError: The file is missing or cannot be read, or the source is of another type.
    """
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    if not isinstance(source, str | Path):
        kind = type(source).__name__
        raise UserError(f"an image must be a path, the bytes of a file, a Pillow image or an array, not {kind}")
    try:
        with Path(source).open("rb") as file:
            yield file
    except FileNotFoundError:
        raise UserError(f"no image at {source}") from None
    except IsADirectoryError:
        raise UserError(f"{Path(source)} is a folder, and an image is needed: give the path of a file in it") from None
    except PermissionError:
        raise UserError(f"no permission to read the image {source}: allow it, for example with chmod u+r") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the image {source}: {getattr(error, 'strerror', None) or error}") from error


def identified(file: BinaryIO, name: str) -> Image.Image:
    """Open an image without decoding its pixels.

    Args:
        file: The open file.
        name: Name of the image in error messages.

    Returns:
        The image, not decoded yet.

    Raises:
        UserError: The file is not an image that can be read; the message says what it is instead.
    """
    try:
        image = Image.open(file)
    except Image.DecompressionBombError:
        raise _too_large(name) from None
    except UnidentifiedImageError:
        raise UserError(f"{name} is not an image: {_what_else(file)}") from None
    except Exception as error:  # Pillow's readers raise many kinds of errors
        raise _damaged(name, error) from error
    if image.format == "EPS":  # Pillow would run a program to decode it
        raise UserError(f"{name} is not an image: it is a PostScript drawing; export it as PNG")
    return image


def decoded(image: Image.Image, name: str) -> Image.Image:
    """Decode an image.

    Args:
        image: The image, as opened by Pillow.
        name: Name of the image in error messages.

    Returns:
        The decoded image, rotated or flipped according to its EXIF data.

    Raises:
        UserError: The image is damaged or fails ``check_size``.
    """
    check_size(image, name)
    try:
        image.load()
        return _upright(image)
    except Exception as error:  # Pillow's readers raise many kinds of errors
        raise _damaged(name, error) from error


def check_size(image: Image.Image, name: str) -> None:
    """Check that an image has pixels, and not more than fit into memory.

    Args:
        image: The image; it need not be decoded.
        name: Name of the image in error messages.

    Raises:
        UserError: The image has no pixels or too many, or is a narrow strip.
    """
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise _too_large(name)
    if width * height == 0:
        raise UserError(f"the image {name} has no pixels: it is {width} x {height}")
    if max(width, height) > MOST_ELONGATED * min(width, height):
        raise UserError(
            f"the image {name} is a strip of {width:,} x {height:,} pixels: cut it so that no side is more than "
            f"{MOST_ELONGATED:,} times the other"
        )


def _too_large(name: str) -> UserError:
    return UserError(f"the image {name} is too large: it has more than {MOST_PIXELS // 10**6} million pixels; scale it down")


def _damaged(name: str, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return UserError(f"cannot read the image {name}: {reason}; copy it again if it is damaged, or save it as PNG")


def _what_else(file: BinaryIO) -> str:
    """Describe a file that is not an image, and say what to do with it."""
    file.seek(0)
    start = file.read(_START)
    if not start:
        return "it is empty (0 bytes); copy it again"
    for begins, what in _OTHER_KINDS:
        if re.match(begins, start, re.DOTALL | re.IGNORECASE):
            return f"it is {what}"
    try:
        is_text = "\0" not in start.decode()
    except UnicodeDecodeError as error:
        is_text = error.end == len(start) == _START and "\0" not in start[: error.start].decode()  # cut off within a character
    return f"{'it is text' if is_text else 'its format is not supported'}; give a PNG, JPEG, WebP, GIF or TIFF file"


def _upright(image: Image.Image) -> Image.Image:
    # Only the orientation is read: ImageOps.exif_transpose fails on photos whose other EXIF entries are invalid.
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)
