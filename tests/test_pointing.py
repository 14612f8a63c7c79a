"""Visual7W pointing from drawn images to the right box."""

from pathlib import Path

import pytest

from tests.official import draw_visual7w
from tests.test_recipes import SMALL, run
from vqa_rnn.cli import main

OPTIONS = [
    *[option for option in SMALL if not option.startswith(("training.max_epochs", "training.batch_size"))],
    "features.batch_rows=16",
    "features.layers=[blocks.1]",
    "features.grid_size=null",
    "training.max_epochs=12",
    "training.batch_size=32",
    "training.learning_rate=0.01",
    "model.reasoning.hidden_size=32",
]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pointing")
    draw_visual7w(folder / "data" / "visual7w", "pointing", images=(150, 30, 300))
    return folder


def test_pointing_finds_the_box_and_without_features_it_guesses(
    drawn: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(drawn)
    run(capsys, "preprocess", "visual7w/pointing", *OPTIONS)
    run(capsys, "train", "visual7w/pointing", *OPTIONS, "run.name=full")
    run(capsys, "train", "visual7w/pointing", *OPTIONS, "run.name=blind", "model.ablate=question_only")
    full = run(capsys, "evaluate", "runs/full", "--json")
    blind = run(capsys, "evaluate", "runs/blind", "--json")
    assert full["num_questions"] == blind["num_questions"] == 1200
    assert full["metrics"]["accuracy"] >= 0.9
    assert blind["metrics"]["accuracy"] <= 0.3
    assert full["floors"]["images_shuffled"]["accuracy"] <= 0.35
    assert main(["ask", "runs/full", "--image", "data/visual7w/images/v7w_1.jpg", "--question", "Which thing is red?"]) == 2
    assert "needs boxes in the image, which cannot be given here" in capsys.readouterr().err


def test_what_pointing_needs_is_said(drawn: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(drawn)
    grid = [*OPTIONS, "features.output=grid", "run.name=grid"]
    assert main(["preprocess", "visual7w/pointing", *grid]) == 0
    capsys.readouterr()
    assert main(["train", "visual7w/pointing", *grid]) == 2
    assert "does not hold the boxes that question 10 chooses among" in capsys.readouterr().err
    assert main(["train", "visual7w/pointing", *OPTIONS, "model.head.choices=texts", "run.name=texts"]) == 2
    assert "has 0 choices, but model.head.name=choice with model.head.choices=texts" in capsys.readouterr().err
    assert main(["train", "visual7w/pointing", *OPTIONS, "model.head.name=classifier", "run.name=classes"]) == 2
    assert "chooses among regions of the image: set model.head.name=choice" in capsys.readouterr().err
