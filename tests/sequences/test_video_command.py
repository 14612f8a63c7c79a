"""``vqa-rnn video`` from moving shapes or image files to a run, its evaluation and a prediction."""

import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from tests.interruptions import at_steps, check_resume
from tests.sequences.test_video import LINE, write_lines
from vqa_rnn.cli import main
from vqa_rnn.commands.sequences.tables import print_evaluation
from vqa_rnn.commands.video.evaluate import parts_of

SMALL = (
    "model.hidden_size=8",
    "model.frame_size=8",
    "training.batch_size=8",
    "training.max_epochs=3",
    "training.log_steps=1",
    "training.loggers=[]",
    "run.device=cpu",
)
SHAPES = ("moving_shapes", "data.num_train=24", "data.num_val=9", "data.num_test=12", "data.image_size=24", *SMALL)
FEATURES = ("data.features.image_size=32", "data.features.layers=[blocks.1]", "data.features.precision=float32")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main([*arguments]) == 2
    captured = capsys.readouterr()
    error = captured.err.splitlines()[-1]
    assert captured.out == ""
    assert error.startswith("error: ")
    return error.removeprefix("error: ")


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("extra", [(), ("model.output=frame", "model.bidirectional=true", "training.ema_decay=0.9")])
def test_an_interrupted_run_continues_bit_for_bit(extra: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["video", "train", *SHAPES, "model.dropout=0.3", *extra]
    check_resume(command, at_steps(2, 5), ("model.safetensors", "metrics.jsonl", "vocabulary.json"), monkeypatch)


def test_own_videos_are_preprocessed_trained_evaluated_and_labelled(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["video", "generate", "shapes", "--count", "20"]) == 0
    assert capsys.readouterr().out == "shapes/videos.jsonl\n"
    lines = [json.loads(line) for line in Path("shapes/videos.jsonl").read_text().splitlines()]
    assert [line["split"] for line in lines[:10]] == ["train"] * 8 + ["val", "test"]
    num_frames = sum(len(line["frames"]) for line in lines)
    own = ("shapes/videos.jsonl", *FEATURES)
    no_features = said(capsys, "video", "train", *own, *SMALL)
    assert no_features.endswith(": run vqa-rnn video preprocess shapes/videos.jsonl with the same options")
    report = shown(capsys, "video", "preprocess", *own)
    assert (report["num_images"], report["num_done"]) == (num_frames, num_frames)
    assert main(["video", "train", *own, *SMALL, "model.output=frame"]) == 0
    assert set(json.loads(Path("runs/videos/frames.json").read_text())) == {"feature_size", "fingerprint", "compute"}

    found = shown(capsys, "video", "evaluate", "runs/videos")
    num_labels = len(lines[9]["frames"]) + len(lines[19]["frames"])
    assert (found["split"], found["counts"]) == ("test", {"labels": num_labels, "videos": 2})
    assert set(found["floors"]) == {"most_frequent_label", "shuffled_frames", "single_frames"}
    assert found == json.loads(Path("runs/videos/evaluation/test.json").read_text())
    assert found == shown(capsys, "video", "evaluate", "runs/videos", "--split", "test")

    frames = [f"shapes/{name}" for name in lines[0]["frames"]]
    labelled = shown(capsys, "video", "predict", "runs/videos", *frames, "--picture", "video.png")
    assert [each["frame"] for each in labelled["frames"]] == frames
    assert labelled == shown(capsys, "video", "predict", "runs/videos", "shapes/0000")
    with Image.open("video.png") as picture:
        assert picture.width > 4 * picture.height
    # the same features as in the store: the same labels as in training
    right = sum(each["label"] == label for each, label in zip(labelled["frames"], lines[0]["labels"], strict=True))
    alone = dict(lines[0], split="test")
    write_lines(Path("shapes/one.jsonl"), *[dict(line, split="train") for line in lines[1:]], alone)
    assert main(["video", "preprocess", "shapes/one.jsonl", *FEATURES]) == 0
    moved = shown(capsys, "video", "evaluate", "runs/videos", "data.path=shapes/one.jsonl")
    assert moved["metrics"]["accuracy"] == pytest.approx(right / len(frames))
    assert moved["questions_sha256"] != found["questions_sha256"], "compare would refuse them"


def test_a_trained_run_is_evaluated_and_predicts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["video", "train", *SHAPES]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1] == (
        "runs/moving_shapes is trained. Evaluate it: vqa-rnn video evaluate runs/moving_shapes    "
        "Label a video: vqa-rnn video predict runs/moving_shapes FRAME …"
    )
    found = shown(capsys, "video", "evaluate", "runs/moving_shapes")
    assert (found["split"], found["counts"]) == ("test", {"labels": 12, "videos": 12})
    assert set(found["floors"]) == {"most_frequent_label", "shuffled_frames", "last_frame"}
    total = sum(values["accuracy"] * values["count"] for values in found["per_class"].values())
    assert found["metrics"]["accuracy"] == pytest.approx(total / 12)
    low, high = found["intervals"]["accuracy"]
    assert low <= found["metrics"]["accuracy"] <= high
    assert shown(capsys, "video", "evaluate", "runs/moving_shapes", "--split", "val")["counts"]["videos"] == 9
    assert main(["video", "evaluate", "runs/moving_shapes"]) == 0
    assert "this model, last frame only" in capsys.readouterr().out

    assert main(["video", "generate", "shapes", "--count", "1"]) == 0
    Path("shapes/0000/02.png").rename("shapes/0000/2.png")
    labelled = shown(capsys, "video", "predict", "runs/moving_shapes", "shapes/0000", "--picture", "video.png")
    names = [Path(each["frame"]).name for each in labelled["frames"]]
    assert [int(Path(name).stem) for name in names] == list(range(len(names)))
    assert labelled["label"] == labelled["frames"][-1]["label"], "the label up to the last frame is that of the video"
    assert labelled["probability"] == labelled["frames"][-1]["probability"]
    assert Path("video.png").stat().st_size > 1000
    assert main(["video", "predict", "runs/moving_shapes", "shapes/0000", "--picture", "video.png"]) == 0
    label, picture = capsys.readouterr().out.splitlines()[-2:]
    assert label.startswith(f"label: {labelled['label']}  ")
    assert picture == "picture: video.png"


