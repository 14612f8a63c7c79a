"""``vqa-rnn glimpses`` from digits to a run, its scores and a picture."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.interruptions import at_steps, check_resume
from tests.sequences.test_digits import write_idx
from vqa_rnn.cli import main
from vqa_rnn.sequences.digits import MNIST_FILES, read_digits

SMALL = (
    "data.num_train=40",
    "data.num_val=30",
    "model.hidden_size=8",
    "model.glimpses_per_digit=1",
    "training.batch_size=16",
    "training.max_epochs=2",
    "training.log_steps=1",
    "training.num_threads=1",
    "training.loggers=[]",
)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    return error.removeprefix("error: ")


@pytest.mark.parametrize("extra", [(), ("data.fewest_digits=1", "model.cell=gru", "training.ema_decay=0.9")])
def test_an_interrupted_run_continues_bit_for_bit(extra: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["glimpses", "train", *SMALL, *extra]
    check_resume(command, at_steps(2, 4), ("model.safetensors", "metrics.jsonl", "vocabulary.json"), monkeypatch)


def test_a_run_is_evaluated_and_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["glimpses", "train", *SMALL, "data.num_digits=1"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1] == (
        "runs/glimpses is trained. Evaluate it: vqa-rnn glimpses evaluate runs/glimpses    "
        "See where it looks: vqa-rnn glimpses look runs/glimpses"
    )
    results = []
    for _ in range(2):
        assert main(["glimpses", "evaluate", "runs/glimpses", "--json"]) == 0
        results.append(json.loads(capsys.readouterr().out))
    assert results[0] == results[1]
    assert (results[0]["split"], results[0]["counts"]) == ("val", {"scenes": 30})
    assert set(results[0]["metrics"]) == {"accuracy", "digit_accuracy", "digit_1", "end"}
    assert set(results[0]["floors"]) == {"most_frequent_sequence", "random_places", "one_glimpse"}
    best = max(json.loads(line).get("val_accuracy", 0) for line in Path("runs/glimpses/metrics.jsonl").read_text().splitlines())
    assert results[0]["metrics"]["accuracy"] == best, "the evaluation is that of training"
    low, high = results[0]["intervals"]["digit_accuracy"]
    assert low <= results[0]["metrics"]["digit_accuracy"] <= high
    assert main(["glimpses", "evaluate", "runs/glimpses"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("glimpses, sklearn, val split, 30 scenes ")
    assert "this model, at random places" in printed
    rows = json.loads(Path("runs/glimpses/evaluation/val_predictions.json").read_text())
    assert [row["scores"]["accuracy"] for row in rows] == [row["answer"] == row["digits"] for row in rows]
    assert main(["glimpses", "evaluate", "runs/glimpses", "--split", "train", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"scenes": 30}
    assert said(capsys, "glimpses", "evaluate", "runs/glimpses", "--split", "test") == (
        "runs/glimpses has no test split: give --split train or --split val"
    )
    assert main(["glimpses", "look", "runs/glimpses", "--num", "4", "--picture", "new/path.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["scene 1", "scene 2", "scene 3", "scene 4", "picture"]
    assert Image.open("new/path.png").size[0] > 600
    assert main(["glimpses", "look", "runs/glimpses", "--num", "1", "--json"]) == 0
    looked = json.loads(capsys.readouterr().out)
    assert looked["picture"] == "glimpses.png"
    assert f"scene 1: read {looked['scenes'][0]['read']}" in lines[0]
    assert np.shape(looked["scenes"][0]["places"]) == (2, 2)


def test_the_floor_is_the_most_frequent_sequence_of_the_training_scenes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, labels in (("train", [3, 3, 5]), ("val", [3, 5, 5, 5])):
        digits = read_digits("sklearn", "val")
        chosen = [digits.images[digits.labels == label][0] for label in labels]
        images = [Image.fromarray(image).resize((28, 28)) for image in chosen]
        write_idx(tmp_path / MNIST_FILES[split][0], 255 * np.stack(images))
        write_idx(tmp_path / MNIST_FILES[split][1], np.array(labels))
    mnist = ("data.source=mnist", f"data.folder={tmp_path}", "data.canvas_size=28", "data.num_digits=1")
    assert main(["glimpses", "train", *SMALL, *mnist, "data.num_train=300"]) == 0
    capsys.readouterr()
    assert main(["glimpses", "evaluate", "runs/glimpses", "--json"]) == 0
    floor = json.loads(capsys.readouterr().out)["floors"]["most_frequent_sequence"]["accuracy"]
    assert floor == pytest.approx(1 / 4, abs=0.2), "a 3, which is rare among the validation digits"
    write_idx(tmp_path / MNIST_FILES["train"][1], np.array([3, 3, 3]))
    changed = said(capsys, "glimpses", "train", *SMALL, *mnist, "data.num_train=300", "--resume")
    assert changed.startswith(f"{tmp_path} has changed since runs/glimpses began")


def test_what_is_wrong_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def train(*options: str) -> str:
        return said(capsys, "glimpses", "train", *SMALL, *options)

    assert "data: source=mnist needs data.folder, the folder with its four files" in train("data.source=mnist")
    assert "data.folder is for source=mnist: leave it out with source=sklearn" in train("data.folder=here")
    missing = train("data.source=mnist", "data.folder=none", "data.canvas_size=60")
    assert missing == "no file at none/train-images-idx3-ubyte.gz: the folder of MNIST has its four official files, compressed"
    assert "fewest_digits=3 is more than num_digits=2" in train("data.fewest_digits=3")
    narrow = train("data.num_digits=3", "data.canvas_size=23")
    assert "canvas_size=23 is too small for 3 digits of 8 pixels side by side: at least 24" in narrow
    wide = train("model.num_scales=4")
    assert "the widest patch of a glimpse has 64 pixels, more than twice data.canvas_size=24" in wide
    assert "model.context_size=25 is more than data.canvas_size=24" in train("model.context_size=25")
    assert "did you mean 'glimpse_size'?" in train("model.glimps_size=3")
    assert not Path("runs").exists(), "nothing is half-written"
    assert said(capsys, "glimpses", "look", "runs/none") == (
        "no run folder at runs/none: train a reader of glimpses first, with vqa-rnn glimpses train"
    )
    assert said(capsys, "glimpses", "look", "runs/none", "--picture", "a.jpg") == (
        "--picture a.jpg: give the name of a .png file"
    )
    assert main(["glimpses", "train", *SMALL]) == 0
    assert said(capsys, "glimpses", "look", "runs/glimpses", "--num", "31") == (
        "--num 31: runs/glimpses has 30 validation scenes"
    )
    assert said(capsys, "lm", "sample", "runs/glimpses") == (
        "runs/glimpses is not a language model: give a run of vqa-rnn lm train"
    )
    assert train("model.location_std=0.3", "--resume").startswith(
        "runs/glimpses was trained with model.location_std=0.2, not 0.3: a resume may only change data.folder, "
    )
