"""What people give by mistake: image files and questions, and what comes of each. The same tables serve every way of asking.

``READABLE`` images are looked at, ``REFUSED`` ones are refused with these words; so are ``QUESTIONS`` and ``BAD_QUESTIONS``.
"""

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps, features

SIZE = (48, 32)
MISSING = "missing.png"


class Readable(NamedTuple):
    """An image that is read.

    Attributes:
        write: Writes it to a path.
        shows: What must be seen.
        is_lossy: It is seen nearly so.
    """

    write: Callable[[Path], object]
    shows: Callable[[], Image.Image]
    is_lossy: bool = False


class Refused(NamedTuple):
    """A file that is no image, or none that can be looked at.

    Attributes:
        write: Writes it to a path.
        says: Words of the refusal, which names it as well.
        has_content: It is a file that can be read, and so may also be given as bytes.
    """

    write: Callable[[Path], object]
    says: str
    has_content: bool = True


@cache
def picture() -> Image.Image:
    """Smooth, in colours, and another one when it is turned."""
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8))
    return coarse.resize(SIZE, Image.Resampling.BICUBIC)


def grey() -> Image.Image:
    return ImageOps.autocontrast(picture().convert("L"))


def palette() -> Image.Image:
    return picture().quantize(64)


def black() -> Image.Image:
    return Image.new("RGB", SIZE)


def save(image: Callable[[], Image.Image], path: Path, **options: object) -> None:
    image().save(path, **options)


def save_turned(path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture().transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=100, subsampling=0)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(size: tuple[int, int], packed: bytes, depth: int = 8, kind: int = 2, before: bytes = b"") -> bytes:
    """A PNG file of rows that are packed already; ``kind`` 0 is grey, 2 is RGB."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def packed_zeros(size: int) -> bytes:
    """What ``zlib`` makes of zeros, a thousandth of them, without going through all."""
    packer, megabyte = zlib.compressobj(9), bytes(2**20)
    first, again = (packer.compress(megabyte) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    end = packer.compress(bytes(size % 2**20)) + packer.flush()
    checksum = struct.pack(">I", (size % 65521) << 16 | 1)
    return first + again * (size // 2**20 - 1) + end[:-4] + checksum


def declared_png(side: int) -> bytes:
    """A file of some kilobytes that says it has side x side pixels, and has them."""
    return png((side, side), zlib.compress(b"\0" * (side * (side // 8 + 1)), 9), depth=1, kind=0)


def declared_jpeg(side: int) -> bytes:
    """A photo whose header says it has side x side pixels."""
    content = bytearray(encoded(picture(), "JPEG"))
    frame = content.index(b"\xff\xc0") + 5  # marker, length, precision
    content[frame : frame + 4] = struct.pack(">HH", side, side)
    return bytes(content)


def rgb_of_16_bits(path: Path) -> None:
    values = np.asarray(picture()).astype(">u2") * 257
    path.write_bytes(png(SIZE, zlib.compress(b"".join(b"\0" + row.tobytes() for row in values)), depth=16))


def unpacks_to_gigabytes(path: Path) -> None:
    path.write_bytes(png((30_000, 30_000), packed_zeros(30_000 * 90_001)))


def has_gigabytes_behind_its_pixels(path: Path) -> None:
    path.write_bytes(png(SIZE, packed_zeros(2 * 2**30)))


def has_a_text_of_gigabytes(path: Path) -> None:
    text = chunk(b"zTXt", b"Comment\0\0" + packed_zeros(2 * 2**30))
    path.write_bytes(png(SIZE, zlib.compress(bytes(SIZE[1] * (3 * SIZE[0] + 1))), before=text))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def truncated(path: Path) -> None:
    path.write_bytes(encoded(Image.effect_noise((200, 200), 80).convert("RGB"), "JPEG", quality=95)[:3000])


def locked(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is locked for root")
    save(picture, path)
    path.chmod(0)


def content(begins: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(begins)


PLAIN = "plain.png"
READABLE = {
    PLAIN: Readable(partial(save, picture), picture),
    "cmyk.jpg": Readable(partial(save, lambda: picture().convert("CMYK"), quality=100, subsampling=0), picture, is_lossy=True),
    "turned.jpg": Readable(save_turned, picture, is_lossy=True),
    "jpeg.png": Readable(partial(save, picture, format="JPEG", quality=100, subsampling=0), picture, is_lossy=True),
    "picture.webp": Readable(partial(save, picture, lossless=True), picture),
    "Straße im Grünen – 2.png": Readable(partial(save, picture), picture),
    "rgb_16.png": Readable(rgb_of_16_bits, picture),
    "palette.gif": Readable(partial(save, palette), palette),
    "animated.gif": Readable(lambda path: palette().save(path, save_all=True, append_images=[palette().rotate(180)]), palette),
    "grey_8.png": Readable(partial(save, grey), grey),
    "grey_16.png": Readable(partial(save, lambda: Image.fromarray(np.asarray(grey()).astype(np.uint16) * 257)), grey),
    "float.tif": Readable(partial(save, lambda: Image.fromarray(np.asarray(grey()).astype(np.float32) / 255)), grey),
    "more_than_its_pixels.png": Readable(has_gigabytes_behind_its_pixels, black),
}
if features.check("avif"):
    READABLE["picture.avif"] = Readable(partial(save, picture, quality=100, subsampling="4:4:4"), picture, is_lossy=True)

TOO_LARGE = "is too large: it has more than 178 million pixels; scale it down"
KINDS = "give a PNG, JPEG, WebP, GIF or TIFF file"
REFUSED = {
    "truncated.jpg": Refused(truncated, "image file is truncated"),
    "declared.jpg": Refused(lambda path: path.write_bytes(declared_jpeg(20_000)), TOO_LARGE),
    "declared.png": Refused(lambda path: path.write_bytes(declared_png(20_000)), TOO_LARGE),
    "bomb.png": Refused(unpacks_to_gigabytes, TOO_LARGE),
    "text_bomb.png": Refused(has_a_text_of_gigabytes, "too large for PngImagePlugin.MAX_TEXT_CHUNK"),
    "strip.png": Refused(
        partial(save, lambda: Image.new("1", (1, 100_000))), "is a strip of 1 x 100,000 pixels: cut it so that no side is more"
    ),
    "nan.tif": Refused(
        partial(save, lambda: Image.fromarray(np.full((4, 4), np.nan, np.float32))), "has pixels that are not finite"
    ),
    "empty.png": Refused(content(b""), "is not an image: it is empty (0 bytes); copy it again"),
    "text.png": Refused(content(b"not a picture"), f"is not an image: it is text; {KINDS}"),
    "long_text.png": Refused(content("ß".encode() * 5000 + b"\xff"), f"is not an image: it is text; {KINDS}"),
    "noise.jpg": Refused(content(bytes(range(256)) * 40), f"is not an image: its format is not supported; {KINDS}"),
    "drawing.svg": Refused(
        content(b'<?xml version="1.0"?>\n<!-- a -->\n<svg xmlns="http://www.w3.org/2000/svg"/>'),
        "is not an image: it is an SVG drawing, which has no pixels; export it as PNG",
    ),
    "page.jpg": Refused(content(b"\n<!DOCTYPE html><p>404"), "is not an image: it is a web page; download the image itself"),
    "photo.heic": Refused(
        content(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        "is not an image: it is a HEIC photo, which cannot be read; save it as JPEG",
    ),
    "damaged.avif": Refused(
        content(b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf"), "is not an image: it is an AVIF image that cannot be read; save it as"
    ),
    "movie.png": Refused(content(b"\0\0\0\x18ftypisom\0\0\0\0"), "is not an image: it is a video; save a frame of it as PNG"),
    "document.jpg": Refused(content(b"%PDF-1.7\n"), "is not an image: it is a PDF document; export the page as PNG"),
    "archive.png": Refused(content(b"PK\x03\x04...."), "is not an image: it is an archive; unpack it"),
    "drawing.eps": Refused(
        content(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n"),
        "is not an image: it is a PostScript drawing; export it as PNG",
    ),
    "folder.png": Refused(lambda path: path.mkdir(), "is a folder, and an image is needed", has_content=False),
    "locked.png": Refused(locked, "no permission to read the image", has_content=False),
    MISSING: Refused(lambda path: None, "no image at", has_content=False),
    "a" * 300 + ".png": Refused(lambda path: None, "File name too long", has_content=False),
}


def write(folder: Path, name: str) -> Path:
    """Make one of the files.

    Args:
        folder: Where; it is made if it is missing.
        name: A key of ``READABLE`` or ``REFUSED``.

    Returns:
        Its path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (READABLE | REFUSED)[name].write(folder / name)
    return folder / name


