"""``vqa-rnn draw`` from digits to a run, an evaluation and a picture."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.interruptions import check_resume, early_and_half_way
from vqa_rnn.cli import main
from vqa_rnn.sequences import draw_data, draw_run

SMALL = (
    "data.scale=1",
    "model.hidden_size=16",
    "model.steps=3",
    "model.latent_size=3",
    "model.attention.read_size=3",
    "model.attention.write_size=4",
    "training.batch_size=500",
    "training.max_epochs=3",
    "training.learning_rate=0.01",
    "training.log_steps=1",
    "training.loggers=[]",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("draw")
    assert main(["draw", "train", *SMALL, f"run.folder={folder}", "run.name=small"]) == 0
    return folder / "small"


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    return error.removeprefix("error: ")


@pytest.mark.parametrize("extra", [(), ("model.attention.name=none", "model.cell=gru", "training.ema_decay=0.9")])
def test_an_interrupted_run_continues_bit_for_bit(
    tmp_path: Path, extra: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = [option for option in SMALL if not (extra and "attention" in option)]
    command = ["draw", "train", *small, *extra]
    check_resume(
        command,
        early_and_half_way,
        ("model.safetensors", "metrics.jsonl"),
        monkeypatch,
        before_resume=lambda: torch.manual_seed(99),
    )  # a new process
    scores = [json.loads(line) for line in Path("runs/whole/metrics.jsonl").read_text().splitlines()]
    nats = [line["val_nats"] for line in scores if "val_nats" in line]
    assert nats == sorted(nats, reverse=True), "it learns"
    assert "best validation: " in capsys.readouterr().err


def test_an_evaluation_is_that_of_the_training_and_always_the_same(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        capsys.readouterr()
        assert main(["draw", "evaluate", str(trained), "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    result, metrics = found[0], found[0]["metrics"]
    scores = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert metrics["nats"] == pytest.approx(min(line["val_nats"] for line in scores if "val_nats" in line), abs=1e-9)
    assert metrics["nats"] == pytest.approx(metrics["reconstruction"] + metrics["divergence"])
    assert (result["split"], result["counts"]) == ("val", {"images": 360})
    floors = {name: floor["nats"] for name, floor in result["floors"].items()}
    assert result["ceilings"]["entropy"]["nats"] < floors["classes"] < floors["pixels"] < metrics["nats"]
    assert result["intervals"]["nats"][0] < metrics["nats"] < result["intervals"]["nats"][1]
    assert result["copies"]["drawings"] == sorted(result["copies"]["drawings"])
    assert main(["draw", "evaluate", str(trained)]) == 0
    text = capsys.readouterr().out
    assert "nats (lower is better)" in text
    assert f"{metrics['nats']:.2f}" in text
    assert "%" not in text.partition("drawings closer")[0].replace("95% interval", ""), "nats are no fractions"
    assert "drawings closer than any validation digit: " in text


def test_samples_depend_on_their_seed_alone(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "a.png"

    def sampled(*options: str) -> list[dict[str, float]]:
        capsys.readouterr()
        assert main(["draw", "sample", str(trained), "--picture", str(picture), "--json", *options]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["picture"] == str(picture)
        return result["nearest"]  # type: ignore[no-any-return]

    two, four = sampled("--num", "2", "--seed", "3"), sampled("--num", "4", "--seed", "3")
    assert len(four) == 4
    assert [each["distance"] for each in two] == pytest.approx([each["distance"] for each in four[:2]], abs=1e-5)
    assert sampled("--num", "4", "--seed", "4") != four
    with Image.open(picture) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB")).astype(int)
    is_red = (pixels[..., 0] > 200) & (pixels[..., 1:] < 100).all(axis=2)
    assert is_red.sum() > 100, "the windows are drawn"


def test_what_is_wrong_is_said_in_one_line(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    grid = said(capsys, "draw", "train", "data.scale=1", "model.attention.read_size=9")
    assert "model.attention.read_size=9 is larger than the image, which is 8 pixels wide" in grid
    assert "data: source=mnist needs data.folder" in said(capsys, "draw", "train", "data.source=mnist")
    assert "data.folder is for source=mnist: leave it out" in said(capsys, "draw", "train", "data.folder=here")
    assert "no file at " in said(capsys, "draw", "train", "data.source=mnist", "data.folder=here")
    assert "read_size" in said(capsys, "draw", "train", "model.attention.name=none", "model.attention.read_size=3")
    assert "did you mean 'latent_size'?" in said(capsys, "draw", "train", "model.latent_siz=3")
    assert not Path("runs").exists()
    assert said(capsys, "draw", "sample", "runs/none") == (
        "no run folder at runs/none: train a model that draws first, with vqa-rnn draw train"
    )
    assert said(capsys, "draw", "sample", str(trained), "--picture", "a.jpg") == (
        "--picture a.jpg: give the name of a .png file"
    )
    assert said(capsys, "lm", "sample", str(trained)) == f"{trained} is not a language model: give a run of vqa-rnn lm train"
    same = [f"run.folder={trained.parent}", "run.name=small"]
    changed = said(capsys, "draw", "train", *SMALL, *same, "model.latent_size=4", "--resume")
    assert "was trained with model.latent_size=3, not 4" in changed
    read = draw_data.read_draw_digits

    def other(*arguments: object) -> draw_data.DrawDigits:
        digits = read(*arguments)  # type: ignore[arg-type]
        return digits._replace(images=digits.images.flip(2))

    monkeypatch.setattr(draw_run, "read_draw_digits", other)
    assert "have changed since" in said(capsys, "draw", "evaluate", str(trained))


def test_all_options_are_printed_with_their_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draw", "train", "--print-config"]) == 0
    printed = capsys.readouterr().out
    assert "write_size: 5" in printed
    assert "name: draw" in printed
    assert "Size of the latent vector of each step." in printed
