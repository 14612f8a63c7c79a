"""Files that are no pictures and questions that ask nothing: one sentence in each way of asking, or the right answer."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import vqa_rnn
from tests.bad_input import (
    BAD_QUESTIONS,
    NO_TEXTS,
    ODD_QUESTIONS,
    PLAIN,
    READABLE,
    REFUSED,
    raw_characters,
    write,
)
from tests.conftest import train_on_drawn
from vqa_rnn.answering.answer import Answer
from vqa_rnn.answering.repl import run_repl
from vqa_rnn.answering.session import Session
from vqa_rnn.checkpoint import Run
from vqa_rnn.cli import main
from vqa_rnn.errors import UserError

COLOUR = "What colour is it?"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_on_drawn(tmp_path_factory.mktemp("bad"), "training.max_epochs=1")


@pytest.fixture(scope="module")
def opened(run: Run) -> Session:
    """One for all tests: what was refused leaves nothing behind."""
    return vqa_rnn.load(run.path)


@pytest.fixture
def session(opened: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    """The same, which the command finds open already."""
    monkeypatch.setattr("vqa_rnn.commands.ask.load", lambda path, weights: opened)
    return opened


def refusal(session: Session, *asked: object, **options: object) -> str:
    """What ``ask`` says, which changes nothing."""
    before = session.image, session.rounds, session.caption
    with pytest.raises(UserError) as caught:
        session.ask(*asked, **options)  # type: ignore[call-overload]
    message = str(caught.value)
    assert "\n" not in message
    assert list(raw_characters(message)) == []
    assert (session.image, session.rounds, session.caption) == before
    return message


def refused_by_the_command(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["ask", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1
    assert list(raw_characters(output.err)) == []
    return output.err.removeprefix("error: ").rstrip("\n")


def shown(answer: Answer) -> np.ndarray:
    return np.asarray(answer.pictures()[0]).astype(float)


@pytest.mark.parametrize("name", READABLE)
def test_an_image_is_seen_as_it_is_however_it_is_kept(session: Session, tmp_path: Path, name: str):
    path = write(tmp_path, name)
    expected = session.ask(READABLE[name].shows(), COLOUR)
    with Image.open(path) as image:
        for source in (path, str(path), path.read_bytes(), image):
            answer = session.ask(source, COLOUR)
            difference = np.abs(shown(answer) - shown(expected)).mean()
            assert difference < (6 if READABLE[name].is_lossy else 0.6), "and not turned, dark or another of its images"
            assert dict(answer.answers) == pytest.approx(dict(expected.answers), abs=0.02)


def test_the_command_sees_an_image_whose_name_has_blanks_and_umlauts(
    run: Run, session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for name in ("Straße im Grünen – 2.png", "animated.gif", "cmyk.jpg"):
        path = write(tmp_path / "mein Ordner", name)
        assert main(["ask", str(run.path), "--image", str(path), "--question", COLOUR, "--json"]) == 0
        answers = json.loads(capsys.readouterr().out)["answers"]
        expected = session.ask(path, COLOUR).answers
        assert [each["answer"] for each in answers] == [text for text, _ in expected]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_image_is_refused_in_the_same_sentence_everywhere(
    run: Run, session: Session, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
):
    path, says = write(tmp_path, name), REFUSED[name].says
    session.see(READABLE[PLAIN].shows())
    message = refusal(session, path, COLOUR)
    assert says in message
    assert str(path) in message
    assert refusal(session, str(path), COLOUR) == message
    assert refused_by_the_command(capsys, str(run.path), "--image", str(path), "--question", COLOUR) == message
    assert f"error: {message}" in converse(session, f"/image {path}")
    if REFUSED[name].has_content:
        content = path.read_bytes()
        assert refusal(session, content, COLOUR) == message.replace(str(path), f"<{len(content):,} bytes>")


def test_an_image_of_pillow_or_an_array_that_is_none_is_refused(session: Session, tmp_path: Path):
    truncated = Image.open(write(tmp_path, "truncated.jpg"))
    closed = Image.open(write(tmp_path, PLAIN))
    closed.close()
    sources = {
        "cannot read the image <image>: image file is truncated": truncated,
        "cannot read the image <image>: ": closed,
        "the image <image> is too large: it has more than 178 million pixels": Image.new("1", (20_000, 20_000)),
        "the image <image> has no pixels: it is 0 x 5": Image.new("RGB", (0, 5)),
        "the image <image> is a strip of 5,000 x 1 pixels": Image.new("RGB", (5000, 1)),
        "the image <array> is a strip of 1 x 2,000 pixels": np.zeros((2000, 1), np.uint8),
        "an array of shape (2, 2, 5) is no image": np.zeros((2, 2, 5)),
        "an array of object is no image": np.array([[None]]),
        "an array, not BytesIO": io.BytesIO(),
        "an array, not NoneType": None,
        "an array, not dict": {"image": PLAIN},
        "an array, not int": 3,
    }
    for says, source in sources.items():
        assert says in refusal(session, source, COLOUR)


@pytest.mark.parametrize(("question", "says"), BAD_QUESTIONS.values(), ids=BAD_QUESTIONS)
def test_what_asks_nothing_is_refused_in_the_same_sentence_everywhere(
    run: Run, session: Session, tmp_path: Path, question: str, says: str, capsys: pytest.CaptureFixture[str]
):
    path = write(tmp_path, PLAIN)
    assert refusal(session, path, question) == says
    if "\0" not in question:  # which no system lets through
        assert refused_by_the_command(capsys, str(run.path), "--image", str(path), "--question", question) == says
    if can_be_typed(question):
        assert converse(session, question)[-1] == f"error: {says}"


@pytest.mark.parametrize("question", NO_TEXTS, ids=lambda question: type(question).__name__)
def test_what_is_no_text_is_refused(session: Session, question: object):
    session.see(READABLE[PLAIN].shows())
    said = f"the question must be a text, not {type(question).__name__}"
    assert refusal(session, question) == refusal(session, READABLE[PLAIN].shows(), question) == said


def test_other_texts_are_checked_alike(session: Session):
    session.see(READABLE[PLAIN].shows())
    assert refusal(session, COLOUR, choices=["red", "\x1b[31mblue"]) == (
        "choice number 2 has a control character (\\u001b): leave it out"
    )
    assert refusal(session, COLOUR, choices=["red", 3]) == "choice number 2 must be a text, not int"


@pytest.mark.parametrize(("question", "unknown"), ODD_QUESTIONS.values(), ids=ODD_QUESTIONS)
def test_an_odd_question_is_answered_and_nothing_of_it_steers_the_terminal(
    run: Run,
    session: Session,
    tmp_path: Path,
    question: str,
    unknown: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
):
    path = write(tmp_path, PLAIN)
    answer = session.ask(path, question)
    assert answer.unknown_words == unknown
    if not unknown:
        assert answer.answers == session.ask(COLOUR).answers or len(question) > 1000
    asked = ["--question", question, "--question", COLOUR, "--picture", str(tmp_path / "answer.png")]
    for more in ([], ["--json"]):
        assert main(["ask", str(run.path), "--image", str(path), *asked, *more]) == 0
        output = capsys.readouterr()
        assert output.err == ""
        assert list(raw_characters(output.out)) == []
    assert [each["question"] for each in json.loads(output.out)["rounds"]] == [question, COLOUR]
    assert [str(each.message) for each in recwarn if "missing from" in str(each.message)] == []


def can_be_typed(question: str) -> bool:
    return bool(question.strip()) and not any("\ud800" <= letter <= "\udfff" for letter in question)


def test_the_prompt_of_json_says_the_same(session: Session, tmp_path: Path):
    asked = {question: says for question, says in BAD_QUESTIONS.values() if can_be_typed(question)}
    said = converse(session, f"/image {write(tmp_path, PLAIN)}", *asked, COLOUR, as_json=True)
    *errors, answer = map(json.loads, said)
    assert errors == [{"error": says} for says in asked.values()]
    assert answer["question"] == COLOUR


def converse(session: Session, *lines: str, as_json: bool = False) -> list[str]:
    """What the prompt says to lines that are typed."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        run_repl(session, Console(file=output, width=100), as_json=as_json)
    assert list(raw_characters(output.getvalue())) == []
    return output.getvalue().splitlines()