WORDS = "the question is empty: ask it in words, such as What colour is it?"
BAD_QUESTIONS = {
    "empty": ("", WORDS),
    "blanks": (" \t\n ", WORDS),
    "marks": ("?!…", WORDS),
    "letters of no width": ("\u200b\u200d\ufeff", WORDS),
    "10,000 words": (
        " ".join(f"word{number}" for number in range(10_000)),
        "the question has 88,889 characters: 2,000 are the most; give a shorter one",
    ),
    "a bell": ("What colour\x07 is it?", "the question has a control character (\\u0007): leave it out"),
    "an escape sequence": ("\x1b[31mWhat colour is it?\x1b[0m", "the question has a control character (\\u001b): leave it out"),
    "a byte of 0": ("What colour\0 is it?", "the question has a control character (\\u0000): leave it out"),
    "half of an emoji": (
        "What is \ud83d?",
        "the question has half of a character (a lone surrogate, \\ud83d): write the whole character",
    ),
    "Latin-1 on the command line": (
        "Where is the caf\udce9?",
        "the question has a byte that is not UTF-8 text (0xE9): write it as UTF-8",
    ),
    "an object of JSON": (
        '{"image": "a.png", "question": "What colour is it?"}',
        "the question is a JSON object: give its text alone, such as What colour is it?",
    ),
}
NO_TEXTS = ({"question": "What colour is it?"}, None, 3, b"What colour is it?", ["What colour is it?"], Path("plain.png"))
# Odd, and yet a question: what the model read, and what of it training never met.
ODD_QUESTIONS = {
    "unknown words alone": ("Zxqv blorp?", ("zxqv", "blorp")),
    "emoji": (
        "\N{CAT}\u200d\N{BLACK LARGE SQUARE} \N{PARTY POPPER}?",
        ("\N{CAT}", "\N{BLACK LARGE SQUARE}", "\N{PARTY POPPER}"),
    ),
    "right to left": ("ما لون السيارة؟", ("ما", "لون", "السيارة")),
    "turned around": ("What \u202ecolour is it?", ()),
    "a control character of Latin-1": ("What\x9b colour is it?", ()),
    "ends of lines": ("What colour\nis\u2028it?\r\n", ()),
    "as long as may be": ("What colour is it? " * 105, ()),
    "markup": ("What [bold]colour[/bold] is it?", ("bold",)),
    "formulas": ("What $colour$ is it \\frac{1}?", ("frac", "1")),
    "nearly JSON": ("{What colour is it?}", ()),
}


def raw_characters(text: str) -> Iterator[str]:
    """What in a text would steer a terminal."""
    return (one for one in text if (ord(one) < 0x20 and one not in "\n\t") or 0x7F <= ord(one) < 0xA0 or one in "\u2028\u202e")
