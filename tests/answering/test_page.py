"""The web page without its server: visitors who keep apart, and what is shown to them."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from tests.answering.conftest import ABOUT_THE_CAPTION, ABOUT_THE_LAST_ROUND
from tests.bad_input import REFUSED, write
from tests.conftest import train_on_drawn
from vqa_rnn.answering.occlusion import occlude
from vqa_rnn.answering.session import Session
from vqa_rnn.checkpoint import Run
from vqa_rnn.errors import UserError
from vqa_rnn.page.examples import find_examples
from vqa_rnn.page.show import show_about, show_answer, show_dialog, show_examples
from vqa_rnn.page.visitor import MOST_LETTERS, Visitor

COLOUR = "What colour is it?"


@pytest.fixture(scope="module")
def session(drawn: Run) -> Session:
    return Session(drawn.path)


@pytest.fixture(scope="module")
def talking(talker: Run) -> Session:
    return Session(talker.path)


def image(run: Run, number: int) -> Path:
    return run.path.parents[1] / "images" / f"{number}.png"


def test_another_session_has_the_same_model_and_an_image_and_a_dialog_of_its_own(talking: Session, talker: Run):
    talking.see(image(talker, 0))
    talking.set_caption("this is anna")
    talking.ask(COLOUR)
    other = talking.another()
    assert (other.image, other.caption, other.rounds) == (None, None, ())
    assert other._answerer is talking._answerer
    other.see(image(talker, 7))
    other.ask(ABOUT_THE_CAPTION)
    assert talking.image == image(talker, 0)
    assert talking.caption == "this is anna"
    assert [turn.question for turn in talking.rounds] == [COLOUR]


def test_visitors_get_the_answers_of_a_session_of_their_own(session: Session, drawn: Run):
    visitors = [Visitor(session) for _ in range(2)]
    for number, visitor in enumerate(visitors):
        visitor.see(image(drawn, number))
    for number, visitor in enumerate(visitors):
        expected = Session(drawn.path).ask(image(drawn, number), COLOUR)
        answer = visitor.ask(COLOUR)
        assert dict(answer.answers) == pytest.approx(dict(expected.answers), abs=1e-6)
        assert np.allclose(answer.maps, expected.maps, atol=1e-6)
        assert visitor.answers == [answer]


def test_an_image_is_not_needed_any_more_once_it_was_seen(session: Session, drawn: Run, tmp_path: Path):
    path = tmp_path / "upload.png"
    path.write_bytes(image(drawn, 0).read_bytes())
    visitor = Visitor(session)
    visitor.see(path)
    path.unlink()
    answer = visitor.ask(COLOUR)
    assert len(answer.pictures()) == 2
    visitor.occlude()
    expected = occlude(session, session.another().ask(image(drawn, 0), COLOUR))
    assert visitor.occlusion is not None
    assert np.allclose(visitor.occlusion.maps, expected.maps, atol=1e-6)
    assert not visitor.can_occlude
    shown = show_answer(visitor)
    assert "attention: " in shown
    assert "occlusion: " in shown


def test_a_dialog_goes_back_and_begins_anew(talking: Session, talker: Run):
    visitor = Visitor(talking)
    visitor.see(image(talker, 0))
    visitor.ask(COLOUR, caption="this is anna")
    visitor.ask("Which shape is it?", caption="this is anna")
    assert visitor.ask(ABOUT_THE_LAST_ROUND, caption="this is anna").best == visitor.answers[1].best
    shown = show_dialog(visitor)
    assert shown.count('class="asked"') == 3
    assert "this is anna" in shown
    visitor.undo()
    assert [answer.question for answer in visitor.answers] == [COLOUR, "Which shape is it?"]
    visitor.reset()
    assert visitor.answers == []
    assert visitor.ask(ABOUT_THE_CAPTION, caption="this is bert").best == "bert"
    visitor.undo()
    with pytest.raises(UserError, match="nothing was asked yet"):
        visitor.undo()
    visitor.forget()
    assert show_dialog(visitor) == ""


@pytest.mark.parametrize("name", [name for name, refused in REFUSED.items() if refused.has_content])
def test_a_bad_file_is_refused_without_its_folder_and_the_image_before_is_gone(
    session: Session, drawn: Run, tmp_path: Path, name: str
):
    visitor = Visitor(session)
    visitor.see(image(drawn, 0))
    with pytest.raises(UserError, match=re.escape(REFUSED[name].says)) as refused:
        visitor.see(write(tmp_path, name))
    assert str(tmp_path) not in str(refused.value)
    assert visitor.picture is None
    with pytest.raises(UserError, match="there is no image yet"):
        visitor.ask(COLOUR)


def test_questions_that_cannot_be_asked(session: Session, drawn: Run):
    visitor = Visitor(session)
    with pytest.raises(UserError, match="nothing was asked about an image yet"):
        visitor.occlude()
    visitor.see(image(drawn, 0))
    with pytest.raises(UserError, match="the question is empty"):
        visitor.ask(" ? ")
    with pytest.raises(UserError, match="one choice: give at least two choices, with commas between them"):
        visitor.ask(COLOUR, choices=["red"])
    with pytest.raises(UserError, match="the question is too long: 100,018 letters"):
        visitor.ask(COLOUR, choices=["a" * MOST_LETTERS, ""])
    with pytest.raises(UserError, match="takes no caption"):
        visitor.ask(COLOUR, caption="a circle")
    assert visitor.answers == []


def test_a_model_that_chooses_needs_choices(session: Session, drawn: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Session, "needs_choices", True)
    visitor = Visitor(session)
    visitor.see(image(drawn, 0))
    with pytest.raises(UserError, match="this model chooses among answers: give at least two choices"):
        visitor.ask(COLOUR)
    assert len(visitor.ask(COLOUR, choices=["red", "blue"]).answers) == 2


def test_a_model_of_text_alone_is_asked_without_an_image(tmp_path: Path):
    text_alone = ("features.library=none", "model.attention.name=none")
    run = train_on_drawn(tmp_path, *text_alone, f"features.store={tmp_path}/blanks.h5", "training.max_epochs=1")
    session = Session(run.path)
    assert find_examples(session) == []
    visitor = Visitor(session)
    assert "Ask a question." in show_answer(visitor)
    assert visitor.ask(COLOUR).image is None
    assert not visitor.can_occlude
    assert "<figure>" not in show_answer(visitor)
    with pytest.raises(UserError, match="reads text alone"):
        visitor.see(image(run, 0))


def test_what_is_shown_of_an_answer(session: Session, drawn: Run):
    visitor = Visitor(session)
    assert "Give an image" in show_answer(visitor)
    visitor.see(image(drawn, 0))
    assert "Ask a question" in show_answer(visitor)
    visitor.ask("What <b>colur</b> is it, zxqv?", choices=["red", "blue", "mauve"])
    shown = show_answer(visitor, "something was wrong")
    assert "What &lt;b&gt;colur&lt;/b&gt; is it, zxqv?" in shown
    assert "&#39;colur&#39; (did you mean &#39;colour&#39;?)" in shown
    assert "&#39;zxqv&#39;" in shown
    assert "Answers this model cannot give: &#39;mauve&#39;" in shown
    assert "not sure" not in shown
    assert 'role="alert">something was wrong<' in shown
    words = np.array([[0.1, 0.4]], dtype=np.float32)
    visitor.answers = [dataclasses.replace(visitor.answers[0], is_sure=False, words=("what", "colour"), word_maps=words)]
    shown = show_answer(visitor)
    assert "not sure" in shown
    assert '<span style="--share:0.25">what</span> <span style="--share:1.0">colour</span>' in shown


def test_the_model_card_and_the_examples(session: Session, talking: Session):
    card = show_about(session.about, "drawn")
    assert "<h1>drawn</h1>" in card
    assert "Trained on jsonl." in card
    assert "Knows 6 answers." in card
    assert f"Validation accuracy {100 * session.about.accuracy:.1f}%." in card  # type: ignore[operator]
    assert "It may be wrong" in card
    examples = find_examples(talking)
    assert [example.image.stem for example in examples] == ["0", "3", "6"], "the others are asked after earlier rounds"
    assert all(example.image.is_file() and example.caption.startswith("this is") for example in examples)
    shown = show_examples(examples)
    assert shown.count("<button") == shown.count("data:image/png") == 3


def test_there_are_no_examples_where_the_data_set_is_not_at_hand(session: Session, drawn: Run):
    questions = drawn.path.parents[1] / "questions.jsonl"
    questions.rename(questions.with_suffix(".away"))
    try:
        assert find_examples(session) == []
    finally:
        questions.with_suffix(".away").rename(questions)
