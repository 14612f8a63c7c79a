"""Every recipe of an official benchmark trains on a small data set in the official format, and its submission can be scored."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.features.test_detectors import RCNN, rcnn  # noqa: F401 - a fixture
from tests.official import draw_clevr, draw_clevr_dialog, draw_medical, draw_visdial, draw_visual7w, draw_vqa
from vqa_rnn.cli import main
from vqa_rnn.config.files import list_recipes, load_config
from vqa_rnn.features.store import open_store

SMALL = [
    "features.library=timm",
    "features.backbone=tf_efficientnet_lite0",
    "features.weights=package",
    "features.image_size=64",
    "features.layers=[blocks.2]",
    "features.grid_size=2",
    "features.precision=float32",
    "model.question.embedding_size=16",
    "model.question.hidden_size=16",
    "training.max_epochs=1",
    "training.batch_size=8",
    "training.precision=float32",
    "text.min_answer_count=1",
    "evaluation.bootstrap_samples=20",
]
OFFICIAL = {"vqa", "visual7w", "visdial", "clevr", "clevr_dialog", "slake", "vqa_rad"}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    code = main(list(arguments))
    printed = capsys.readouterr()
    assert code == 0, printed.err
    return json.loads(printed.out) if printed.out.startswith("{") else printed.out


def train(capsys: pytest.CaptureFixture[str], recipe: str, *options: str) -> None:
    """Extract, train one epoch into ``runs/it``."""
    run(capsys, "preprocess", recipe, *SMALL, *options)
    run(capsys, "train", recipe, *SMALL, "run.name=it", *options)


def predict(capsys: pytest.CaptureFixture[str], split: str) -> Any:
    report = run(capsys, "predict", "runs/it", "--split", split, "--output", f"{split}.json", "--json")
    assert report["output"] == f"{split}.json"
    rows = json.loads(Path(f"{split}.json").read_text(encoding="utf-8"))
    assert report["num_questions"] == len(rows)
    return rows


@pytest.fixture(autouse=True)
def _in_a_fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


REGIONS = ["vqa/regions", "vqa/top_down", "vqa/ban8", "vqa/mcan_small", "vqa/mfh"]
VQA = ["vqa", "vqa/mutan", "vqa/san", "vqa/v1", "vqa/v1_multiple_choice"]
TESTED = {*REGIONS, *VQA, "visual7w", "visual7w/mlp", "visual7w/pointing"}
CLEVR = ["clevr", "clevr/cnn_lstm", "clevr/lstm", "clevr/small", "clevr/small_cnn_lstm", "clevr/small_lstm"]
CLEVR += ["clevr/small_mac", "clevr/film", "clevr/mac"]
SHAPES_VQA = ["shapes_vqa", "shapes_vqa/mac", "shapes_vqa/mean"]
VISDIAL = ["visdial", "visdial/hierarchical", "visdial/memory", "visdial/memory_attention", "visdial/generative", "visdial/v09"]
VISDIAL += ["visdial/text", "shapes_dialog"]
MEDICAL = ["slake", "vqa_rad"]
TESTED |= {*CLEVR, *SHAPES_VQA, *VISDIAL, *MEDICAL, "clevr_dialog"}


def test_every_official_recipe_is_tried_here():
    assert {name for name in list_recipes() if load_config(name).dataset.name in OFFICIAL} == TESTED


@pytest.mark.parametrize("recipe", REGIONS)
def test_vqa_on_the_regions_of_a_detector(recipe: str, rcnn: Path, capsys: pytest.CaptureFixture[str]):  # noqa: F811
    draw_vqa(Path("data/vqa"), "v2", "open_ended")
    options = [option for option in SMALL if not option.startswith("features.")]
    options += [f"features.backbone={RCNN}", f"features.weights={rcnn}", "features.image_size=64"]
    options += ["features.store=regions.h5", "model.question.hidden_size=16"]
    options += ["model.reasoning.hidden_size=16"] if recipe == "vqa/mcan_small" else []
    most = 37 if recipe in ("vqa/regions", "vqa/top_down") else 101
    run(capsys, "preprocess", recipe, *options)
    store = open_store(Path("regions.h5"))
    assert (store.num_regions_max, store.feature_size) == (most, 1024)
    assert (store.num_regions >= (37 if most == 37 else 11)).all()
    run(capsys, "train", recipe, *options, "run.name=it")
    assert predict(capsys, "val")


@pytest.mark.parametrize("recipe", VQA)
def test_vqa(recipe: str, capsys: pytest.CaptureFixture[str]):
    dataset = load_config(recipe).dataset
    draw_vqa(Path("data/vqa"), dataset.version, dataset.task)  # type: ignore[union-attr]
    train(capsys, recipe, *(["model.attention.hidden_size=16"] if recipe == "vqa/san" else []))
    rows = predict(capsys, "val")
    prefix = "v2_" if dataset.version == "v2" else ""  # type: ignore[union-attr]
    kind = "MultipleChoice" if recipe.endswith("multiple_choice") else "OpenEnded"
    files = ["--questions", f"data/vqa/{prefix}{kind}_mscoco_val2014_questions.json"]
    files += ["--annotations", f"data/vqa/{prefix}mscoco_val2014_annotations.json", "--results", "val.json"]
    scored = run(capsys, "score", "vqa", *files, "--json")
    evaluated = run(capsys, "evaluate", "runs/it", "--split", "val", "--json")
    assert scored["num_questions"] == evaluated["num_questions"] == len(rows) == 30
    assert scored["accuracy"] == pytest.approx(evaluated["metrics"]["accuracy"], abs=1e-12)
    for kind_of_answer, accuracy in scored["per_answer_type"].items():
        row = evaluated["per_type"]["answer_type"][kind_of_answer]
        assert row["accuracy"] == pytest.approx(accuracy, abs=1e-12)
    assert ("chance" in evaluated["floors"]) == recipe.endswith("multiple_choice")
    assert len(predict(capsys, "test")) == 30  # the answers are not there


@pytest.mark.parametrize("recipe", ["visual7w", "visual7w/mlp", "visual7w/pointing"])
def test_visual7w(recipe: str, capsys: pytest.CaptureFixture[str]):
    task = load_config(recipe).dataset.task  # type: ignore[union-attr]
    draw_visual7w(Path("data/visual7w"), task)
    train(capsys, recipe, *(["model.head.hidden_size=64"] if recipe.endswith("mlp") else []))
    rows = predict(capsys, "test")
    assert {type(row["candidates"][0]["answer"]) for row in rows} == {int if task == "pointing" else str}
    dataset = ["--dataset", f"data/visual7w/dataset_v7w_{task}.json"]
    scored = run(capsys, "score", "visual7w", *dataset, "--results", "test.json", "--split", "test", "--json")
    evaluated = run(capsys, "evaluate", "runs/it", "--split", "test", "--json")
    assert scored["num_questions"] == len(rows) == 20
    assert scored["accuracy"] == pytest.approx(evaluated["metrics"]["accuracy"], abs=1e-12)
    assert evaluated["floors"]["chance"]["accuracy"] == 0.25


@pytest.mark.parametrize("recipe", [*CLEVR, *SHAPES_VQA])
def test_clevr(recipe: str, capsys: pytest.CaptureFixture[str]):
    draw_clevr(load_config(recipe).dataset.root)  # type: ignore[union-attr]
    train(capsys, recipe)
    assert [row["question_index"] for row in predict(capsys, "test")] == list(range(20))
    evaluated = run(capsys, "evaluate", "runs/it", "--json")
    assert evaluated["split"] == "val"
    assert set(evaluated["per_type"]["question_type"]) == {"count", "query attribute"}


@pytest.mark.parametrize("recipe", MEDICAL)
def test_medical(recipe: str, capsys: pytest.CaptureFixture[str]):
    root = draw_medical(load_config(recipe).dataset.root, recipe)  # type: ignore[union-attr]
    more = ["dataset.validation_fraction=0.4"]  # few questions are drawn, and open and closed ones are needed
    more += ["dataset.validation_cut=question"] if recipe == "vqa_rad" else []
    train(capsys, recipe, *more)
    assert len(predict(capsys, "test")) == 16
    rows = predict(capsys, "val")
    assert {type(row["qid"]) for row in rows} == {int}
    evaluated = run(capsys, "evaluate", "runs/it", "--json")
    assert evaluated["split"] == "val"
    assert list(evaluated["metrics"]) == ["accuracy", "open", "closed"]
    assert evaluated["floors"]["question_string"].keys() >= {"accuracy", "open", "closed"}
    scored = run(capsys, "score", recipe, "--results", "val.json", "--split", "val", f"dataset.root={root}", *more, "--json")
    assert {name: scored[name] for name in evaluated["metrics"]} == pytest.approx(evaluated["metrics"])
    assert scored["num_questions"] == len(rows)


@pytest.mark.parametrize("recipe", VISDIAL)
def test_visdial(recipe: str, capsys: pytest.CaptureFixture[str]):
    dataset: Any = load_config(recipe).dataset
    draw_visdial(dataset.root)
    if dataset.version == "0.9":
        move_to_v09(dataset.root)
    train(capsys, recipe, "text.min_count=1")
    rows = predict(capsys, "val")
    assert [(row["image_id"], row["round_id"]) for row in rows[:4]] == [(2000, 1), (2000, 2), (2000, 3), (2001, 1)]
    assert all(sorted(row["ranks"]) == list(range(1, 9)) for row in rows)
    files = ["--dialogs", str(dataset.root / f"visdial_{dataset.version}_val.json"), "--results", "val.json"]
    names = ["r@1", "r@5", "r@10", "mean_rank", "mrr"]
    if dataset.version == "1.0":
        files += ["--dense", str(dataset.root / "visdial_1.0_val_dense_annotations.json")]
        names.append("ndcg")
    scored = run(capsys, "score", "visdial", *files, "--json")
    evaluated = run(capsys, "evaluate", "runs/it", "--split", "val", "--json")
    for name in names:
        assert scored[name] == pytest.approx(evaluated["metrics"][name], abs=1e-12)
    assert set(evaluated["per_type"]["round"]) == {"1", "2", "3"}
    if dataset.version == "1.0":  # one entry an image, its last round
        dialogs = json.loads((dataset.root / "visdial_1.0_test.json").read_text())["data"]["dialogs"]
        asked = {dialog["image_id"]: len(dialog["dialog"]) for dialog in dialogs}
        assert {row["image_id"]: row["round_id"] for row in predict(capsys, "test")} == asked


def move_to_v09(root: Path) -> None:
    """The same dialogs under the names of release 0.9."""
    for split in ("train", "val"):
        (root / f"visdial_1.0_{split}.json").rename(root / f"visdial_0.9_{split}.json")
    (root / "VisualDialog_val2018").rename(root / "val2014")
    for path in (root / "val2014").iterdir():
        path.rename(path.with_name(path.name.replace("VisualDialog_val2018", "COCO_val2014")))


def test_clevr_dialog(capsys: pytest.CaptureFixture[str]):
    draw_clevr_dialog(Path("data/CLEVR_v1.0"))
    train(capsys, "clevr_dialog")
    rows = predict(capsys, "test")
    assert set(rows[0]) == {"image_index", "dialog_index", "round_index", "answer"}
    assert run(capsys, "evaluate", "runs/it", "--split", "val", "--json")["num_questions"] > 0
