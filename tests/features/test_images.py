"""Pixels of every depth and kind come out as 8-bit RGB: by the range of their type or their own, on white where transparent."""

import io
import logging
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bad_input import chunk
from vqa_rnn.errors import UserError
from vqa_rnn.features import images
from vqa_rnn.features.images import read_image

NAME = Path("scan.tif")


@pytest.fixture(autouse=True)
def _no_warning_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_dim_image_is_new", threading.Lock())


def content_of(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read(image: Image.Image, kind: str = "PNG", intensity="full", **options) -> Image.Image:
    return read_image(NAME, content_of(image, kind, **options), intensity)


def grey(values, dtype, intensity="full", kind: str = "TIFF") -> list[int]:
    """The grey that a row of pixels becomes."""
    loaded = read(Image.fromarray(np.array([values], dtype=dtype)), kind, intensity)
    assert loaded.mode == "RGB"
    pixels = np.asarray(loaded)
    assert (pixels == pixels[:, :, :1]).all()
    return pixels[0, :, 0].tolist()


def refusal(values, dtype) -> str:
    with pytest.raises(UserError) as caught:
        grey(values, dtype)
    text = str(caught.value)
    assert "\n" not in text
    assert str(NAME) in text
    return text


HIDDEN_RED, HALF_BLACK = (255, 0, 0, 0), (0, 0, 0, 128)


def test_what_is_transparent_is_white_and_half_of_it_is_mixed():
    image = Image.new("RGBA", (3, 1), HIDDEN_RED)
    image.putpixel((1, 0), HALF_BLACK)
    image.putpixel((2, 0), (10, 20, 30, 255))
    loaded = read(image)
    assert [loaded.getpixel((x, 0)) for x in range(3)] == [(255, 255, 255), (127, 127, 127), (10, 20, 30)]
    assert read(image, "WEBP", lossless=True, exact=True).getpixel((0, 0)) == (255, 255, 255)


def test_black_on_transparent_is_not_a_black_square():
    image = Image.new("LA", (2, 1), (0, 0))
    image.putpixel((1, 0), (0, 255))
    loaded = read(image)
    assert [loaded.getpixel((x, 0)) for x in range(2)] == [(255, 255, 255), (0, 0, 0)]


def with_colour_key(mode: str, hidden, shown) -> Image.Image:
    image = Image.new(mode, (2, 1), hidden)
    image.putpixel((1, 0), shown)
    return image


@pytest.mark.parametrize(
    ("image", "transparency"),
    [
        (with_colour_key("RGB", (0, 200, 0), (9, 9, 9)), (0, 200, 0)),
        (with_colour_key("L", 77, 9), 77),
        (with_colour_key("1", 0, 1).convert("L"), 0),
    ],
    ids=["rgb", "grey", "bilevel"],
)
def test_a_colour_that_stands_for_transparent_is_white(image: Image.Image, transparency):
    loaded = read(image, transparency=transparency)
    assert loaded.getpixel((0, 0)) == (255, 255, 255)
    assert loaded.getpixel((1, 0)) == image.convert("RGB").getpixel((1, 0))


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_entry_of_a_palette_is_white(kind: str):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 0, 200])
    image.putpixel((1, 0), 1)
    loaded = read(image, kind, transparency=0)
    assert [loaded.getpixel((x, 0)) for x in range(2)] == [(255, 255, 255), (0, 0, 200)]


def test_a_palette_with_alpha_is_composited_and_turned():
    image = with_colour_key("RGBA", (0, 0, 0, 0), (5, 6, 7, 255))
    exif = Image.Exif()
    exif[0x0112] = 3  # by half a turn
    loaded = read(image, exif=exif)
    assert [loaded.getpixel((x, 0)) for x in range(2)] == [(5, 6, 7), (255, 255, 255)]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bits_go_to_8_by_257(kind: str):
    assert grey([0, 257, 128 * 257, 65535, 300], np.uint16, kind=kind) == [0, 1, 128, 255, 1]


def test_the_bytes_of_16_bits_may_come_in_either_order():
    values = np.array([[0, 257, 128 * 257, 65535, 258]])
    big = content_of(Image.fromarray(values.astype(">u2")), "TIFF")
    assert Image.open(io.BytesIO(big)).mode == "I;16B"
    assert np.asarray(read_image(NAME, big))[0, :, 0].tolist() == [0, 1, 128, 255, 1]
    assert np.asarray(read_image(NAME, big, "image"))[0, :, 0].tolist() == [0, 1, 128, 255, 1]