def test_what_is_wrong_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "video", "train", "moving_shape") == (
        "no file of videos at moving_shape: did you mean moving_shapes? (give moving_shapes or a JSONL file)"
    )
    assert said(capsys, "video", "train", "none.jsonl") == "no file of videos at none.jsonl"
    frames = said(capsys, "video", "train", *SHAPES, "data.min_frames=13")
    assert frames == "command line: data: min_frames=13 is more than max_frames=12"
    pooling = said(capsys, "video", "train", *SHAPES, "model.output=frame", "model.pooling=max")
    assert pooling.startswith("command line: model: pooling=max is for output=sequence")
    assert "did you mean 'hidden_size'?" in said(capsys, "video", "train", *SHAPES, "model.hiden_size=3")
    assert said(capsys, "video", "preprocess", "moving_shapes") == (
        "moving_shapes needs no features: its frames are read as pixels"
    )
    path = str(write_lines(Path("videos.jsonl"), LINE, dict(LINE, frames=["a.png", "c.png"], label="y")))
    missing = said(capsys, "video", "preprocess", path, *FEATURES)
    assert missing.startswith("videos.jsonl:1: no image at a.png")
    for name, colour in {"a": "red", "b": "blue"}.items():
        Image.new("RGB", (40, 40), colour).save(f"{name}.png")
    Path("c.png").write_bytes(b"no image")
    damaged = said(capsys, "video", "preprocess", path, *FEATURES)
    assert "c.png" in damaged
    assert "skip_damaged" not in damaged
    assert not Path("runs").exists()
    Image.new("RGB", (40, 40), "green").save("c.png")
    assert main(["video", "preprocess", path, *FEATURES]) == 0
    write_lines(
        Path("videos.jsonl"), LINE, dict(LINE, frames=["a.png", "c.png"], label="y"), dict(LINE, frames=["d.png", "a.png"])
    )
    assert said(capsys, "video", "train", path, *FEATURES, *SMALL) == "videos.jsonl:3: no image at d.png"
    Image.new("RGB", (40, 40), "green").save("d.png")
    new = said(capsys, "video", "train", path, *FEATURES, *SMALL)
    assert new.startswith("videos.jsonl:3: features/jsonl-tf_efficientnet_lite0-")
    assert new.endswith(" has no features of the frame d.png: run vqa-rnn video preprocess videos.jsonl with the same options")
    other = said(capsys, "video", "train", path, *FEATURES, *SMALL, "data.features.output=grid")
    assert other == "command line: unknown value for data.features.output 'grid' (known: pooled)"
    grid = said(capsys, "video", "train", path, "data.features.grid_size=2")
    assert grid == "command line: data.features: grid_size=2 does nothing: a frame is one vector, the mean of the grid"


