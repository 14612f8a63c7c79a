"""The script that measures attention on the shapes of easy-VQA."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import train_on_drawn
from vqa_rnn.answering.answer import Answer

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "scripts/attention_on_shapes.py"))
GRID = np.array([[x, y, x + 0.5, y + 0.5] for y in (0, 0.5) for x in (0, 0.5)], dtype=np.float32)


def test_attention_is_spread_over_the_pixels_of_its_regions(tmp_path: Path):
    path = tmp_path / "one.png"
    pixels = np.full((8, 8, 3), 250, np.uint8)
    pixels[1:3, 5:7] = 255, 0, 0
    Image.fromarray(pixels).save(path)
    maps = np.array([[0.1, 0.6, 0.1, 0.2], [0.3, 0.4, 0.1, 0.2]], dtype=np.float32)
    answer = Answer("What?", (("red", 1.0),), (), (), (), 0.0, image=path, maps=maps, boxes=GRID)
    density, shape = SCRIPT["density"](answer), SCRIPT["shape_of"](path)
    assert density.sum() == pytest.approx(1)
    assert shape.sum() == 4
    assert (density * shape).sum() == pytest.approx(0.5 * 4 / 16)


def test_a_run_on_other_images_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = train_on_drawn(tmp_path, "training.max_epochs=1")
    assert SCRIPT["main"]([str(run.path)]) == 2
    assert "is no run on easy_vqa" in capsys.readouterr().err
