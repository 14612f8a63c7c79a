"""Pictures of answers and of where a model looked."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vqa_rnn
from tests.conftest import draw
from vqa_rnn.answering.answer import Answer
from vqa_rnn.answering.looks import DARKEST, ORANGE, show_weights
from vqa_rnn.errors import UserError
from vqa_rnn.features.transform import Transform

GRID = np.array([[x, y, x + 0.5, y + 0.5] for y in (0, 0.5) for x in (0, 0.5)], dtype=np.float32)


def answer(path: Path, looks: int = 1, **options: object) -> Answer:
    values: dict = {
        "question": "What <colour> is it?",
        "answers": (("red", 0.75), ("blue", 0.25)),
        "unknown_words": (),
        "nearest_words": (),
        "outside_vocabulary": (),
        "seconds": 0.01,
        "image": path,
        "maps": np.full((looks, 4), 0.25, dtype=np.float32),
        "boxes": GRID,
    }
    return Answer(**{**values, **options})


def test_long_answers_and_questions_stay_in_their_column(tmp_path: Path):
    path = draw(tmp_path / "red.png", "red")
    long = answer(path, question="What is it? " * 40, answers=(("a man " * 30, 0.5), ("no", 0.5)))
    sizes = []
    for number, shown in enumerate((answer(path), long)):
        vqa_rnn.draw([shown, answer(path)], tmp_path / f"{number}.png")
        picture = np.asarray(Image.open(tmp_path / f"{number}.png").convert("L"))
        sizes.append(picture.shape)
        red = (picture[:, : picture.shape[1] // 2] < 250).any(axis=0)
        assert red[2:-2].any()
        assert not red[:1].any(), "something is cut off at the left"
    assert sizes[0] == sizes[1]


def test_a_pixel_is_as_bright_as_the_model_looked_at_it():
    image = Image.new("RGB", (40, 20), (200, 100, 50))
    shown = np.asarray(show_weights(image, np.array([0.1, 0.4, 0.2, 0.3], dtype=np.float32), GRID)).astype(float)
    for y, x, weight in ((4, 10, 0.1), (4, 30, 0.4), (14, 10, 0.2), (14, 30, 0.3)):
        expected = np.array([200, 100, 50]) * (DARKEST + (1 - DARKEST) * weight / 0.4)
        assert shown[y, x] == pytest.approx(expected, abs=1)
    assert {tuple(shown[y, x]) for y, x in ((0, 20), (9, 39), (5, 20))} == {ORANGE}  # around the brightest


def test_boxes_that_overlap_show_the_larger_weight_and_thin_ones_are_seen():
    boxes = np.array([[0, 0, 1, 1], [0.25, 0.25, 0.75, 0.75], [0.9, 0, 0.9, 1]], dtype=np.float32)
    shown = np.asarray(show_weights(Image.new("RGB", (100, 100), "white"), np.array([0.2, 1, 0.6], dtype=np.float32), boxes))
    assert shown[50, 50, 0] == 255
    assert shown[5, 5, 0] == pytest.approx(255 * (DARKEST + (1 - DARKEST) * 0.2), abs=1)
    assert shown[5, 90, 0] == pytest.approx(255 * (DARKEST + (1 - DARKEST) * 0.6), abs=1)


@pytest.mark.parametrize("size", [(300, 200), (120, 400), (90, 90)])
@pytest.mark.parametrize("resize", ["squash", "pad", "crop"])
def test_regions_of_the_scaled_image_are_found_in_the_image(resize: str, size: tuple[int, int]):
    transform = Transform(96, resize, Image.Resampling.BILINEAR, 0.8, "full", None)
    image = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    top, left = int(0.45 * size[1]), int(0.4 * size[0])
    image[top : top + size[1] // 8, left : left + size[0] // 6] = 255
    scaled = np.asarray(transform.scale(Image.fromarray(image)))[:, :, 0]
    rows, columns = np.flatnonzero((scaled > 200).any(axis=1)), np.flatnonzero((scaled > 200).any(axis=0))
    found = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], dtype=np.float32) / 96
    expected = [left / size[0], top / size[1], (left + size[0] // 6) / size[0], (top + size[1] // 8) / size[1]]
    assert transform.in_image(found, *size)[0] == pytest.approx(expected, abs=0.02)


def test_a_picture_has_the_image_its_looks_and_bars(tmp_path: Path):
    path = draw(tmp_path / "red.png", "red")
    vqa_rnn.draw([answer(path, looks=2), answer(path, maps=None)], tmp_path / "two.png")
    vqa_rnn.draw(answer(path, image=None), str(tmp_path / "text.png"))
    with Image.open(tmp_path / "two.png") as two, Image.open(tmp_path / "text.png") as text:
        assert two.size[0] == 2 * text.size[0]
        assert two.size[1] > 2 * text.size[1]


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path):
    path = draw(tmp_path / "red.png", "red")
    with pytest.raises(UserError, match="is a folder"):
        vqa_rnn.draw(answer(path), tmp_path)
    path.unlink()
    with pytest.raises(UserError, match="no image at"):
        vqa_rnn.draw(answer(path), tmp_path / "gone.png")
    assert not list(tmp_path.iterdir())


def test_a_notebook_shows_the_image_and_escaped_texts(tmp_path: Path):
    path = draw(tmp_path / "red.png", "red")
    shown = answer(path, looks=2, is_sure=False)._repr_html_()
    assert shown.count("data:image/png;base64,") == 3
    assert "What &lt;colour&gt; is it?" in shown
    assert "75.0%" in shown
    assert "not sure" in shown
    assert answer(path, image=None)._repr_html_().count("<img") == 0