def test_a_run_is_not_continued_or_used_with_other_data(capsys: pytest.CaptureFixture[str]) -> None:
    for name, colour in {"a": "red", "b": "blue"}.items():
        Image.new("RGB", (40, 40), colour).save(f"{name}.png")
    lines = [dict(LINE, label="x"), dict(LINE, label="y"), dict(LINE, label="y", split="val")]
    path = str(write_lines(Path("videos.jsonl"), *lines))
    own = (path, *FEATURES)
    assert main(["video", "preprocess", *own]) == 0
    assert main(["video", "train", *own, *SMALL, "training.max_epochs=1"]) == 0
    assert said(capsys, "video", "train", *own, *SMALL).startswith("runs/videos exists: continue it with --resume")
    changed = said(capsys, "video", "train", *own, *SMALL, "training.max_epochs=1", "model.hidden_size=9", "--resume")
    assert changed.startswith("runs/videos was trained with model.hidden_size=8, not 9: a resume may only change data.path, ")
    none = said(capsys, "video", "evaluate", "runs/videos", "--split", "test")
    assert none == "runs/videos has no test split: give --split train or --split val"
    for place in ("e.png", "nofolder"):
        assert said(capsys, "video", "predict", "runs/videos", place) == (
            f"no image or folder at {place}: give the frames of one video in order, or their folder"
        )
    assert said(capsys, "video", "predict", "runs/videos", "a.png", "e.png") == "no image at e.png"
    Path("empty").mkdir()
    empty = said(capsys, "video", "predict", "runs/videos", "empty")
    assert empty == "empty has no image files: give the folder of the frames of one video"
    assert said(capsys, "video", "predict", "runs/videos", "a.png", "--picture", "a.jpg") == (
        "--picture a.jpg: give the name of a .png file"
    )
    assert said(capsys, "video", "evaluate", "runs/none") == (
        "no run folder at runs/none: train a model of videos first, with vqa-rnn video train"
    )
    source = Path("runs/videos/frames.json")
    source.write_text(source.read_text().replace('"fingerprint": "', '"fingerprint": "0'))
    assert "features that another network or other weights made" in said(capsys, "video", "evaluate", "runs/videos")
    assert "made with other weights than those at hand" in said(capsys, "video", "predict", "runs/videos", "a.png")
    source.write_text("{}")
    assert said(capsys, "video", "evaluate", "runs/videos") == (
        "runs/videos/frames.json is damaged: it is not what vqa-rnn wrote"
    )
    write_lines(Path("videos.jsonl"), *lines, dict(LINE, label="y"))
    resumed = said(capsys, "video", "train", *own, *SMALL, "training.max_epochs=1", "--resume")
    assert resumed.startswith("videos.jsonl, or what made the features of its frames, has changed since runs/videos began")
    assert (
        said(capsys, "video", "generate", "empty/../runs")
        == "empty/../runs exists and is not an empty folder: give another one"
    )


def test_frames_that_training_and_test_share_are_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    for name, colour in {"a": "red", "b": "blue"}.items():
        Image.new("RGB", (40, 40), colour).save(f"{name}.png")
    write_lines(Path("videos.jsonl"), dict(LINE, label="x"), dict(LINE, label="y"), dict(LINE, label="y", split="test"))
    assert main(["video", "preprocess", "videos.jsonl", *FEATURES]) == 0
    whole = ("data.validation_share=0", "training.max_epochs=1")
    assert main(["video", "train", "videos.jsonl", *FEATURES, *SMALL, *whole]) == 0
    assert "videos of train and of test share 2 frames, such as a.png" in capsys.readouterr().err


@pytest.mark.parametrize(("count", "splits"), [(1, (1, 0, 0)), (3, (1, 1, 1)), (12, (8, 2, 2))])
def test_generated_videos_have_splits_to_train_on(
    count: int, splits: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    report = shown(capsys, "video", "generate", "shapes", "--count", str(count), "--split", "val")
    assert report == {"file": "shapes/videos.jsonl", "counts": dict(zip(("train", "val", "test"), splits, strict=True))}
    lines = [json.loads(line) for line in Path("shapes/videos.jsonl").read_text().splitlines()]
    assert Counter(line["split"] for line in lines) == Counter(report["counts"])


def test_a_label_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    report = {
        "kind": "video",
        "data": "frames",
        "split": "val",
        "counts": {"labels": 1, "videos": 1},
        "metrics": {"accuracy": 1.0},
        "intervals": {"accuracy": [1.0, 1.0]},
        "floors": {},
        "ceilings": {},
        "per_class": {"[red]": {"accuracy": 1.0, "count": 1}},
        "signature": "video|n:1",
    }
    print_evaluation(report, parts_of(report))
    printed = capsys.readouterr().out
    assert "│ [red] │" in printed
    assert "1 label, 1 video (too few" in " ".join(printed.split())
