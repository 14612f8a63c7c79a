"""A project that is moved as a whole goes on, in whatever state it was."""

import json
import logging
import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import TINY, configure, draw, draw_questions
from tests.engines.test_resume import Killed, equal, result, stop_at
from tests.preprocessing.test_extract_features import interrupt_at
from vqa_rnn.answering.session import Session
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.checkpoint import load_run
from vqa_rnn.commands.evaluate import evaluate
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.commands.train import train
from vqa_rnn.config import Config
from vqa_rnn.config.files import load_config
from vqa_rnn.errors import UserError
from vqa_rnn.features.find import find_store
from vqa_rnn.features.store import open_writer

EPOCHS = ("training.max_epochs=3", "training.checkpoint_minutes=1e-9", "features.batch_rows=2")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here" / "project"
    folder.mkdir(parents=True)
    draw_questions(folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(params=["relative", "absolute", "outside"])
def spelling(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def config_at(folder: Path, spelling: str, *options: str) -> Config:
    """How a person there would say it; ``outside``: the working directory is a folder beside the data."""
    path = {"relative": "questions.jsonl", "absolute": str(folder / "questions.jsonl"), "outside": "../questions.jsonl"}[
        spelling
    ]
    return load_config("jsonl", [f"dataset.path={path}", *TINY, *EPOCHS, *options])


def go_to(folder: Path, spelling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    work = folder / "work" if spelling == "outside" else folder
    work.mkdir(exist_ok=True)
    monkeypatch.chdir(work)


def move(project: Path, spelling: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    there = project.parents[1] / "there" / "renamed"
    there.parent.mkdir()
    os.chdir("/")
    shutil.move(project, there)
    go_to(there, spelling, monkeypatch)
    return there


def test_a_finished_store_is_found(project: Path, spelling: str, monkeypatch: pytest.MonkeyPatch):
    go_to(project, spelling, monkeypatch)
    preprocess(config_at(project, spelling))
    there = move(project, spelling, monkeypatch)
    assert preprocess(config_at(there, spelling)).num_done == 0
    assert len(list(Path("features").glob("*.h5"))) == 1
    train(config_at(there, spelling))


def test_a_half_made_store_is_finished(project: Path, spelling: str, monkeypatch: pytest.MonkeyPatch):
    go_to(project, spelling, monkeypatch)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, "7")
        with pytest.raises(KeyboardInterrupt):
            preprocess(config_at(project, spelling))
    (begun,) = Path("features").glob("*.partial.h5")
    done = int(open_writer(begun.with_name(begun.name.replace(".partial", ""))).done.sum())
    assert done >= 2
    there = move(project, spelling, monkeypatch)
    assert preprocess(config_at(there, spelling)).num_done == 10 - done
    assert len(list(Path("features").glob("*.h5"))) == 1


def test_a_half_trained_run_ends_as_if_it_had_stayed(project: Path, spelling: str, monkeypatch: pytest.MonkeyPatch):
    go_to(project, spelling, monkeypatch)
    preprocess(config_at(project, spelling))
    whole = result(train(config_at(project, spelling, "run.name=whole")).path)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "_finish_step", 4, before=False)
        with pytest.raises(Killed):
            train(config_at(project, spelling, "run.name=stopped"))
    there = move(project, spelling, monkeypatch)
    run = train(config_at(there, spelling, "run.name=stopped"), resume=True)
    assert equal(result(run.path), whole)


def test_a_finished_run_is_measured_and_asked(project: Path, spelling: str, monkeypatch: pytest.MonkeyPatch):
    go_to(project, spelling, monkeypatch)
    preprocess(config_at(project, spelling))
    run = train(config_at(project, spelling))
    before = evaluate(run.path)
    there = move(project, spelling, monkeypatch)
    moved = [f"dataset.path={there / 'questions.jsonl'}"] if spelling == "absolute" else []
    assert evaluate(run.path, overrides=moved) == before
    session = Session(run.path)
    session.see(there / "images" / "0.png")
    assert session.ask("What colour is it?").answers


def test_images_that_moved_alone_are_known_by_their_content(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    elsewhere = draw_questions(project.parent / "data")
    report = preprocess(configure(elsewhere))
    shutil.move(elsewhere.parent, project.parent / "archive")
    moved = configure(project.parent / "archive" / "questions.jsonl")
    with caplog.at_level(logging.INFO, "vqa_rnn"):
        again = preprocess(moved)
    assert (again.store, again.num_done) == (report.store, 0)
    said = f"features are taken from {report.store}, which was made with the same settings and weights (efficientnet-lite0-"
    assert any(message.startswith(said) for message in caplog.messages)


def test_a_store_that_skipped_a_damaged_image_is_found_for_a_training(project: Path):
    elsewhere = draw_questions(project.parent / "data")
    (elsewhere.parent / "images" / "3.png").write_bytes(b"no picture")
    report = preprocess(configure(elsewhere, "features.skip_damaged=true"))
    shutil.move(elsewhere.parent, project.parent / "archive")
    moved = configure(project.parent / "archive" / "questions.jsonl", "features.skip_damaged=true")
    assert find_store(moved, read_annotations(moved.dataset).images) == report.store


def test_other_pictures_of_the_same_names_get_a_store_of_their_own(project: Path):
    one, other = draw_questions(project.parent / "one"), draw_questions(project.parent / "other")
    for image in sorted((other.parent / "images").iterdir()):
        draw(image, "yellow" if image.name != "0.png" else "blue")
    first = preprocess(configure(one))
    second = preprocess(configure(other))
    assert first.store != second.store
    assert second.num_done == 10


def test_two_stores_that_cannot_be_told_apart_are_named(project: Path):
    """Twins: the same pictures twice, and none of them at hand any more."""
    for name in ("one", "two"):
        preprocess(configure(draw_questions(project.parent / name), f"features.store=features/jsonl-{name}.h5"))
    run = train(
        configure(project.parent / "one" / "questions.jsonl", "features.store=features/jsonl-one.h5", "training.max_epochs=1")
    )
    config = json.loads(json.dumps(load_run(run.path).config.model_dump(mode="json")))
    assert config["features"]["store"] == "features/jsonl-one.h5"
    for name in ("one", "two"):
        shutil.rmtree(project.parent / name / "images")
    with pytest.raises(UserError, match=r"features/jsonl-one\.h5 and features/jsonl-two\.h5 both match: set features\.store"):
        evaluate(run.path, overrides=["features.store=null"])


def test_questions_of_images_that_could_not_be_read_are_left_out_with_a_count(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    (project / "images" / "3.png").write_bytes(b"no picture")
    config = configure(
        project / "questions.jsonl", "features.skip_damaged=true", "training.max_epochs=1", "dataset.split_seed=1"
    )
    assert list(preprocess(config).failed) == ["images/3.png"]
    run = train(config)
    split = "val" if any("validation questions are left out" in text for text in caplog.messages) else "training"
    assert (
        f"2 of {2 if split == 'val' else 18} {split} questions are left out: the image files could not be read"
        in caplog.messages
    )
    strict = configure(project / "questions.jsonl", "run.name=strict", "dataset.split_seed=1")
    with pytest.raises(UserError, match="could not be read when it was made"):
        train(
            strict.model_copy(
                update={"features": strict.features.model_copy(update={"store": load_run(run.path).config.features.store})}
            )
        )
