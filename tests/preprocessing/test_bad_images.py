"""A folder of 200 pictures with bad ones among them: the readable ones are right, the others are listed, memory is bounded."""

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from tests.preprocessing.test_extract_features import draw_pictures, numbered
from vqa_rnn.features.store import open_store

SIZE = (48, 32)
UNREADABLE = {
    "truncated.jpg": "truncated",
    "text.jpg": "is not an image",
    "empty.png": "is not an image",
    "declared.png": "is too large: it has more than 178 million pixels; scale it down",
    "nan.tif": "pixels that are no numbers",
}
# What must give the features of another file, up to the loss of JPEG.
SAME = {
    "cmyk.jpg": "plain.png",
    "turned.jpg": "plain.png",
    "animated.gif": "palette.png",
    "grey_16.png": "grey_8.png",
    "float.tif": "grey_8.png",
}


def declared_png(side: int) -> bytes:
    """A file of some kilobytes that says it has side x side pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = zlib.compress(b"\0" * (side * (side // 8 + 1)), 9)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def write_bad_images(folder: Path) -> list[str]:
    """Every kind of file that people have in their folders."""
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)).resize(
        SIZE, Image.Resampling.BICUBIC
    )
    smooth.save(folder / "plain.png")
    smooth.convert("CMYK").save(folder / "cmyk.jpg", quality=100, subsampling=0)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    smooth.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", exif=exif, quality=100, subsampling=0)
    palette = smooth.quantize(64)
    palette.save(folder / "palette.png")
    palette.save(folder / "animated.gif", save_all=True, append_images=[palette.rotate(180)])
    grey = smooth.convert("L")
    grey.save(folder / "grey_8.png")
    values = np.asarray(grey)
    Image.fromarray(values.astype(np.uint16) * 257).save(folder / "grey_16.png")
    Image.fromarray(values.astype(np.float32) / 255).save(folder / "float.tif")
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(folder / "nan.tif")
    Image.new("RGB", (1, 1), "red").save(folder / "pixel.png")
    whole = folder / "whole.jpg"
    Image.effect_noise((200, 200), 80).convert("RGB").save(whole, quality=95)
    (folder / "truncated.jpg").write_bytes(whole.read_bytes()[:3000])
    (folder / "text.jpg").write_text("not a picture", encoding="utf-8")
    (folder / "empty.png").write_bytes(b"")
    (folder / "declared.png").write_bytes(declared_png(20_000))
    return [*UNREADABLE, *SAME, *set(SAME.values()), "pixel.png", "whole.jpg"]


MEASURE = """
import resource, subprocess, sys
job = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True, check=True)
print(" ".join(job.stdout.split()))
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_bad_images_among_two_hundred(tmp_path: Path):
    draw_pictures(tmp_path / "images", numbered(185), size=8)
    names = [f"{name}.png" for name in numbered(185)] + write_bad_images(tmp_path / "images")
    assert len(names) == 200
    lines = (json.dumps({"image": f"images/{name}", "question": "What?", "answer": "this"}) + "\n" for name in names)
    (tmp_path / "questions.jsonl").write_text("".join(lines), encoding="utf-8")
    options = ["dataset.path=questions.jsonl", "features.image_size=64", "features.layers=[blocks.1]", "features.dtype=float32"]
    options += ["features.store=all.h5", "features.precision=float32"]
    command = [sys.executable, "-m", "vqa_rnn", "preprocess", "jsonl", *options]
    stopped = subprocess.run([*command, "--json"], cwd=tmp_path, capture_output=True, text=True)
    assert stopped.returncode == 2
    assert stopped.stderr.count("\n") == 1
    assert "features.skip_damaged=true" in stopped.stderr
    # started by a small process: what a process is started by counts in its own peak, and pytest may be large
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, *command, "features.skip_damaged=true", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    report, peak = measured.stdout.splitlines()
    assert int(peak) < 1.5e6  # KB; the declared image alone would take 1.2 GB on top of the 0.6 of the libraries
    failed = json.loads(report)["failed"]
    assert {Path(name).name for name in failed} == set(UNREADABLE)
    for name, reason in failed.items():
        assert UNREADABLE[Path(name).name] in reason
    store = open_store(tmp_path / "all.h5")
    assert len(store.row_of) == 195
    found = {Path(image_id).name: store.read(store.rows([image_id]))[0] for image_id in store.row_of}
    for name, like in SAME.items():
        difference = np.abs(found[name] - found[like]).mean() / np.abs(found[like]).mean()
        assert difference < (0.15 if name.endswith("jpg") else 0.01), name
        assert np.abs(found[name] - found["pixel.png"]).mean() / np.abs(found[like]).mean() > 0.3, name
    assert np.isfinite(np.stack(list(found.values()))).all()


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_a_large_jpeg_is_decoded_small_to_nearly_the_same_pixels(resize: str, tmp_path: Path):
    from vqa_rnn.config import FeaturesConfig
    from vqa_rnn.features.extractor import Extractor
    from vqa_rnn.features.images import read_image

    path = tmp_path / "large.jpg"
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8))
    smooth.resize((1600, 1200), Image.Resampling.BICUBIC).save(path, quality=95)
    assert read_image(path, smallest_side=80).size == (400, 300)
    assert read_image(path, smallest_side=310).size == (1600, 1200)
    extractor = Extractor(FeaturesConfig(image_size=64, layers=("blocks.1",), resize=resize))
    whole = np.asarray(extractor.transform.scale(read_image(path))).astype(int)
    assert np.abs(np.asarray(extractor.transform.load(path)) - whole).mean() < 1
