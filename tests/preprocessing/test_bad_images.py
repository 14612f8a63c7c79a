"""A folder of 200 pictures with bad ones among them: the readable ones are right, the others are listed, memory is bounded."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bad_input import READABLE, REFUSED, write
from tests.preprocessing.test_extract_features import draw_pictures, numbered
from vqa_rnn.features.store import open_store

UNREADABLE = {name: refused.says for name, refused in REFUSED.items() if refused.has_content}


def write_bad_images(folder: Path) -> list[str]:
    """Every kind of file that people have in their folders, and beside those that can be read what must be seen in them."""
    for name in (*READABLE, *UNREADABLE):
        write(folder, name)
    for name, readable in READABLE.items():
        readable.shows().save(folder / f"{name}.png")
    Image.new("RGB", (1, 1), "red").save(folder / "pixel.png")
    return [*READABLE, *UNREADABLE, *(f"{name}.png" for name in READABLE), "pixel.png"]


MEASURE = """
import resource, subprocess, sys
job = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True, check=True)
print(" ".join(job.stdout.split()))
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_bad_images_among_two_hundred(tmp_path: Path):
    bad = write_bad_images(tmp_path / "images")
    good = numbered(200 - len(bad))
    draw_pictures(tmp_path / "images", good, size=8)
    names = [f"{name}.png" for name in good] + bad
    assert len(set(names)) == 200
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
    assert len(store.row_of) == 200 - len(UNREADABLE)
    found = {Path(image_id).name: store.read(store.rows([image_id]))[0] for image_id in store.row_of}
    for name, readable in READABLE.items():
        like = found[f"{name}.png"]
        difference = np.abs(found[name] - like).mean() / np.abs(like).mean()
        assert difference < (0.15 if readable.is_lossy else 0.01), name
        assert np.abs(found[name] - found["pixel.png"]).mean() / np.abs(like).mean() > 0.3, name
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
