"""Files that are no images, or too large ones, with words of what is said about them."""

import io
import struct
import zlib
from pathlib import Path

from PIL import Image


def png(width: int, height: int) -> bytes:
    """A small file that says that it has so many pixels of one bit, and has them."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (height * (width // 8 + 1)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def truncated() -> bytes:
    content = io.BytesIO()
    Image.effect_noise((200, 200), 80).convert("RGB").save(content, "JPEG", quality=95)
    return content.getvalue()[:3000]


BAD_FILES = {
    "truncated.jpg": (truncated, "truncated"),
    "text.png": (lambda: b"this is no picture", "text.png is not an image"),
    "empty.png": (lambda: b"", "empty.png is not an image"),
    "bomb.png": (lambda: png(20_000, 20_000), "bomb.png is too large: it has more than 178 million pixels"),
    "large.png": (lambda: png(8_000, 8_000), "large.png is too large: it has 8,000 x 8,000 pixels, and at most 50 million"),
}


def write_bad_file(folder: Path, name: str) -> Path:
    """Write one of ``BAD_FILES`` into a folder."""
    make, _ = BAD_FILES[name]
    path = folder / name
    path.write_bytes(make())
    return path
