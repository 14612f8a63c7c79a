"""The prompt, typed into as a person would, through a pipe and through a terminal: questions, and dialogs."""

import dataclasses
import importlib
import io
import json
import os
import re
import sys
from pathlib import Path

import pexpect
import pytest
from PIL import Image
from rich.console import Console

from tests.answering.conftest import ABOUT_THE_CAPTION, ABOUT_THE_LAST_ROUND
from tests.conftest import configure, draw, train_on_drawn
from vqa_rnn.answering.repl import run_repl
from vqa_rnn.answering.session import Session
from vqa_rnn.checkpoint import Run
from vqa_rnn.cli import main
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.commands.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_on_drawn(tmp_path_factory.mktemp("questions"), "training.max_epochs=20")


@pytest.fixture
def session(run: Run, monkeypatch: pytest.MonkeyPatch) -> Session:
    """With its pictures in the current folder."""
    monkeypatch.chdir(run.path.parents[1])
    return Session(run.path)


def converse(
    session: Session, lines: list[str], monkeypatch: pytest.MonkeyPatch, *, as_json: bool = False, terminal: bool = False
) -> str:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    output = io.StringIO()
    colours = {"force_terminal": True, "color_system": "truecolor"} if terminal else {}
    all_taken = run_repl(session, Console(file=output, width=100, **colours), as_json=as_json)
    assert all_taken == ("error" not in output.getvalue())
    return output.getvalue()


