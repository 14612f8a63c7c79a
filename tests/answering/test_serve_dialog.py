"""The web page of a dialog model in a browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio")

from tests.answering.conftest import ABOUT_THE_CAPTION, ABOUT_THE_LAST_ROUND, Tab
from vqa_rnn.answering.session import Session
from vqa_rnn.checkpoint import Run
from vqa_rnn.page.server import serve_page

COLOUR, SHAPE = "What colour is it?", "Which shape is it?"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Gradio's own calls of pandas


@pytest.fixture(scope="module")
def url(talker: Run) -> Iterator[str]:
    with serve_page(Session(talker.path), "talker", []) as url:
        yield url


def image(run: Run, number: int) -> Path:
    return run.path.parents[1] / "images" / f"{number}.png"


def said(tab: Tab) -> list[str]:
    return tab.page.locator(".dialog li").all_inner_texts()


def test_two_people_talk_about_their_own_images(url: str, browser: Any, talker: Run):
    tabs, sessions = [Tab(browser, url) for _ in range(2)], [Session(talker.path) for _ in range(2)]
    for number, (tab, session) in enumerate(zip(tabs, sessions, strict=True)):
        tab.upload(image(talker, 7 * number))
        session.see(image(talker, 7 * number))
    for question in (COLOUR, SHAPE, ABOUT_THE_LAST_ROUND):
        for tab, session in zip(tabs, sessions, strict=True):
            assert tab.ask(question) == pytest.approx(dict(session.ask(question).answers), abs=1e-4)
            assert tab.page.locator("#question textarea").input_value() == ""
    for tab, session in zip(tabs, sessions, strict=True):
        assert said(tab) == [text for turn in session.rounds for text in (turn.question, turn.answer)]
        tab.page.context.close()
    assert sessions[0].rounds != sessions[1].rounds


def test_a_dialog_goes_back_and_begins_anew(url: str, browser: Any, talker: Run):
    tab, session = Tab(browser, url), Session(talker.path)
    tab.upload(image(talker, 0))
    session.see(image(talker, 0))
    tab.page.get_by_label("Caption").fill("this is dora")
    session.set_caption("this is dora")
    for question in (ABOUT_THE_CAPTION, COLOUR, SHAPE):
        assert tab.ask(question) == pytest.approx(dict(session.ask(question).answers), abs=1e-4)
    tab.click("Take the last question back")
    assert tab.page.locator(".answer .question").inner_text() == COLOUR
    session.undo()
    assert said(tab) == ["this is dora", ABOUT_THE_CAPTION, "dora", COLOUR, session.rounds[1].answer]
    assert tab.ask(ABOUT_THE_LAST_ROUND) == pytest.approx(dict(session.ask(ABOUT_THE_LAST_ROUND).answers), abs=1e-4)
    tab.click("Begin anew")
    assert tab.page.locator(".answer").inner_text() == "Ask a question."
    assert said(tab) == ["this is dora"]
    tab.upload(image(talker, 1))
    assert tab.page.get_by_label("Caption").input_value() == ""
    assert said(tab) == []
    assert tab.errors == []
    tab.page.context.close()
