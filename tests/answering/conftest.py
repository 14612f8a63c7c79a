"""Models that know their pictures, one of which remembers what was said, trained in seconds; a browser for the web page."""

import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import COLOURS, configure, draw, train_on_drawn
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


@pytest.fixture(scope="package")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that looks at pictures with attention; they lie in ``images`` of the folder of its data set."""
    return train_on_drawn(tmp_path_factory.mktemp("drawn"), "training.max_epochs=20", "run.name=drawn")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium without a window. Nothing else in its module may need an event loop: Playwright keeps one running."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield browser
        browser.close()


class Tab:
    """The page as somebody sees it.

    Attributes:
        page: Of Playwright.
        requests: The addresses that it loaded.
        errors: Of its scripts.
    """

    def __init__(self, browser: Any, url: str, width: int = 1366, height: int = 768) -> None:
        self.page = browser.new_context(viewport={"width": width, "height": height}).new_page()
        self.page.set_default_timeout(30_000)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self._num_answers = 0
        self.page.on("requestfinished", self._count)
        self.page.on("requestfailed", self._count)
        self.page.goto(url)
        self.page.get_by_role("button", name="Ask").wait_for()

    @contextmanager
    def answered(self) -> Iterator[None]:
        """Wait until the server has answered what is done in the block, and the page shows it."""
        before, started = self._num_answers, time.monotonic()
        yield
        while self._num_answers == before:
            assert time.monotonic() < started + 30, "the server does not answer"
            self.page.wait_for_timeout(20)
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")

    def _count(self, request: Any) -> None:
        """The stream of answers has ended; it is closed by the server or by the page, whichever is first."""
        self._num_answers += "/queue/data" in request.url

    def upload(self, path: Path) -> None:
        """Give an image."""
        with self.answered():
            self.page.locator("input[type=file]").first.set_input_files(path)

    def click(self, button: str) -> None:
        """Click a button that asks the server."""
        with self.answered():
            self.page.get_by_role("button", name=button).first.click()

    def ask(self, question: str) -> dict[str, float]:
        """Ask, and read the answers with their probabilities."""
        self.page.locator("#question textarea").fill(question)
        self.click("Ask")
        texts = self.page.locator(".answer .bars .text").all_inner_texts()
        values = [each.get_attribute("value") for each in self.page.locator(".answer .bars data").all()]
        return dict(zip(texts, map(float, values), strict=True))

    def problem(self) -> str:
        """What is wrong, by the page."""
        return self.page.locator(".answer .problem").inner_text()
