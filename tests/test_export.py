"""A run as a folder to share."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import yaml

import vqa_rnn
from tests.conftest import train_on_drawn
from vqa_rnn.answering.calibration import Calibration, read_calibration
from vqa_rnn.checkpoint import Run
from vqa_rnn.cli import main
from vqa_rnn.commands.export import export, model_card
from vqa_rnn.config import RecurrentTextEncoder
from vqa_rnn.config.text import TransformerTextEncoder
from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash, write_json

ASKED = "What colour is it?"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_on_drawn(tmp_path_factory.mktemp("export"), "training.max_epochs=3")


@pytest.fixture
def image(run: Run) -> Path:
    return run.path.parents[1] / "images" / "3.png"


def test_an_exported_folder_answers_as_the_run_does(run: Run, image: Path, tmp_path: Path):
    folder = export(run.path, tmp_path / "shared" / "model")
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "answers.json",
        "config.yaml",
        "model.safetensors",
        "run.json",
        "tokenizer.json",
    }
    expected, found = (vqa_rnn.load(path).ask(image, ASKED) for path in (run.path, folder))
    assert found.answers == expected.answers
    assert [path.name for path in folder.parent.iterdir()] == ["model"]  # nothing temporary is left


def test_an_exported_config_does_not_say_where_its_author_keeps_things(run: Run, tmp_path: Path):
    folder = export(run.path, tmp_path / "model")
    assert str(run.path.parents[1]) not in (folder / "config.yaml").read_text()
    assert vqa_rnn.load_run(folder).config.dataset.path == Path("questions.jsonl")  # type: ignore[union-attr]


def change_config(path: Path, **sections: dict[str, str]) -> None:
    config = yaml.safe_load((path / "config.yaml").read_text())
    for name, options in sections.items():
        config[name] |= options
    (path / "config.yaml").write_text(yaml.safe_dump(config))


def test_no_exported_file_describes_the_machine_of_its_author(run: Run, tmp_path: Path):
    path = Path(shutil.copytree(run.path, tmp_path / "run"))
    home = "/home/somebody"
    change_config(path, features={"weights": f"{home}/weights.pth"}, training={"start_from": f"{home}/runs/first"})
    calibration = {"temperature": 2.0, "threshold": None, "weights_sha256": file_hash(run.model_path)}
    write_json(path / "calibration.json", calibration | {"run": f"{home}/run", "picture": f"{home}/run/risk.png"})
    folder = export(path, tmp_path / "model")
    for file in folder.iterdir():
        assert home not in file.read_text(errors="ignore"), file
    found = vqa_rnn.load_run(folder)
    assert run.launcher
    assert not found.launcher
    assert found.config.features.weights == "weights.pth"
    assert found.config.training.start_from == Path("first")
    assert read_calibration(found) == Calibration(2.0, float("inf"))


def test_an_exported_run_of_imported_features_opens(run: Run, tmp_path: Path):
    path = Path(shutil.copytree(run.path, tmp_path / "run"))
    change_config(path, features={"library": "imported", "store": str(tmp_path / "theirs.h5")})
    assert vqa_rnn.load_run(export(path, tmp_path / "model")).config.features.store == Path("theirs.h5")


@pytest.mark.parametrize(
    ("question", "says"),
    [
        (RecurrentTextEncoder(cell="gru", hidden_size=8), "gru of size 8 over word vectors;"),
        (RecurrentTextEncoder(bidirectional=True), "bidirectional lstm of size 256 over word vectors;"),
        (RecurrentTextEncoder(alone=True, pooling="max"), "word vectors pooled by max;"),
        (TransformerTextEncoder(), "lstm of size 256 over transformer states;"),
        (TransformerTextEncoder(alone=True), "transformer states pooled by mean;"),
    ],
)
def test_the_card_describes_the_question_encoder(run: Run, question: RecurrentTextEncoder | TransformerTextEncoder, says: str):
    model = run.config.model.model_copy(update={"question": question})
    assert says in model_card(replace(run, config=run.config.model_copy(update={"model": model})))


def test_the_card_has_what_was_measured(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert (
        "% on the validation split, which also chose the epoch" in (export(run.path, tmp_path / "a") / "README.md").read_text()
    )
    report = vqa_rnn.evaluate(run.path, "val")
    assert main(["export", str(run.path), str(tmp_path / "b")]) == 0
    assert "ask it with vqa-rnn ask" in capsys.readouterr().out
    card = (tmp_path / "b" / "README.md").read_text()
    _, head, text = card.split("---\n", 2)
    assert yaml.safe_load(head)["pipeline_tag"] == "visual-question-answering"
    assert f"| **accuracy** | **{report['metrics']['accuracy']:.4f}** |" in text
    assert f"| floor: question string, accuracy | {report['floors']['question_string']['accuracy']:.4f} |" in text
    assert 'session.ask("photo.jpg", "What colour is it?")' in text
    assert "It has 6 answers and gives no other." in text


def test_what_is_there_or_not_trained_is_refused(run: Run, tmp_path: Path):
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="already exists"):
        export(run.path, tmp_path / "there")
    with pytest.raises(UserError, match="no run folder at"):
        export(tmp_path / "nowhere", tmp_path / "new")
    weights = run.model_path.rename(tmp_path / "kept")
    try:
        with pytest.raises(UserError, match="has no weights yet"):
            export(run.path, tmp_path / "new")
    finally:
        weights.rename(run.model_path)
    assert not (tmp_path / "new").exists()


def test_it_is_uploaded(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    calls = []
    api = SimpleNamespace(
        create_repo=lambda name, exist_ok: calls.append(("create", name, exist_ok)),
        upload_folder=lambda repo_id, folder_path: calls.append(("upload", repo_id, folder_path)),
    )
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
    assert main(["export", str(run.path), str(tmp_path / "model"), "--push", "me/shapes"]) == 0
    assert calls == [("create", "me/shapes", True), ("upload", "me/shapes", str(tmp_path / "model"))]
    assert "on the hub as me/shapes" in capsys.readouterr().out


def test_an_upload_that_fails_leaves_the_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse() -> None:
        raise OSError("401: no\ntoken")

    monkeypatch.setattr(huggingface_hub, "HfApi", refuse)
    with pytest.raises(UserError, match="is written, but could not be uploaded to me/shapes: 401: no token"):
        export(run.path, tmp_path / "model", "me/shapes")
    assert (tmp_path / "model" / "README.md").is_file()


def test_a_name_on_the_hub_is_fetched(run: Run, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = export(run.path, tmp_path / "model")
    asked = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name: asked.append(name) or str(folder))
    assert vqa_rnn.load("hub:me/shapes").ask(image, ASKED).answers
    assert main(["ask", "hub:me/shapes", "--image", str(image), "--question", ASKED]) == 0
    assert asked == ["me/shapes", "me/shapes"]

    def refuse(name: str) -> None:
        raise OSError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(UserError, match="cannot get hub:me/shapes: offline"):
        vqa_rnn.load("hub:me/shapes")
