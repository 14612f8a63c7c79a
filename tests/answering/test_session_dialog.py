"""A session with a dialog model: what was said counts, and asking gives the evaluator's answers."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.answering.conftest import ABOUT_THE_CAPTION, ABOUT_THE_LAST_ROUND
from tests.conftest import configure, draw
from tests.official import draw_visdial
from tests.test_recipes import SMALL
from vqa_rnn.answering.candidates import read_choices
from vqa_rnn.answering.session import Session
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.checkpoint import Run
from vqa_rnn.cli import main
from vqa_rnn.commands.measure import measure
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.commands.train import train
from vqa_rnn.config import Config
from vqa_rnn.config.files import load_config
from vqa_rnn.errors import UserError
from vqa_rnn.records import Round

COLOUR, SHAPE = "What colour is it?", "Which shape is it?"


@pytest.fixture(scope="module")
def visdial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn set with the features of its images, and a config file beside it."""
    folder = tmp_path_factory.mktemp("visdial")
    draw_visdial(folder / "data", images=4)
    path = folder / "visdial.yaml"
    store = f"{{store: {folder}/features.h5}}"
    path.write_text(
        f"dataset: {{name: visdial, root: {folder}/data}}\nfeatures: {store}\nmodel: {{head: {{name: choice}}}}\n"
        f"run: {{folder: {folder}/runs}}\n",
        encoding="utf-8",
    )
    preprocess(visdial_config(path))
    return path


def visdial_config(path: Path, *options: str) -> Config:
    return load_config(str(path), [*SMALL, "features.precision=float32", *options])


@pytest.fixture
def session(talker: Run) -> Session:
    """Looking at a green square, picture 3, that is called Dora."""
    session = Session(talker.path)
    session.see(picture(talker, 3))
    session.set_caption("this is dora")
    return session


def picture(run: Run, number: int) -> Path:
    return run.config.dataset.path.parent / f"images/{number}.png"  # type: ignore[union-attr]


def best(session: Session, question: str) -> str:
    return session.ask(question).answers[0][0]


@pytest.mark.parametrize(
    ("history", "head"), [("memory", "choice"), ("hierarchical", "mlp_choice"), ("late_fusion", "generative")]
)
def test_asking_gives_the_evaluators_answers(visdial: Path, history: str, head: str) -> None:
    config = visdial_config(visdial, f"model.history.name={history}", f"model.head.name={head}", f"run.name={history}")
    run = train(config)
    measured = measure(run, "val", with_floors=False)
    images = read_annotations(config.dataset, ["val"]).images
    session = Session(run.path)
    assert session.is_dialog
    for question in measured.questions:
        if question.round_index == 0:
            session.see(images[question.image_id])
            session.set_caption(question.caption or "")
        assert (session.caption, session.rounds) == (question.caption, question.history)
        answers = session.ask(question.question, choices=question.choices, top=100).answers
        expected = measured.predictions[question.question_id]
        assert expected.ranks is not None
        assert [text for text, _ in answers] == [question.choices[i] for i in np.argsort(expected.ranks)]
        assert answers[0][1] == pytest.approx(expected.probability, abs=1e-3)
        session.correct(question.human_answers[0])  # the evaluator's history is the true one
    assert len(session.rounds) == 3


def test_a_classifier_gives_the_evaluators_answers(talker: Run) -> None:
    measured = measure(talker, "val", with_floors=False)
    session = Session(talker.path)
    for question in measured.questions:
        session.see(talker.config.dataset.path.parent / question.image_id)  # type: ignore[union-attr]
        session.set_caption(question.caption or "")
        for turn in question.history:
            session.ask(turn.question)
            session.correct(turn.answer)
        answer, probability = session.ask(question.question).answers[0]
        expected = measured.predictions[question.question_id]
        assert answer == expected.answer
        assert probability == pytest.approx(expected.probability, abs=1e-3)
    assert measured.scores.mean() >= 0.9


def test_a_generative_model_writes_where_it_has_no_choices(visdial: Path) -> None:
    config = visdial_config(visdial, "model.history.name=memory", "model.head.name=generative", "run.name=writes")
    session = Session(train(config).path)
    question = read_annotations(config.dataset, ["val"]).questions[0]
    session.see(read_annotations(config.dataset, ["val"]).images[question.image_id])
    assert not session.needs_choices
    [(written, probability)] = session.ask(question.question).answers
    assert written
    assert 0 < probability < 1
    assert session.rounds == (Round(question.question, written),)
    chosen = session.ask(question.question, choices=("yes", "no")).answers
    assert sum(p for _, p in chosen) == pytest.approx(1)


def test_what_was_said_counts(session: Session) -> None:
    assert best(session, ABOUT_THE_LAST_ROUND) == "nothing"
    assert best(session, ABOUT_THE_CAPTION) == "dora"
    session.reset()
    assert (best(session, COLOUR), best(session, ABOUT_THE_LAST_ROUND)) == ("green", "green")
    session.set_caption("this is carl")  # rounds stay
    assert len(session.rounds) == 2
    assert best(session, ABOUT_THE_CAPTION) == "carl"


def test_correcting_changes_what_is_asked_next(session: Session) -> None:
    assert best(session, COLOUR) == "green"
    assert session.correct(" blue ") == Round(COLOUR, "blue")
    assert session.rounds == (Round(COLOUR, "blue"),)
    assert best(session, ABOUT_THE_LAST_ROUND) == "blue"


