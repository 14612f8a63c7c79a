"""``vqa-rnn serve`` and the endpoint of its page, asked by a script."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio")

import httpx
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from tests.bad_input import BAD_QUESTIONS, ODD_QUESTIONS, REFUSED, write
from vqa_rnn.answering.session import Session
from vqa_rnn.checkpoint import Run
from vqa_rnn.cli import main
from vqa_rnn.errors import UserError
from vqa_rnn.page.server import serve_page

COLOUR = "What colour is it?"
PATIENT = {"timeout": 120}  # where the machine is busy

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Gradio's own calls of pandas


@pytest.fixture(scope="module")
def url(drawn: Run) -> Iterator[str]:
    with serve_page(Session(drawn.path), "drawn", []) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False, httpx_kwargs=PATIENT)


def image(run: Run, number: int) -> Path:
    return run.path.parents[1] / "images" / f"{number}.png"


def ask(client: Client, path: Path | str, question: Any, **more: Any) -> dict[str, Any]:
    return client.predict(handle_file(path), question, api_name="/ask", **more)


def by_answer(answer: dict[str, Any]) -> dict[str, float]:
    return {each["answer"]: each["probability"] for each in answer["answers"]}


def refusal(client: Client, path: Path | str, question: Any, **more: Any) -> str:
    with pytest.raises(AppError) as refused:
        ask(client, path, question, **more)
    return str(refused.value)


def test_a_script_gets_the_answer_of_the_session(client: Client, drawn: Run):
    session = Session(drawn.path)
    for number, choices in ((0, None), (1, None), (5, ["red", "blue"])):
        answer = ask(client, image(drawn, number), "What colur is it?", choices=choices)
        expected = session.ask(image(drawn, number), "What colur is it?", choices=choices).to_dict()
        assert by_answer(answer) == pytest.approx(by_answer(expected), abs=1e-4)
        assert list(by_answer(answer)) == list(by_answer(expected))
        assert {key: answer[key] for key in ("question", "is_sure", "unknown_words")} == {
            "question": "What colur is it?",
            "is_sure": True,
            "unknown_words": {"colur": "colour"},
        }


def test_the_page_says_how_it_is_asked_and_names_nothing_else(client: Client):
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(named) == ["/ask"]
    parameters = named["/ask"]["parameters"]
    assert [each["parameter_name"] for each in parameters] == ["image", "question", "choices", "caption", "history"]
    assert [each["parameter_has_default"] for each in parameters] == [False, True, True, True, True]


@pytest.mark.parametrize(
    ("question", "more", "says"),
    [
        ("", {}, "the question is empty"),
        (" ?", {}, "the question is empty"),
        (None, {}, "question and caption must be texts"),
        (COLOUR, {"choices": ["red"]}, "one choice: give at least two"),
        (COLOUR, {"choices": "red, blue"}, "choices must be a list of texts"),
        (COLOUR, {"choices": ["zebra", "gnu"]}, "none of the choices is an answer that this model knows"),
        (COLOUR, {"history": [["Is it red?", "yes"]]}, "drawn is not a dialog model"),
        (COLOUR, {"history": [["Is it red?"]]}, "history must be a list of pairs"),
    ],
)
def test_a_bad_question_is_one_sentence(client: Client, drawn: Run, question: Any, more: dict[str, Any], says: str):
    message = refusal(client, image(drawn, 0), question, **more)
    assert says in message
    assert str(drawn.path) not in message


def test_ten_thousand_words_are_answered_or_refused_in_a_sentence(client: Client, drawn: Run):
    question = " ".join(f"word{number}" for number in range(10_000))
    try:
        expected = Session(drawn.path).ask(image(drawn, 0), question).to_dict()
    except UserError:
        assert "88,889" in refusal(client, image(drawn, 0), question)
    else:
        assert by_answer(ask(client, image(drawn, 0), question)) == pytest.approx(by_answer(expected), abs=1e-4)


@pytest.mark.parametrize("name", [name for name, refused in REFUSED.items() if refused.has_content])
def test_a_bad_file_is_one_sentence(client: Client, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]):
    message = refusal(client, write(tmp_path, name), COLOUR)
    assert REFUSED[name].says in message
    assert "\n" not in message
    assert str(tmp_path) not in message
    assert "Traceback" not in capfd.readouterr().err


def test_bad_questions_are_refused_in_the_same_words_as_elsewhere(client: Client, drawn: Run):
    session = Session(drawn.path)
    for name, (question, says) in BAD_QUESTIONS.items():
        if not any("\ud800" <= letter <= "\udfff" for letter in question):  # no JSON can carry half of a character
            assert refusal(client, image(drawn, 0), question) == says, name
    for question, _ in ODD_QUESTIONS.values():
        expected = session.ask(image(drawn, 0), question).to_dict()
        assert by_answer(ask(client, image(drawn, 0), question)) == pytest.approx(by_answer(expected), abs=1e-4)


def test_an_upload_that_is_too_large_is_refused(url: str):
    files = {"files": ("large.png", b"0" * (21 * 2**20))}
    answer = httpx.post(f"{url}gradio_api/upload", files=files)
    assert answer.status_code == 413
    assert "maximum allowed size" in answer.text


def test_no_address_is_opened_and_no_file_of_the_server(client: Client, url: str, drawn: Run):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/picture.png"
        assert "URLs are not supported" in refusal(client, address, COLOUR)
        with pytest.raises(TimeoutError):
            server.accept()
    for more in ({"meta": {"_type": "gradio.FileData"}}, {}):
        data = [{"path": str(image(drawn, 0)), **more}, COLOUR, None, "", None]
        event = httpx.post(f"{url}gradio_api/call/ask", json={"data": data}).json()["event_id"]
        answer = httpx.get(f"{url}gradio_api/call/ask/{event}", timeout=60).text
        assert answer.startswith("event: error"), answer
    direct = httpx.post(f"{url}gradio_api/run/ask", json={"data": [None, COLOUR, None, "", None]})
    assert direct.status_code == 404, "nothing passes by the queue"


def test_visitors_at_the_same_time_get_their_own_answers(client: Client, drawn: Run):
    session = Session(drawn.path)
    jobs = [
        (number, client.submit(handle_file(image(drawn, number)), COLOUR, api_name="/ask")) for number in [*range(8), *range(8)]
    ]
    for number, job in jobs:
        expected = session.ask(image(drawn, number), COLOUR).to_dict()
        assert by_answer(job.result(timeout=120)) == pytest.approx(by_answer(expected), abs=1e-4)


def test_a_taken_port_and_a_strange_address_are_one_sentence(drawn: Run, capsys: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        assert main(["serve", str(drawn.path), "--port", port]) == 2
    assert (
        capsys.readouterr().err == f"error: cannot serve at 127.0.0.1, port {port}: address already in use; give another one\n"
    )
    assert main(["serve", str(drawn.path), "--host", "192.0.2.1"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: cannot serve at 192.0.2.1, port 7860: cannot assign")


def test_without_gradio_one_line_says_what_to_install(
    drawn: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("vqa_rnn.cli.serve.find_spec", lambda name: None)
    assert main(["serve", str(drawn.path)]) == 2
    assert capsys.readouterr().err == 'error: serve needs Gradio: pip install "vqa-rnn[web]"\n'


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_told_to_stop_and_leaves_no_upload(
    drawn: Run, number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "True")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    before = os.environ.get("GRADIO_TEMP_DIR")
    seen: dict[str, Any] = {}

    def visit() -> None:
        try:
            while True:
                try:
                    if httpx.get(f"http://127.0.0.1:{port}/").status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.1)
            visitor = Client(f"http://127.0.0.1:{port}/", verbose=False, httpx_kwargs=PATIENT)
            seen["answer"] = ask(visitor, image(drawn, 0), COLOUR)["answers"][0]["answer"]
            seen["uploads"] = [path.name for path in tmp_path.rglob("*.png")]
            seen["modes"] = {oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
        finally:
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=visit)
    thread.start()
    assert main(["serve", str(drawn.path), "--port", str(port)]) == 0
    thread.join()
    assert seen == {"answer": Session(drawn.path).ask(image(drawn, 0), COLOUR).best, "uploads": ["0.png"], "modes": {"0o700"}}
    assert list(tmp_path.iterdir()) == []
    assert os.environ.get("GRADIO_TEMP_DIR") == before
    output = capsys.readouterr()
    assert output.out == f"drawn can be asked at http://127.0.0.1:{port}/ (Ctrl-C to stop)\n"
    assert output.err == ""
