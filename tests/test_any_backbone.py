"""From pictures to an answer with each kind of backbone: a CLIP, a DINOv2, a SigLIP, a Faster R-CNN and a DETR, at random."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import TINY, draw, draw_questions
from tests.features.test_detectors import RCNN, detr, rcnn  # noqa: F401 - fixtures
from tests.features.test_huggingface import save_model
from vqa_rnn.cli import main
from vqa_rnn.features.store import open_store

KINDS = ("clip", "dinov2", "siglip", "rcnn", "detr")


def backbone(kind: str, folder: Path, request: pytest.FixtureRequest) -> list[str]:
    """The overrides that name it."""
    if kind == "rcnn":
        weights = request.getfixturevalue("rcnn")
        return ["features.library=torchvision", f"features.backbone={RCNN}", f"features.weights={weights}"]
    if kind == "detr":
        path = request.getfixturevalue("detr")
    else:
        path = folder / f"tiny-{kind}"
        save_model(kind, path)
    return ["features.library=transformers", f"features.backbone={path}", "features.weights=hub"]


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_extracted_trained_on_and_asked_about(
    kind: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    draw_questions(tmp_path)
    options = ["dataset.path=questions.jsonl", *(option for option in TINY if not option.startswith("features."))]
    options += [*backbone(kind, tmp_path, request), "training.max_epochs=1", "model.geometry=true", "run.name=seen"]
    if kind in ("rcnn", "detr"):
        options += ["features.output=regions", "features.min_regions=3", "features.max_regions=5", "features.image_size=64"]
    assert main(["preprocess", "jsonl", *options]) == 0
    (path,) = (tmp_path / "features").glob("*.h5")
    store = open_store(path)
    assert len(store.row_of) == 10
    assert np.isfinite(store.read(np.arange(10))).all()
    if kind in ("rcnn", "detr"):
        assert store.region_columns == ("boxes", "labels", "scores")
        assert set(store.num_regions.tolist()) <= {4, 5, 6}
        assert len(store.attributes["label_names"]) == (90 if kind == "rcnn" else 5)
    else:
        assert store.num_regions_max == 16
    assert main(["preprocess", "jsonl", *options]) == 0
    assert "nothing left to do" in capsys.readouterr().out
    assert main(["features", "info", str(path)]) == 0
    assert main(["train", "jsonl", *options]) == 0
    draw(tmp_path / "new.png", "red")
    capsys.readouterr()
    assert main(["ask", "runs/seen", "--image", "new.png", "--question", "What colour is it?", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["answers"]
    assert main(["train", "jsonl", *options, f"features.store={path}", "features.dtype=float32", "run.name=other"]) == 2
    assert "features.dtype=float16, not float32" in capsys.readouterr().err
    folder = tmp_path / f"tiny-{kind}"
    if folder.is_dir():
        (tmp_path / "moved").mkdir()
        moved = folder.rename(tmp_path / "moved" / folder.name)
        question = ["--image", "new.png", "--question", "What colour is it?"]
        assert main(["ask", "runs/seen", *question]) == 2
        assert "ask: --weights FOLDER" in capsys.readouterr().err
        assert main(["ask", "runs/seen", *question, "--weights", str(moved)]) == 0
