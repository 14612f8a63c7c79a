"""Regions that a detector proposes: a Faster R-CNN and a DETR with random weights, and which proposals are taken."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
import transformers
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from tests.features.test_extractor import refusal
from vqa_rnn.config import FeaturesConfig
from vqa_rnn.features.detectors import LARGEST_OVERLAP, Detector
from vqa_rnn.features.detectors.base import select_regions

RCNN = "fasterrcnn_mobilenet_v3_large_320_fpn"


def boxes_of(count: int, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    corners, sizes = random.uniform(0, 0.7, (count, 2)), random.uniform(0.05, 0.3, (count, 2))
    return np.concatenate([corners, corners + sizes], axis=1).astype(np.float32)


def overlap(one: NDArray, other: NDArray) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = np.prod(np.clip(high - low, 0, None))
    return float(shared / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared))


def bottom_up(boxes: NDArray, scores: NDArray, fewest: int, most: int, threshold: float, limit: float) -> list[int]:
    """The published recipe, word for word: suppression class by class, the best score of a box that stayed, then a cut."""
    best = np.zeros(len(boxes))
    for column in scores.T:
        kept: list[int] = []
        for place in np.argsort(-column, kind="stable"):
            if all(overlap(boxes[place], boxes[other]) <= limit for other in kept):
                kept.append(place)
        best[kept] = np.maximum(best[kept], column[kept])
    sure = np.flatnonzero(best >= threshold)
    if len(sure) < fewest:
        sure = np.argsort(-best, kind="stable")[:fewest]
    elif len(sure) > most:
        sure = np.argsort(-best, kind="stable")[:most]
    return sorted(sure.tolist())


@pytest.mark.parametrize(
    ("fewest", "most", "threshold"), [(10, 100, 0.2), (36, 36, 0.2), (5, 12, 0.3), (10, 30, 0.9), (0, 9, 1.0)]
)
@pytest.mark.parametrize("seed", range(3))
def test_regions_are_chosen_as_bottom_up_attention_does(fewest: int, most: int, threshold: float, seed: int):
    boxes = boxes_of(80, seed)
    scores = np.random.default_rng(seed).dirichlet(np.full(7, 0.3), 80).astype(np.float32)[:, 1:]
    chosen = select_regions(torch.from_numpy(boxes), torch.from_numpy(scores), fewest, most, threshold, LARGEST_OVERLAP)
    assert sorted(chosen.places.tolist()) == bottom_up(boxes, scores, fewest, most, threshold, LARGEST_OVERLAP)
    assert (chosen.scores.diff() <= 0).all()
    for place, label, score in zip(*(values.tolist() for values in chosen), strict=True):
        assert scores[place, label] == pytest.approx(score) or score == 0  # 0: of another thing than its overlapping betters


def test_without_proposals_there_is_nothing_to_choose():
    chosen = select_regions(torch.zeros(0, 4), torch.zeros(0, 3), 10, 100, 0.2, LARGEST_OVERLAP)
    assert [len(values) for values in chosen] == [0, 0, 0]


def test_without_suppression_the_surest_are_taken():
    scores = torch.tensor([[0.1, 0.3], [0.6, 0.2], [0.1, 0.1], [0.5, 0.4]])
    same = torch.tensor([[0.1, 0.1, 0.5, 0.5]]).repeat(4, 1)
    assert select_regions(same, scores, 1, 3, 0.3, None).places.tolist() == [1, 3, 0]
    assert select_regions(same, scores, 1, 3, 0.3, LARGEST_OVERLAP).places.tolist() == [1, 3]


def test_suppressed_boxes_do_not_reach_a_threshold_of_0():
    scores = torch.tensor([[0.1, 0.3], [0.6, 0.2], [0.1, 0.1], [0.5, 0.4]])
    same = torch.tensor([[0.1, 0.1, 0.5, 0.5]]).repeat(4, 1)
    assert select_regions(same, scores, 1, 4, 0.0, LARGEST_OVERLAP).places.tolist() == [1, 3]


@pytest.fixture(scope="module")
def rcnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a small Faster R-CNN."""
    torch.manual_seed(0)
    model = torchvision.models.get_model(RCNN, weights=None, weights_backbone=None)
    path = tmp_path_factory.mktemp("rcnn") / "rcnn.pth"
    torch.save(model.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def detr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small DETR with random weights."""
    torch.manual_seed(0)
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], out_features=["stage4"]
    )
    config = transformers.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone_config=backbone,
        num_queries=12,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_labels=5,
    )
    folder = tmp_path_factory.mktemp("detr") / "tiny-detr"
    transformers.DetrForObjectDetection(config).save_pretrained(folder)
    transformers.DetrImageProcessor(size={"shortest_edge": 96, "longest_edge": 160}).save_pretrained(folder)
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    smooth = Image.fromarray(np.random.default_rng(1).integers(0, 256, (6, 9, 3), np.uint8))
    smooth.resize((180, 120), Image.Resampling.BICUBIC).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def of_rcnn(weights: Path, **options) -> FeaturesConfig:
    base = {"library": "torchvision", "backbone": RCNN, "weights": str(weights), "output": "regions", "dtype": "float32"}
    return FeaturesConfig(**{**base, "min_regions": 4, "max_regions": 6, "image_size": 96, **options})


def of_detr(folder: Path, **options) -> FeaturesConfig:
    base = {"library": "transformers", "backbone": str(folder), "weights": "hub", "output": "regions", "dtype": "float32"}
    return FeaturesConfig(**{**base, "min_regions": 4, "max_regions": 6, **options})


def test_a_region_has_the_features_of_its_own_box(rcnn: Path, photo: Path):
    detector = Detector(of_rcnn(rcnn))
    assert (detector.num_regions, detector.feature_size) == (7, 1024)
    (found,) = detector.extract([detector.transform.prepare(photo)])
    assert found.features.shape == (5, 1024)  # the whole image and the fewest: random weights are sure of nothing
    assert found.columns["labels"][0] == -1
    np.testing.assert_array_equal(found.columns["boxes"][0], [0, 0, 1, 1])
    # the same by hand, from the boxes that were recorded
    model = torchvision.models.get_model(RCNN, weights=None, weights_backbone=None).eval()
    model.load_state_dict(torch.load(rcnn, weights_only=True))
    model.transform.min_size, model.transform.max_size = (96,), 192
    pixels = torch.from_numpy(np.asarray(Image.open(photo)).copy()).permute(2, 0, 1) / 255
    with torch.inference_mode():
        images, _ = model.transform([pixels])
        assert images.image_sizes == [(96, 144)]
        boxes = torch.from_numpy(found.columns["boxes"]) * torch.tensor([144, 96, 144, 96])
        pooled = model.roi_heads.box_roi_pool(model.backbone(images.tensors), [boxes], images.image_sizes)
        expected = model.roi_heads.box_head(pooled)
        logits, _ = model.roi_heads.box_predictor(expected[1:])
    np.testing.assert_allclose(found.features, expected.numpy(), rtol=1e-3, atol=1e-4 * expected.abs().max().item())
    scores = logits.softmax(1)[:, 1:]
    np.testing.assert_allclose(scores.gather(1, torch.from_numpy(found.columns["labels"][1:, None]).long())[:, 0],
                               found.columns["scores"][1:], rtol=1e-3)  # fmt: skip
    assert detector.label_names[0] == "person"


def test_a_detr_gives_the_states_of_its_decoder(detr: Path, photo: Path):
    detector = Detector(of_detr(detr, min_regions=6))
    assert detector.weights == "tiny-detr"
    assert len(detector.label_names) == 5
    (found,) = detector.extract([detector.transform.prepare(photo)])
    assert found.features.shape == (7, 32)
    model = transformers.DetrForObjectDetection.from_pretrained(detr).eval()
    processor = transformers.DetrImageProcessor.from_pretrained(detr)
    with torch.inference_mode():
        result = model(**processor(images=[Image.open(photo)], return_tensors="pt"))
    scores, labels = result.logits[0].softmax(1)[:, :-1].max(1)
    order = scores.argsort(descending=True)[:6]
    np.testing.assert_allclose(found.features[1:], result.last_hidden_state[0][order], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.features[0], result.last_hidden_state[0].mean(0), rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(found.columns["labels"][1:], labels[order])
    np.testing.assert_allclose(found.columns["scores"][1:], scores[order], rtol=1e-4)
    centre_x, centre_y, width, height = result.pred_boxes[0][order].T
    corners = torch.stack([centre_x - width / 2, centre_y - height / 2, centre_x + width / 2, centre_y + height / 2], 1)
    np.testing.assert_allclose(found.columns["boxes"][1:], corners.clamp(0, 1), rtol=1e-4, atol=1e-5)


def test_another_size_keeps_the_shape_of_the_image(detr: Path, rcnn: Path, photo: Path):
    detector = Detector(of_detr(detr, image_size=64))
    assert tuple(detector.transform.prepare(photo)["pixel_values"].shape) == (1, 3, 64, 96)
    assert detector.description["transform"]["image_size"] == 64
    assert Detector(of_detr(detr)).fingerprint != detector.fingerprint
    assert Detector(of_rcnn(rcnn, image_size=None)).description["transform"]["image_size"] == 320


@pytest.mark.parametrize("kind", ["rcnn", "detr"])
def test_an_image_does_not_depend_on_those_beside_it(kind: str, request: pytest.FixtureRequest, photo: Path, tmp_path: Path):
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (50, 200, 3), np.uint8)).save(tmp_path / "other.png")
    detector = Detector((of_rcnn if kind == "rcnn" else of_detr)(request.getfixturevalue(kind)))
    images = [detector.transform.prepare(tmp_path / "other.png"), detector.transform.prepare(photo)]
    together, alone = detector.extract(images)[1], detector.extract(images[1:])[0]
    np.testing.assert_array_equal(together.features, alone.features)
    elsewhere = pickle.loads(pickle.dumps(detector.transform)).prepare(photo)  # as a loader process does
    np.testing.assert_array_equal(detector.extract([elsewhere])[0].features, alone.features)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"output": "regions"}, "output=regions needs a detector, and timm has none: set library=torchvision"),
        ({"output": "regions", "library": "torchvision", "layers": ("layer4",)}, "layers=[layer4] needs another output"),
        ({"output": "regions", "library": "torchvision", "grid_size": 2}, "grid_size=2 needs another output than regions"),
        ({"output": "regions", "library": "torchvision", "batch_rows": 2}, "batch_rows=2 needs another output than regions"),
        ({"output": "regions", "library": "torchvision", "precision": "bfloat16"}, "computes in float32"),
        ({"output": "regions", "library": "torchvision", "min_regions": 40, "max_regions": 36}, "min_regions=40 is more than"),
        ({"max_regions": 36}, "max_regions=36 needs output=regions"),
        ({"region_score": 0.5}, "region_score=0.5 needs output=regions"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict, words: str):
    with pytest.raises(ValidationError) as error:
        FeaturesConfig(**options)
    assert words in str(error.value)


def test_what_is_no_detector_is_refused(tmp_path: Path):
    regions = {"library": "torchvision", "weights": "hub", "output": "regions"}
    assert "unknown detector 'resnet18'" in refusal(Detector, FeaturesConfig(**regions, backbone="resnet18"))
    assert f"did you mean '{RCNN}'" in refusal(Detector, FeaturesConfig(**regions, backbone=RCNN[:-1]))
    transformers.ResNetModel(transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])).save_pretrained(
        tmp_path / "resnet"
    )
    text = refusal(Detector, FeaturesConfig(**{**regions, "library": "transformers"}, backbone=str(tmp_path / "resnet")))
    assert "a resnet model is not a detector" in text
