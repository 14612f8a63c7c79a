"""A run on captions: trained, resumed, evaluated, predicted, and shown images in every way."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

import vqa_rnn
from tests.conftest import COLOURS, TINY, draw
from vqa_rnn.cli import main
from vqa_rnn.engines import handlers
from vqa_rnn.errors import UserError

CAPTIONS = (
    *TINY,
    "dataset.path=captions.jsonl",
    "features.grid_size=2",
    "model.head.hidden_size=24",
    "model.head.look_size=8",
    "model.head.dropout=0.0",
    "model.question.embedding_size=12",
    "model.fusion.hidden_size=16",
    "model.feature_dropout=0.0",
    "text.min_count=1",
    "training.loggers=[]",
    "training.patience=null",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captioned drawings and a run."""
    path = tmp_path_factory.mktemp("captions")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        lines = []
        for split, count in (("train", 3), ("val", 1), ("test", 1)):
            for colour in COLOURS:
                for shape in ("circle", "square"):
                    for number in range(count):
                        name = f"{split}-{colour}-{shape}-{number}.png"
                        draw(path / name, colour, shape)
                        captions = [f"A {colour} {shape}.", f"there is a {shape} which is {colour}"]
                        if number:  # so that the first form is the more frequent one
                            captions = captions[:1]
                        lines.append(json.dumps({"image": name, "captions": captions, "split": split}))
        Path("captions.jsonl").write_text("\n".join(lines), encoding="utf-8")
        assert main(["preprocess", "captions", *CAPTIONS]) == 0
        assert main(["train", "captions", *CAPTIONS, "training.max_epochs=15", "run.name=seen"]) == 0
    return path