def test_undo_is_as_if_it_had_not_been_asked(session: Session) -> None:
    session.ask(COLOUR)
    before = session.ask(ABOUT_THE_LAST_ROUND).answers
    session.undo()
    session.ask(SHAPE)
    assert best(session, ABOUT_THE_LAST_ROUND) == "square"
    assert session.undo() == Round(ABOUT_THE_LAST_ROUND, "square")
    assert session.undo() == Round(SHAPE, "square")
    assert session.ask(ABOUT_THE_LAST_ROUND).answers == before
    session.undo()
    session.undo()
    assert session.rounds == ()
    with pytest.raises(UserError, match="nothing was asked yet"):
        session.undo()


def test_reset_forgets_the_rounds_alone(session: Session) -> None:
    first = session.ask(SHAPE).answers
    session.ask(COLOUR)
    path = session.image
    session.reset()
    assert (session.image, session.caption, session.rounds) == (path, "this is dora", ())
    assert session.ask(SHAPE).answers == first


def test_another_image_is_another_dialog(session: Session, talker: Run) -> None:
    session.ask(COLOUR)
    with pytest.raises(UserError, match="no image at"):
        session.see(Path("nowhere.png"))
    assert (session.caption, len(session.rounds)) == ("this is dora", 1)
    session.see(picture(talker, 0))
    assert (session.caption, session.rounds) == (None, ())


def test_a_question_that_is_refused_leaves_no_round(session: Session) -> None:
    session.ask(COLOUR)
    said = session.rounds
    for question, choices in (("?", ()), (SHAPE, ("circle",)), (SHAPE, ("cat", "dog"))):
        with pytest.raises(UserError):
            session.ask(question, choices=choices)
    with pytest.raises(UserError, match="the answer is empty"):
        session.correct("  ")
    assert session.rounds == said


def test_a_refused_question_with_an_image_or_a_history_changes_nothing(session: Session, tmp_path: Path) -> None:
    session.set_caption("this is dora")
    session.ask(COLOUR)
    before = session.image, session.caption, session.rounds
    other = draw(tmp_path / "other.png", "blue")
    refused: list[tuple[tuple[object, ...], dict[str, object]]] = [
        ((other, COLOUR), {"choices": ["red"]}),
        ((COLOUR,), {"history": [("Is it red?", "no")], "choices": ["red"]}),
        ((COLOUR,), {"history": [("Is it red?",)]}),
        ((COLOUR,), {"history": ["no"]}),
        ((COLOUR,), {"history": [("Is it red?", 3)]}),
        ((Path("missing.png"), COLOUR), {"history": [("Is it red?", "no")]}),
    ]
    for asked, options in refused:
        with pytest.raises(UserError):
            session.ask(*asked, **options)  # type: ignore[arg-type]
        assert (session.image, session.caption, session.rounds) == before


def test_words_of_the_dialog_that_training_never_met(session: Session) -> None:
    session.set_caption("this is dora the zebra")
    assert session.ask(COLOUR).unknown_words == ("the", "zebra")
    session.correct("mauve")
    assert session.ask("Which animal is it?").unknown_words == ("the", "zebra", "mauve", "animal")


def test_a_model_without_history_keeps_none(features: Path) -> None:
    session = Session(train(configure(features, "training.max_epochs=1")).path)
    assert not session.is_dialog
    with pytest.raises(UserError, match="is not a dialog model"):
        session.set_caption("a shape")
    session.see(draw(Path("red.png"), "red"))
    first = session.ask(COLOUR).answers
    assert session.ask(COLOUR).answers == first
    assert session.rounds == ()
    for change in (session.undo, session.reset, lambda: session.correct("red")):
        with pytest.raises(UserError, match=r"model\.history\.name=none"):
            change()


def test_the_command_asks_a_dialog(talker: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "answers.txt"
    file.write_text("\ufeffred\r\n\n green \nblue\nnothing\n", encoding="utf-8")
    command = ["ask", str(talker.path), "--image", str(picture(talker, 3)), "--caption", "this is dora"]
    assert main([*command, "--question", COLOUR, "--choices", str(file), "--top", "2", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert set(one) == {"question", "answers", "is_sure", "unknown_words", "unread", "seconds"}
    assert (len(one["answers"]), one["answers"][0]["answer"]) == (2, "green")
    several = [*command, "--question", COLOUR, "--question", ABOUT_THE_LAST_ROUND, "--choices", str(file)]
    assert main([*several, "--json"]) == 0
    rounds = json.loads(capsys.readouterr().out)["rounds"]
    assert [(turn["question"], turn["answers"][0]["answer"]) for turn in rounds] == [
        (COLOUR, "green"),
        (ABOUT_THE_LAST_ROUND, "green"),
    ]
    assert main([*several, "--top", "1"]) == 0
    asked, answer, asked_next, answer_next = capsys.readouterr().out.splitlines()
    assert (asked, asked_next) == (COLOUR, ABOUT_THE_LAST_ROUND)
    assert (answer.split()[0], answer_next.split()[0]) == ("green", "green")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--caption", "this is dora"], "there is no image yet: give one first with --image FILE"),
        (["--choices", "none.txt"], "no file of choices at none.txt"),
        (["--choices", "answers.txt", "--choice", "red"], "give one of them"),
    ],
)
def test_a_wrong_command_is_refused_in_one_line(
    arguments: list[str], words: str, talker: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", str(talker.path), *arguments]) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"red\n\nblue\n RED \n", ":4: the choice 'RED' comes twice (first on line 1)"),
        (b"\n\n", "has no choices: at least two"),
        (b"red\n", "has one choice: at least two"),
        (b"\xff\xfe", "is not UTF-8 text"),
    ],
)
def test_a_file_of_choices_that_does_not_do(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "answers.txt"
    path.write_bytes(content)
    with pytest.raises(UserError) as refused:
        read_choices(path)
    assert str(path) in str(refused.value)
    assert words in str(refused.value)
    with pytest.raises(UserError, match="cannot read"):
        read_choices(tmp_path)