def test_a_pipe_of_bytes_is_answered_line_by_line(run: Run, tmp_path: Path):
    path = write(tmp_path / "mein Ordner", "Straße im Grünen – 2.png")
    good = f"{COLOUR}\n".encode()
    lines = [
        b"/image ",
        bytes(path),
        b"\n",
        b"\x1b[2J\x1b]0;title\x07\n",
        b"\0\0\n",
        b" \t\n",
        b"caf\xe9?\n",
        b'{"question": "a"}\n',
    ]
    lines += [b"/image \x1b[31m.png\n", b"/image a\0b.png\n", good]
    command = [sys.executable, "-m", "vqa_rnn", "ask", str(run.path)]
    done = subprocess.run(command, input=b"".join(lines), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (2, b"")
    text = done.stdout.decode()
    assert list(raw_characters(text)) == []
    said = [line for line in text.splitlines() if line.startswith("error: ")]
    assert said == [
        "error: the question has a control character (\\u001b): leave it out",
        "error: the question has a control character (\\u0000): leave it out",
        "error: the question is a JSON object: give its text alone, such as What colour is it?",
        "error: no image at \\u001b[31m.png",
        "error: cannot read the image a\\u0000b.png: embedded null byte",
    ]
    assert text.count("words that are not in the vocabulary") == 1
    assert text.splitlines()[-1].count("%") == 1


MEASURE = """
import json, sys
from pathlib import Path
import vqa_rnn
def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) // 1024
run, plain, question, *files = sys.argv[1:]
session = vqa_rnn.load(run)
session.ask(plain, question)
texts = {"10,000 words": " ".join(map(str, range(10_000))), "1,000 words": " ".join(f"{i:x}" for i in range(1000))[:2000]}
grown = {}
for name, image, text in [*((file, file, question) for file in files), *((name, plain, text) for name, text in texts.items())]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    idle = memory("VmRSS")
    try:
        session.ask(image, text)
    except vqa_rnn.UserError:
        pass
    grown[name.rpartition("/")[2]] = memory("VmHWM") - idle
print(json.dumps(grown))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_neither_a_bomb_nor_ten_thousand_words_take_memory(run: Run, tmp_path: Path):
    names = ("bomb.png", "text_bomb.png", "more_than_its_pixels.png", "declared.png", "declared.jpg", "strip.png")
    files = [str(write(tmp_path, name)) for name in (PLAIN, *names)]
    command = [sys.executable, "-c", MEASURE, str(run.path), files[0], COLOUR, *files[1:]]
    measured = subprocess.run(command, capture_output=True, text=True, check=True)
    grown = json.loads(measured.stdout)
    assert set(grown) == {*names, "10,000 words", "1,000 words"}
    assert max(grown.values()) < 50, grown  # MB, where a bomb unpacks to 2,000 or more