@pytest.fixture(autouse=True)
def _there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_it_is_measured_by_the_official_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["evaluate", "runs/seen", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report["metrics"]) == ["cider", "rouge_l", "bleu_1", "bleu_2", "bleu_3", "bleu_4"]
    assert report["metrics"]["bleu_3"] > 0.9  # three words have no 4-grams
    assert set(report["intervals"]) == set(report["metrics"])
    assert set(report["floors"]) == {"most_frequent_caption", "caption_of_another_image", "images_shuffled"}
    assert report["floors"]["most_frequent_caption"]["cider"] < report["metrics"]["cider"] / 2
    assert report["signature"].startswith("captions|metric:cider|head:generative|split:test|n:8|")
    epochs = [json.loads(line) for line in Path("runs/seen/metrics.jsonl").read_text().splitlines()]
    scores = [line["val_cider"] for line in epochs if "val_cider" in line]
    assert scores[-1] > 2 * scores[0]

    capsys.readouterr()
    assert main(["predict", "runs/seen", "--split", "test", "--output", "test.json"]) == 0
    written = json.loads(Path("test.json").read_text())
    assert written[0] == {"image_id": "test-red-circle-0.png", "caption": "a red circle"}
    assert capsys.readouterr().out == "test.json: 8 captions for the test split of captions\n"
    said = [row["caption"].split() for row in written]
    assert all(row["image_id"].split("-")[1] in words for row, words in zip(written, said, strict=True))

    references = [json.loads(line) for line in Path("captions.jsonl").read_text().splitlines()]
    references = [line for line in references if line["split"] == "test"]
    pairs = [(line["image"], caption) for line in references for caption in line["captions"]]
    annotations = [{"image_id": image, "id": number, "caption": caption} for number, (image, caption) in enumerate(pairs)]
    official = {"images": [{"id": line["image"]} for line in references], "annotations": annotations}
    Path("references.json").write_text(json.dumps(official))
    capsys.readouterr()
    assert main(["score", "captions", "test.json", "references.json", "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    for name, value in report["metrics"].items():
        assert scored[name] == pytest.approx(value, abs=1e-12), name


def test_it_counts_captions_and_images(capsys: pytest.CaptureFixture[str]) -> None:
    said = Path("runs/seen/log.txt").read_text()
    assert "8 validation images: CIDEr hardly tells which epoch is best with fewer than 20" in said
    assert "runs/seen: 32 training captions and 8 validation images, " in said
    assert "captions/s" in said
    assert main(["evaluate", "runs/seen"]) == 0
    table = capsys.readouterr().out
    assert table.startswith("captions, test split, 8 images")
    assert "question" not in said + table
    assert main(["predict", "runs/seen", "--split", "train", "--output", "test.json", "dataset.path=none.jsonl"]) == 2
    assert "no file of captions at none.jsonl" in capsys.readouterr().err


def test_no_image_suffices_to_choose_the_last_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["training.max_epochs=1", "training.keep=last", "run.name=last"]
    assert main(["train", "captions", *CAPTIONS, *options]) == 0
    assert "CIDEr hardly tells" not in capsys.readouterr().err


def test_the_report_and_the_card_say_what_the_model_is(tmp_path: Path) -> None:
    parts = {
        "Attention and fusion": "mean of the regions, product",
        "Decoder": "lstm of size 24",
        "Conditioning": "the image sets the first state (first_state)",
        "Look": "attention over the regions before a word is read (soft)",
    }
    assert main(["report", "runs/seen", "--output", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text()
    for part, text in parts.items():
        assert f"{part}</td><td>{text}<" in page
    assert "<p>8 images.</p>" in page
    assert "references: A red circle." in page
    assert "Question encoder" not in page
    assert main(["export", "runs/seen", str(tmp_path / "model")]) == 0
    card = (tmp_path / "model" / "README.md").read_text()
    assert "; ".join(f"{part.lower()}: {text}" for part, text in parts.items()) in card
    assert "tags:\n- image-captioning\n- captions\n" in card


def test_an_image_is_described_in_every_way(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session = vqa_rnn.load("runs/seen")
    answer = session.describe("test-blue-square-0.png")
    assert answer.best == "a blue square"
    assert answer.look_words == ("a", "blue", "square")
    assert answer.maps is not None
    np.testing.assert_allclose(answer.maps.sum(axis=1), 1, atol=1e-5)
    assert answer.caption_of(1).startswith("'blue': ")
    assert len(answer.pictures()) == 4

    capsys.readouterr()
    picture = tmp_path / "caption.png"
    assert main(["caption", "runs/seen", "test-blue-square-0.png", "--picture", str(picture)]) == 0
    assert capsys.readouterr().out == f"a blue square\npicture: {picture}\n"
    assert picture.stat().st_size > 5000
    images = ["test-blue-square-0.png", "test-red-circle-0.png"]
    assert main(["caption", "runs/seen", *images, "--picture", str(picture), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["captions"]
    assert [row["caption"] for row in found] == ["a blue square", "a red circle"]
    assert found[0]["probability"] == pytest.approx(answer.probability, rel=1e-5)

    with pytest.raises(UserError, match="describes images and answers no questions"):
        session.ask("what is it?")


def test_the_prompt_takes_paths(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path("test-green-circle-0.png").resolve()
    lines = [
        "/attention a.png",
        "/image test-red-circle-0.png",
        "test-red-square-0.png",
        str(here),
        "what is it?",
        "/choices a, b",
    ]
    monkeypatch.setattr("builtins.input", iter([*lines, "/save said.jsonl", "/quit"]).__next__)
    assert main(["ask", "runs/seen", "--image", "test-blue-square-0.png"]) == 2
    printed = capsys.readouterr().out
    assert "Type the path of an image, or" in printed
    for command in ("/choices ", "/top ", "/caption "):
        assert f"\n  {command}" not in printed
    said = ["a blue square", "a red circle", "a red square", "a green circle", "no image at what is it?"]
    assert [printed.index(text) for text in said] == sorted(printed.index(text) for text in said)
    assert "/choices is for models that answer questions; this one describes images" in printed
    assert "said.jsonl: 4 captions, one JSON object per line" in printed


@pytest.mark.parametrize(
    "options",
    [
        ("model.head.scheduled_sampling=0.5", "model.head.scheduled_sampling_steps=4", "model.head.dropout=0.3"),
        ("model.head.objective=self_critical", "model.head.coverage=0", "training.start_from=runs/seen"),
    ],
    ids=["scheduled_sampling", "self_critical"],
)
def test_an_interrupted_run_continues_bit_for_bit(options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["train", "captions", *CAPTIONS, *options, "training.max_epochs=2", "training.log_steps=1", "--overwrite"]
    assert main([*command, "run.name=whole"]) == 0
    finish_step = handlers.Training._finish_step

    def stop(self: handlers.Training, engine: object) -> None:
        if self.trainer.state.iteration == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        finish_step(self, engine)  # type: ignore[arg-type]

    monkeypatch.setattr(handlers.Training, "_finish_step", stop)
    assert main([*command, "run.name=stopped"]) == 143
    monkeypatch.setattr(handlers.Training, "_finish_step", finish_step)
    assert main([*(word for word in command if word != "--overwrite"), "run.name=stopped", "--resume"]) == 0
    for name in ("model.safetensors", "metrics.jsonl"):
        assert Path("runs/stopped", name).read_bytes() == Path("runs/whole", name).read_bytes(), name


def test_what_does_not_fit_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str) -> str:
        assert main([*arguments]) == 2
        return capsys.readouterr().err.splitlines()[-1]

    classifier = said("train", "captions", *CAPTIONS[:-7], "model.head={name: classifier}", "run.name=other")
    assert "captions has captions, which a model writes: set model.head.name=generative (given: classifier)" in classifier
    coverage = said("train", "captions", *CAPTIONS, "model.head.look=none", "run.name=other")
    assert "coverage is for look=soft or spatial" in coverage
    assert "captions, which cannot be averaged" in said("evaluate", "runs/seen", "runs/whole", "--ensemble")