def test_a_conversation(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(Path("my pictures/a red one.png"), "red")
    output = converse(
        session,
        [
            "What colour is it?",
            "/image nowhere.png",
            "my pictures/a red one.png",
            "What colour is it?",
            "What colour is the zebra?",
            "/choices blue, red, mauve",
            "What colour is it?",
            "/choices blue",
            "/choices",
            "/top 1",
            "Which shape is it?",
            "/jump",
            "?",
            "/quit",
            "What colour is it?",
        ],
        monkeypatch,
    )
    lines = [line.strip() for line in output.splitlines()]
    start = lines.index("error: there is no image yet: give one first with --image FILE, in the prompt with /image FILE")
    assert lines[start + 1] == "error: no image at nowhere.png"
    assert lines[start + 2].startswith("red ")
    assert "(words that are not in the vocabulary: 'the', 'zebra')" in lines
    assert "choosing among blue, red, mauve" in lines
    assert "(answers this model cannot give: 'mauve')" in lines
    assert "error: one choice; at least two are needed, in the prompt with commas between them" in lines
    assert lines[-3].startswith("circle ")
    assert lines[-2:] == [
        "error: unknown command /jump; /help lists them",
        "error: the question is empty: ask it in words, such as What colour is it?",
    ]


def test_a_picture_of_the_last_answer(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(Path("red.png"), "red")
    lines = ["/attention", "/image red.png", "/attention early.png", "What color is it?", "/attention", "/attention a/one"]
    output = converse(session, [*lines, "/attention answer.png"], monkeypatch)
    assert output.count("error: nothing was asked yet") == 2
    assert output.count("error: pictures are printed only in a terminal: give a file") == 1
    assert "words that are not in the vocabulary: 'color' (did you mean 'colour'?)" in output
    assert "  answer.png: the image, where the model looked, the answers" in output
    assert "  a/one.png: " in output
    for path in (Path("answer.png"), Path("a/one.png")):
        with Image.open(path) as picture:
            assert picture.height > picture.width
    assert not Path("early.png").exists()


def test_ask_draws_its_answers(session: Session, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["ask", str(session.run.path), "--image", str(draw(Path("red.png"), "red"))]
    assert main([*asked, "--question", "What colour is it?", "--question", "Which shape?", "--picture", "both.png"]) == 0
    with Image.open("both.png") as picture:
        assert picture.width > 700
    assert capsys.readouterr().out.endswith("\npicture: both.png\n")
    assert main([*asked, "--picture", "none.png"]) == 2
    assert "at the prompt there is /attention FILE" in capsys.readouterr().err


def test_in_a_terminal_the_picture_is_printed(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    renderable = importlib.import_module("textual_image.renderable")
    monkeypatch.setattr(renderable, "Image", renderable.HalfcellImage)  # as in a terminal without graphics
    lines = [f"/image {draw(Path('red.png'), 'red')}", "What colour is it?", "/attention"]
    printed = converse(session, lines, monkeypatch, terminal=True)
    assert "the image; attention: " in printed
    assert "220;30;30" in printed  # the red of the circle


def test_json_is_a_line_for_a_line(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    red = draw(Path("red.png"), "red")
    asked = [
        "What colour is it?",
        f"/image {red}",
        "What colour is it?",
        "",
        "/choices red, blue",
        "What colour is it?",
        "/nothing",
    ]
    lines = [json.loads(line) for line in converse(session, asked, monkeypatch, as_json=True).splitlines()]
    assert [next(iter(line)) for line in lines] == ["error", "image", "image", "error"]
    assert lines[1]["image"] == "red.png"
    assert lines[1]["question"] == "What colour is it?"
    assert {answer["answer"] for answer in lines[2]["answers"]} == {"red", "blue"}


def test_answers_are_saved(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    red = draw(Path("red.png"), "red")
    lines = ["/save early.jsonl", f"/image {red}", "What colour is it?", "Which shape?", "/save", "/save all.jsonl"]
    output = converse(session, lines, monkeypatch)
    assert output.count("error: ") == 2
    assert "all.jsonl: 2 answers, one JSON object per line" in output
    saved = [json.loads(line) for line in Path("all.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [each["question"] for each in saved] == ["What colour is it?", "Which shape?"]
    assert not Path("early.jsonl").exists()


def test_a_model_without_history_is_not_offered_a_dialog(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = converse(session, ["/undo", "/history", "/caption a shape"], monkeypatch).splitlines()
    assert not any(name in line for line in lines[:-3] for name in ("/undo", "/history", "/caption"))
    refusal = f"error: {session.run.path} is not a dialog model (model.history.name=none): it takes no caption"
    assert [line.startswith(refusal) for line in lines[-3:]] == [True, True, True]


@pytest.fixture
def dialog(talker: Run, monkeypatch: pytest.MonkeyPatch) -> Session:
    """With the pictures of ``draw_talks`` in the current folder."""
    monkeypatch.chdir(talker.path.parents[1])
    return Session(talker.path)


def test_a_dialog(dialog: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    output = converse(
        dialog,
        [
            "/top 1",
            "/image images/3.png",
            "/history",
            "/caption this is dora",
            "What colour is it?",
            "Which shape is it?",
            ABOUT_THE_LAST_ROUND,
            ABOUT_THE_CAPTION,
            "/undo",
            "/undo",
            "/correct circle",
            ABOUT_THE_LAST_ROUND,
            "/history",
            "/reset",
            ABOUT_THE_LAST_ROUND,
            "/image images/0.png",
            "What colour is it?",
            "/history",
        ],
        monkeypatch,
    )
    assert "\n  /correct ANSWER " in output
    lines = [line.strip().split("  ")[0] for line in output.splitlines()]  # without probabilities
    assert lines[lines.index("/quit") + 1 :] == [
        "a new dialog",
        "nothing was said yet",
        "caption: this is dora",
        "green",
        "square",
        "square",
        "dora",
        f"taken back: {ABOUT_THE_CAPTION} -> dora",
        f"taken back: {ABOUT_THE_LAST_ROUND} -> square",
        "corrected: Which shape is it? -> circle",
        "circle",
        "caption: this is dora",
        "1. What colour is it? -> green",
        "2. Which shape is it? -> circle",
        f"3. {ABOUT_THE_LAST_ROUND} -> circle",
        "all rounds forgotten; the image and the caption stay",
        "nothing",
        "a new dialog",
        "red",
        "1. What colour is it? -> red",
    ]


def test_wrong_commands_are_one_line_each_and_nothing_is_lost(dialog: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("one.txt").write_text("red\n", encoding="utf-8")
    wrong = {
        "/caption too early": "there is no image yet",
        "/undo": "nothing was asked yet",
        "/correct red": "nothing was asked yet",
        "/image images/3.png": "",
        "/caption this is dora": "",
        "What colour is it?": "",
        "/correct": "give the right answer: /correct two",
        "/undo 2": "/undo takes nothing after it, but '2' was given",
        "/reset all": "/reset takes nothing after it",
        "/image nowhere.png": "no image at nowhere.png",
        f"/image {'long' * 100}": "long",
        "/image ~somebody/red.png": "no image at ~somebody/red.png",
        "/choices @nowhere.txt": "no file of choices at nowhere.txt",
        "/choices @one.txt": "one.txt has one choice: at least two are needed",
        "/choices @": "give a file with one answer a line",
        "/choices red, blue, Red": "a choice comes twice",
        "/top ²": "give a number: /top 3",
        f"/top {'9' * 5000}": "give a number: /top 3",
        "/corect red": "unknown command /corect; /help lists them",
        "?": "the question is empty",
    }
    output = converse(dialog, list(wrong), monkeypatch).splitlines()
    errors = [line for line in output if line.startswith("error: ")]
    assert len(errors) == sum(bool(words) for words in wrong.values())
    for line, words in zip(errors, filter(None, wrong.values()), strict=True):
        assert words in line
    assert (dialog.caption, [turn.answer for turn in dialog.rounds]) == ("this is dora", ["green"])


def test_a_byte_that_is_no_text_is_an_unknown_word(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = b"/image images/0.png\n/top 1\nWhat colour is the caf\xe9?\nWhat colour is it?\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed), "utf-8"))
    output = io.StringIO()
    run_repl(session, Console(file=output, width=100))
    *_, first, unknown, second = output.getvalue().splitlines()
    assert [first.split()[0], second.split()[0]] == ["red", "red"]
    assert "caf\N{REPLACEMENT CHARACTER}" in unknown


def test_a_model_of_text_alone_is_asked_without_an_image(
    features: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text_alone = ("features.library=none", "features.store=blanks.h5", "model.attention.name=none")
    blind = configure(features, *text_alone, "training.max_epochs=2", "run.name=blind")
    preprocess(blind)
    run = train(blind)
    assert main(["ask", str(run.path), "--question", "Which shape is it?", "--json"]) == 0
    assert {"circle", "square"} <= {answer["answer"] for answer in json.loads(capsys.readouterr().out)["answers"]}
    session = Session(run.path)
    said = converse(session, ["Which shape is it?", "/image images/0.png"], monkeypatch).splitlines()
    assert "%" in said[-6]
    assert said[-1] == f"error: {run.path} reads text alone (features.library=none): leave the image out"


def test_a_hundred_candidates_from_a_file(dialog: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [f"[bold]answer :smile: {i}" for i in range(98)]
    Path("my answers.txt").write_text("\n".join(["red", "green", *others]), encoding="utf-8")
    before = ["/top 2", "/image images/3.png", "/caption this is dora", "/choices @my answers.txt", "What colour is it?"]
    lines = [*before, "/undo", '/choices @"my answers.txt"', "/top 1", "What colour is it?"]
    output = converse(dialog, lines, monkeypatch).splitlines()
    chosen = "  choosing among red, green, " + ", ".join(others[:6]) + " and 92 more"
    assert output.count(chosen) == 2
    assert [line.split()[0] for line in output[1:] if "%" in line] == ["green", "red", "green"]
    not_possible = ", ".join(f"'{other}'" for other in others[:8])
    assert output.count(f"  (answers this model cannot give: {not_possible} and 90 more)") == 2


def test_it_begins_with_what_the_model_knows(session: Session, dialog: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = converse(session, [], monkeypatch).splitlines()
    assert re.fullmatch(rf"{session.run.path}: trained on jsonl, knows 6 answers, \d+\.\d\d% on validation", lines[0])
    assert lines[1:4] == ["Training questions, for example:", "  What colour is it?", "  Which shape is it?"]
    assert "What did you say last?" in converse(dialog, [], monkeypatch).splitlines()[2]


def test_a_run_of_an_earlier_version_has_no_examples(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.run = dataclasses.replace(session.run, examples=(), path=Path("gone"))
    lines = converse(session, [], monkeypatch).splitlines()
    assert lines[:2] == ["gone: trained on jsonl, knows 6 answers", "Type a question about the image, or"]


def test_at_a_terminal(talker: Run, tmp_path: Path) -> None:
    image = talker.path.parents[1] / "images/3.png"
    command = ["-m", "vqa_rnn", "ask", str(talker.path), "--image", str(image), "--caption", "this is dora"]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path), "PROMPT_TOOLKIT_NO_CPR": "1"}
    child = pexpect.spawn(sys.executable, command, encoding="utf-8", timeout=60, dimensions=(40, 100), env=environment)
    child.expect("3.png, round 1>")
    child.send("/ima\t")
    child.expect("ge")
    child.send(f" {image.parent}/2.p\t")
    child.expect("ng")
    child.send("\r")
    child.expect("a new dialog")
    child.expect("2.png, round 1>")
    child.sendline(f"/image {image}")
    child.expect("3.png, round 1>")
    child.sendline("/caption this is dora")
    child.expect("3.png, round 1>")
    child.sendline("What colour is it?")
    child.expect(r"green\s+\d+\.\d\d%")
    child.expect("3.png, round 2>")
    child.sendline("/undo")
    child.expect("taken back: What colour is it[?] -> green")
    child.expect("3.png, round 1>")
    child.sendline("/quit")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0

    again = pexpect.spawn(sys.executable, command, encoding="utf-8", timeout=60, dimensions=(40, 100), env=environment)
    again.expect("3.png, round 1>")
    again.send("\x1b[A" * 3)  # up: /quit, /undo, and what was asked before
    again.expect("What colour is it[?]")
    again.send("\r")
    again.expect(r"green\s+\d+\.\d\d%")
    again.sendline("/quit")
    again.expect(pexpect.EOF)
