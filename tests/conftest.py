"""What several tests share: small pictures, a small data set of the user's own, and one thread a test process."""

import vqa_rnn  # noqa: F401 - before torch is loaded, it settles how threads wait

# isort: split

import json
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vqa_rnn.checkpoint import Run
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.commands.train import train
from vqa_rnn.config import Config
from vqa_rnn.config.files import load_config
from vqa_rnn.features.store import FeatureStore

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of a GPU where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))


TINY = (
    "features.image_size=32",
    "features.layers=[blocks.2]",
    "features.precision=float32",
    "model.question.embedding_size=16",
    "model.question.hidden_size=16",
    "training.learning_rate=0.02",
    "training.batch_size=8",
    "training.precision=float32",
    "evaluation.bootstrap_samples=50",
)

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "yellow": (230, 220, 40)}


def draw(path: Path, colour: str, shape: str = "circle") -> Path:
    """One shape on grey, 64 pixels squared."""
    image = Image.new("RGB", (64, 64), (128, 128, 128))
    pen = ImageDraw.Draw(image)
    box = (14, 14, 50, 50)
    if shape == "circle":
        pen.ellipse(box, fill=COLOURS[colour])
    else:
        pen.rectangle(box, fill=COLOURS[colour])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


@pytest.fixture
def own_questions(tmp_path: Path) -> Path:
    """The file of a user's folder."""
    return draw_questions(tmp_path)


def draw_questions(folder: Path) -> Path:
    """Make a user's folder: ten drawn pictures and two questions about each, in the ``jsonl`` format."""
    lines = []
    for i in range(10):
        colour, shape = list(COLOURS)[i % 4], ("circle", "square")[i // 4 % 2]
        draw(folder / "images" / f"{i}.png", colour, shape)
        lines.append({"image": f"images/{i}.png", "question": "What colour is it?", "answer": colour})
        lines.append({"image": f"images/{i}.png", "question": "Which shape is it?", "answer": shape})
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def configure(questions: Path, *overrides: str) -> Config:
    """The recipe for one's own data, small enough for a test."""
    return load_config("jsonl", [f"dataset.path={questions}", f"run.folder={questions.parent}/runs", *TINY, *overrides])


def train_on_drawn(folder: Path, *overrides: str) -> Run:
    """A run on ``draw_questions``; the pictures lie in ``images`` of that folder."""
    questions = draw_questions(folder)
    config = configure(questions, f"features.store={folder}/features.h5", *overrides)
    preprocess(config)
    return train(config)


@pytest.fixture
def features(own_questions: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of ``own_questions``, the features of its pictures made."""
    monkeypatch.chdir(own_questions.parent)
    preprocess(configure(own_questions))
    return own_questions


def everything(store: FeatureStore, name: str = "features") -> NDArray[Any]:
    """All rows of a store, of its features or of a column of its regions."""
    rows = np.arange(len(store.image_ids))
    return store.read(rows) if name == "features" else store.read_column(name, rows)


def run_script(path: Path, arguments: Sequence[object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a script in this process, which has torch loaded already: its exit code."""
    monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
    monkeypatch.syspath_prepend(str(path.parent))
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(path), run_name="__main__")
    return int(stopped.value.code or 0)