def test_a_grey_of_16_bits_that_stands_for_transparent_is_white():
    header = struct.pack(">IIBBBBB", 3, 1, 16, 0, 0, 0, 0)
    row = b"\0" + np.array([0, 0x1234, 65535], ">u2").tobytes()
    chunks = chunk(b"IHDR", header) + chunk(b"tRNS", b"\x12\x34") + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    loaded = read_image(NAME, b"\x89PNG\r\n\x1a\n" + chunks)
    assert np.asarray(loaded)[0, :, 0].tolist() == [0, 255, 255]


def test_32_bits_that_hold_16_count_as_16():
    assert grey([0, 257, 128 * 257, 65535], np.int32) == [0, 1, 128, 255]


@pytest.mark.parametrize(("low", "high"), [(0, 65536), (-1024, 3071), (0, 2_000_000_000)])
def test_32_bits_outside_of_16_are_refused(low: int, high: int):
    text = refusal([low, high], np.int32)
    assert f"pixels from {low:g} to {high:g}" in text
    assert "features.intensity=image" in text


def test_floats_go_to_1_or_to_255():
    assert grey([0, 0.2, 0.5, 1], np.float32) == [0, 51, 128, 255]
    assert grey([0, 0.2, 77, 255], np.float32) == [0, 0, 77, 255]


@pytest.mark.parametrize(("low", "high"), [(-0.5, 1), (0, 256), (-1000, 3000)])
def test_floats_outside_of_both_are_refused(low: float, high: float):
    text = refusal([low, high], np.float32)
    assert f"pixels from {low:g} to {high:g}" in text
    assert "features.intensity=image" in text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("intensity", ["full", "image"])
def test_pixels_that_are_no_numbers_are_refused(value: float, intensity):
    with pytest.raises(UserError, match=r"scan\.tif has pixels that are not finite"):
        grey([0, 1, value], np.float32, intensity)


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1000, 1510, 2020], np.uint16, [0, 128, 255]),
        ([-1024, 1024, 3072], np.int32, [0, 128, 255]),
        ([0, 2_000_000_000], np.int32, [0, 255]),
        ([-1, 0.5, 2], np.float32, [0, 128, 255]),
        ([700, 700], np.uint16, [128, 128]),
        ([-3, -3], np.float32, [128, 128]),
    ],
)
def test_each_image_may_be_scaled_by_its_own_range(values, dtype, expected: list[int]):
    assert grey(values, dtype, "image") == expected


def test_8_bits_are_never_scaled():
    assert grey([10, 20, 30], np.uint8, "image") == [10, 20, 30]


def test_12_bits_in_a_file_of_16_are_reported_once(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "vqa_rnn"):
        assert grey([0, 4096], np.uint16) == [0, 16]
        assert grey([0, 0], np.uint16) == [0, 0]
        assert grey([0, 4095], np.uint16, "image") == [0, 255]
        assert not caplog.records
        assert grey([0, 4095], np.uint16) == [0, 16]
        assert grey([0, 4095], np.int32) == [0, 16]
    (record,) = caplog.records
    assert record.name == "vqa_rnn"
    text = record.getMessage()
    assert "scan.tif holds 12 bits or fewer (its largest value is 4095 of 65535) and looks nearly black" in text
    assert "features.intensity=image" in text


MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "I;16", "I;16B", "F")


@pytest.mark.parametrize("intensity", ["full", "image"])
@pytest.mark.parametrize("mode", MODES)
def test_a_large_image_is_brought_to_rgb_in_strips_to_the_same_pixels(mode: str, intensity, monkeypatch: pytest.MonkeyPatch):
    values = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)
    if mode in ("I", "I;16", "I;16B", "F"):
        kinds = {"I": np.int32, "I;16": np.uint16, "I;16B": ">u2", "F": np.float32}
        image = Image.fromarray((values[:, :, 0] * np.float32(200)).astype(kinds[mode]))
    elif mode == "P":
        image = Image.fromarray(values, "RGBA").quantize(8)
    else:
        image = Image.fromarray(values, "RGBA").convert(mode)
    if mode == "F":
        image = Image.fromarray(np.asarray(image) / 51_000)
    if mode == "L":
        image.info["transparency"] = int(values[0, 0, 0])
    assert image.mode == mode
    whole = read_image(image, intensity=intensity)
    monkeypatch.setattr(images, "_PIXELS_AT_ONCE", 15)
    assert np.array_equal(np.asarray(read_image(image, intensity=intensity)), np.asarray(whole))
