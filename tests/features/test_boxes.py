"""Features of boxes that a data set gives: RoIAlign on the grid, or each box cut out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from preprocessing.extract_features import extract_features
from tests.conftest import everything
from tests.preprocessing.test_extract_features import config_for, content
from vqa_rnn.config import FeaturesConfig
from vqa_rnn.errors import UserError
from vqa_rnn.features.check import check_store
from vqa_rnn.features.extractor import Extractor
from vqa_rnn.features.store import open_store
from vqa_rnn.features.transform import BoxedImage
from vqa_rnn.records import Annotations

BASE = {"image_size": 64, "layers": ("blocks.2",), "precision": "float32", "dtype": "float32"}  # a grid of 8 x 8 cells


def noise(path: Path, width: int = 128, height: int = 32, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


def build(**options) -> Extractor:
    return Extractor(FeaturesConfig(**{**BASE, "output": "boxes", **options}))


def features_of(extractor: Extractor, images: list[BoxedImage]) -> list[np.ndarray]:
    return [regions.features for regions in extractor.extract(images)]


def test_a_box_is_the_mean_of_the_cells_under_it_and_comes_after_the_whole_image(tmp_path: Path):
    path = noise(tmp_path / "a.png")
    extractor = build()
    # cells of the grid are 16 x 4 pixels of the picture
    image = extractor.transform.load_boxed(path, boxes((0, 0, 64, 32), (64, 8, 128, 16), (16, 4, 32, 8)))
    np.testing.assert_allclose(image.boxes[0], [0, 0, 1, 1])
    np.testing.assert_allclose(image.boxes[2], [0.5, 0.25, 1, 0.5])
    (found,) = features_of(extractor, [image])
    grid_extractor = Extractor(FeaturesConfig(**BASE))
    grid = grid_extractor.regions([grid_extractor.transform.load(path)])[0].reshape(8, 8, -1)
    expected = [grid.mean(axis=(0, 1)), grid[:, :4].mean(axis=(0, 1)), grid[2:4, 4:].mean(axis=(0, 1)), grid[1, 1]]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(grid).max())


def test_cut_out_a_box_is_seen_by_itself(tmp_path: Path):
    path = noise(tmp_path / "a.png")
    extractor = build(box_method="crop", batch_rows=2)
    image = extractor.transform.load_boxed(path, boxes((10, 5, 60, 30), (3.4, 0, 3.6, 32)))
    (found,) = features_of(extractor, [image])
    pooled = Extractor(FeaturesConfig(**BASE, output="pooled"))
    with Image.open(path) as picture:
        for row, area in enumerate([(0, 0, 128, 32), (10, 5, 60, 30), (3, 0, 4, 32)]):
            cut = noise(tmp_path / "cut.png")
            picture.crop(area).save(cut)
            expected = pooled.regions([pooled.transform.load(cut)])[0, 0]
            np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("method", ["roi", "crop"])
def test_images_with_different_numbers_of_boxes_do_not_mix(tmp_path: Path, method: str):
    extractor = build(box_method=method)
    given = [boxes((0, 0, 64, 32), (1, 2, 30, 30)), boxes(), boxes((5, 5, 20, 20))]
    images = [extractor.transform.load_boxed(noise(tmp_path / f"{i}.png", seed=i), each) for i, each in enumerate(given)]
    together = features_of(extractor, images)
    assert [len(each) for each in together] == [3, 1, 2]
    for image, expected in zip(images, together, strict=True):
        np.testing.assert_allclose(features_of(extractor, [image])[0], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_a_box_is_cut_at_the_edge_of_the_image_and_one_outside_is_refused(tmp_path: Path):
    path = noise(tmp_path / "a.png")
    image = build().transform.load_boxed(path, boxes((-5, -5, 64, 400)))
    np.testing.assert_allclose(image.boxes[1], [0, 0, 0.5, 1])
    with pytest.raises(
        UserError,
        match=r"the box \(200, 0, 210, 5\) of .*a\.png has no area inside the image \(128 x 32 pixels\); boxes are x1 y1",
    ):
        build().transform.load_boxed(path, boxes((0, 0, 5, 5), (200, 0, 210, 5)))


def test_boxes_need_the_whole_image():
    with pytest.raises(ValidationError, match="output=boxes needs resize=squash"):
        FeaturesConfig(output="boxes", resize="crop")


def annotate(folder: Path, counts: list[int]) -> Annotations:
    given = {f"{i}": boxes(*((j, j, j + 20, j + 9) for j in range(n))) for i, n in enumerate(counts)}
    images = {name: noise(folder / f"{name}.png", seed=int(name)) for name in given}
    return Annotations(questions=(), images=images, boxes=given)


@pytest.mark.parametrize("method", ["roi", "crop"])
def test_a_store_of_boxes_keeps_where_they_lie_and_how_many_there_are(tmp_path: Path, method: str):
    annotations = annotate(tmp_path, [2, 0, 4, 1, 3])
    config = config_for(tmp_path / "store.h5", output="boxes", box_method=method)
    extract_features(config, annotations)
    store = open_store(tmp_path / "store.h5")
    assert everything(store).shape[:2] == (5, 5)  # the whole image and four boxes
    assert store.num_regions.tolist() == [3, 1, 5, 2, 4]
    assert store.has_boxes
    extractor = Extractor(config.features)
    for row, count in enumerate(store.num_regions.tolist()):
        image = extractor.transform.load_boxed(annotations.images[f"{row}"], annotations.boxes[f"{row}"])
        np.testing.assert_array_equal(everything(store, "boxes")[row, :count], image.boxes)
        assert (everything(store, "boxes")[row, count:] == 0).all()
        assert (everything(store)[row, count:] == 0).all()
        assert (everything(store)[row, :count] != 0).any(axis=1).all()
    check_store(store, config.features)
    other = "crop" if method == "roi" else "roi"
    with pytest.raises(UserError, match=rf"features\.box_method={method}, not {other}"):
        check_store(store, config.features.model_copy(update={"box_method": other}))


def test_more_images_keep_the_boxes_that_were_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    few, many = annotate(tmp_path, [2, 1]), annotate(tmp_path, [2, 1, 5])
    config = config_for(tmp_path / "grown.h5", output="boxes")
    extract_features(config, few)
    done = []
    begin = Extractor.begin
    monkeypatch.setattr(Extractor, "begin", lambda self, images: done.append(len(images.boxes)) or begin(self, images))
    assert extract_features(config, many).num_done == 1
    assert done == [1]
    whole = config_for(tmp_path / "whole.h5", output="boxes")
    extract_features(whole, many)
    grown, made = content(tmp_path / "grown.h5"), content(tmp_path / "whole.h5")
    for name in ("boxes", "num_regions", "image_id"):
        assert grown[name] == made[name]


def test_a_data_set_without_boxes_is_refused(tmp_path: Path):
    annotations = annotate(tmp_path, [1, 1])
    plain = Annotations(questions=(), images=annotations.images)
    with pytest.raises(UserError, match=r"features\.output=boxes: jsonl has no boxes; use a data set with boxes"):
        extract_features(config_for(tmp_path / "store.h5", output="boxes"), plain)
    assert not list(tmp_path.glob("*.h5"))
