"""The prompt, typed into as a person would, through a pipe and through a terminal."""

import io
import sys
from pathlib import Path

import pexpect
import pytest
from rich.console import Console

from tests.conftest import draw
from tests.test_end_to_end import configure
from vqa_rnn.answering.repl import run_repl
from vqa_rnn.answering.session import Session
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.commands.train import train


@pytest.fixture
def session(own_questions: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.chdir(own_questions.parent)
    config = configure(own_questions, "training.max_epochs=20")
    preprocess(config)
    return Session(train(config).path)


def converse(session: Session, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    output = io.StringIO()
    run_repl(session, Console(file=output, width=100))
    return output.getvalue()


def test_a_conversation(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(Path("my pictures/a red one.png"), "red")
    output = converse(
        session,
        [
            "What colour is it?",
            "/image nowhere.png",
            "/image my pictures/a red one.png",
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
    start = lines.index("error: there is no image yet: give one first, in the prompt with /image FILE")
    assert lines[start + 1] == "error: no image at nowhere.png"
    assert lines[start + 2].startswith("red ")
    assert "(words that training never met: 'the', 'zebra')" in lines
    assert "choosing among blue, red, mauve" in lines
    assert "(answers this model cannot give: 'mauve')" in lines
    assert "error: one choice; at least two are needed, with commas between them" in lines
    assert lines[-3].startswith("circle ")
    assert lines[-2:] == ["error: unknown command /jump; /help lists them", "error: the question is empty"]


def test_at_a_terminal(session: Session) -> None:
    command = f"-m vqa_rnn ask {session.run.path} --image images/0.png"
    child = pexpect.spawn(sys.executable, command.split(), encoding="utf-8", timeout=60, dimensions=(40, 100))
    child.expect("0.png>")
    child.sendline("What colour is it?")
    child.expect(r"red\s+\d+\.\d\d%")
    child.expect("0.png>")
    child.sendline("/quit")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
