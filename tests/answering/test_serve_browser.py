"""The web page in a browser: upload, ask, see where the model looked; and what two people see at the same time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio")

from tests.answering.conftest import Tab
from tests.bad_input import REFUSED, write
from vqa_rnn.answering.session import Session
from vqa_rnn.checkpoint import Run
from vqa_rnn.page.examples import find_examples
from vqa_rnn.page.server import serve_page

COLOUR = "What colour is it?"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Gradio's own calls of pandas


@pytest.fixture(scope="module")
def url(drawn: Run) -> Iterator[str]:
    session = Session(drawn.path)
    with serve_page(session, "drawn", find_examples(session)) as url:
        yield url


@pytest.fixture
def tab(url: str, browser: Any) -> Iterator[Tab]:
    tab = Tab(browser, url)
    yield tab
    tab.page.context.close()
    assert tab.errors == []
    assert [address for address in tab.requests if not address.startswith((url, "data:", "blob:"))] == []


def image(run: Run, number: int) -> Path:
    return run.path.parents[1] / "images" / f"{number}.png"


def test_an_image_is_uploaded_and_asked_about(tab: Tab, drawn: Run):
    tab.upload(image(drawn, 0))
    answers = tab.ask(COLOUR)
    expected = Session(drawn.path).ask(image(drawn, 0), COLOUR)
    assert answers == pytest.approx(dict(expected.answers), abs=1e-4)
    assert tab.page.locator(".answer .best .text").inner_text() == expected.best
    looks = tab.page.locator(".answer figure")
    assert looks.count() == 1
    assert looks.locator("figcaption").inner_text() == expected.caption_of(0)
    assert looks.locator("img").evaluate("image => image.complete && image.naturalWidth") == 64
    tab.click("Occlusion map")
    assert looks.count() == 2
    assert looks.last.inner_text().startswith("occlusion: ")
    tab.page.get_by_text("Choices", exact=True).click()
    tab.page.get_by_placeholder("Answers to choose from").fill("blue, mauve")
    assert list(tab.ask("What colur is it?")) == ["blue", "mauve"]
    assert tab.page.locator(".answer .note").all_inner_texts() == [
        "Words that are not in the vocabulary: 'colur' (did you mean 'colour'?)",
        "Answers this model cannot give: 'mauve'",
    ]


def test_mistakes_are_sentences_and_the_page_goes_on(tab: Tab, drawn: Run, tmp_path: Path):
    tab.click("Ask")
    assert tab.problem() == "there is no image yet: give one first"
    for name in ("truncated.jpg", "declared.png", "bomb.png", "empty.png", "text.png", "drawing.svg"):
        tab.upload(write(tmp_path, name))
        assert REFUSED[name].says in tab.problem()
        assert str(tmp_path) not in tab.problem()
    tab.upload(image(drawn, 0))
    tab.click("Ask")
    assert tab.problem().startswith("the question is empty")
    expected = Session(drawn.path).ask(image(drawn, 0), COLOUR)
    assert tab.ask(COLOUR) == pytest.approx(dict(expected.answers), abs=1e-4)
    tab.click("Remove Image")
    assert tab.page.locator(".answer").inner_text() == "Give an image, then ask a question about it."
    assert tab.page.get_by_text("Error", exact=True).count() == 0


def test_markup_in_a_question_is_text(tab: Tab, drawn: Run):
    tab.upload(image(drawn, 0))
    question = "${1 + 1} {{value}} <img src=x onerror=document.title='changed'> <b>colour</b>?"
    tab.ask(question)
    assert tab.page.title() == "drawn"
    assert tab.page.locator(".answer b").count() == 0


def test_an_example_is_asked_at_a_click(tab: Tab, drawn: Run):
    session = Session(drawn.path)
    example = find_examples(session)[0]
    with tab.answered():
        tab.page.wait_for_timeout(500)  # until the page listens to its buttons
        tab.page.locator(".examples button").first.click()
    assert tab.page.locator("#question textarea").input_value() == example.question
    best = session.ask(example.image, example.question).best
    assert tab.page.locator(".answer .best .text").inner_text() == best
    assert tab.ask(COLOUR) == pytest.approx(dict(session.ask(COLOUR).answers), abs=1e-4)


def test_two_people_have_their_own_images(url: str, browser: Any, drawn: Run):
    tabs = [Tab(browser, url) for _ in range(2)]
    for number, tab in enumerate(tabs):
        tab.upload(image(drawn, number))
    session = Session(drawn.path)
    for question in (COLOUR, "Which shape is it?"):
        for number, tab in enumerate(tabs):
            expected = session.ask(image(drawn, number), question)
            assert tab.ask(question) == pytest.approx(dict(expected.answers), abs=1e-4)
    assert session.ask(image(drawn, 0), COLOUR).best != session.ask(image(drawn, 1), COLOUR).best
    for tab in tabs:
        tab.page.context.close()


def test_it_fits_a_phone(url: str, browser: Any, drawn: Run):
    tab = Tab(browser, url, width=390, height=844)
    tab.upload(image(drawn, 0))
    tab.ask(COLOUR)
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390
    tab.page.wait_for_function("document.getElementById('answer').getBoundingClientRect().top < 200")
    tab.page.context.close()
