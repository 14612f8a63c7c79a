"""A dialog model that knows its pictures and remembers what was said, trained in seconds."""

import json
import random
from pathlib import Path

import pytest

from tests.conftest import COLOURS, configure, draw
from vqa_rnn.checkpoint import Run
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.commands.train import train

NAMES = ("anna", "bert", "carl", "dora")
SHAPES = ("circle", "square")
ASKED = {"What colour is it?": tuple(COLOURS), "Which shape is it?": SHAPES}
ABOUT_THE_CAPTION, ABOUT_THE_LAST_ROUND = "Who is it?", "What did you say last?"
QUESTIONS = (*ASKED, ABOUT_THE_CAPTION, ABOUT_THE_LAST_ROUND)


def draw_talks(folder: Path, copies: int = 8) -> Path:
    """Eight pictures and lines about them whose answers lie in the picture, in the caption or in the last round.

    What a history says about a picture is drawn at random, so that nobody can look up there what was said.
    """
    generator = random.Random(0)
    lines = []
    for number, (colour, shape) in enumerate((colour, shape) for colour in COLOURS for shape in SHAPES):
        image = draw(folder / "images" / f"{number}.png", colour, shape).relative_to(folder).as_posix()
        for copy in range(copies):
            for question in (*QUESTIONS, *[ABOUT_THE_LAST_ROUND] * 3):  # the hardest
                name = generator.choice(NAMES)
                said = [generator.choice(list(ASKED)) for _ in range((number + copy) % 3)]
                history = [{"question": text, "answer": generator.choice(ASKED[text])} for text in said]
                last = history[-1]["answer"] if history else "nothing"
                line = {"image": image, "question": question, "caption": f"this is {name}", "history": history}
                line["answer"] = dict(zip(QUESTIONS, (colour, shape, name, last), strict=True))[question]
                lines.append(line | {"split": "val" if copy == 0 else "train"})
    path = folder / "talks.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="package")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on ``draw_talks``; the pictures lie in the folder of its data set."""
    path = draw_talks(tmp_path_factory.mktemp("talks"))
    config = configure(
        path,
        f"features.store={path.parent}/features.h5",
        "model.history.name=memory",
        "model.question.cell=gru",
        "model.question.hidden_size=64",
        "training.batch_size=32",
        "training.learning_rate=0.01",
        "training.max_epochs=16",
        "run.name=talker",
    )
    preprocess(config)
    return train(config)
