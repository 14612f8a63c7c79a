"""``vqa-rnn ask``: answers to some questions, or a prompt."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from vqa_rnn.answering.answer import Answer
from vqa_rnn.answering.occlusion import explain
from vqa_rnn.answering.pictures import draw
from vqa_rnn.answering.protocol import AnySession
from vqa_rnn.answering.repl import run_repl, show_answer
from vqa_rnn.answering.session import load
from vqa_rnn.errors import printable


def ask(
    path: Path,
    image: Path | None,
    questions: Sequence[str],
    choices: Sequence[str] = (),
    top: int = 5,
    weights: str | None = None,
    caption: str | None = None,
    picture: Path | None = None,
) -> tuple[Answer, ...]:
    """Ask questions about an image; of a dialog model they are the rounds of one dialog.

    Args:
        path: The run folder.
        image: The image file; None where the model reads text alone.
        questions: In the order of asking.
        choices: Candidate answers to each of them.
        top: How many answers to give, at most.
        weights: The backbone's weights, where they lie elsewhere than in training.
        caption: A sentence about the image that opens the dialog, for a dialog model.
        picture: A PNG file to draw the answers into, and where the model looked.

    Returns:
        An answer a question.
    """
    session = _open(path, image, weights, caption)
    answers = tuple(session.ask(question, choices=choices, top=top) for question in questions)
    if picture is not None:
        draw([explain(session, answer) for answer in answers], picture)
    return answers


def converse(
    path: Path,
    image: Path | None,
    choices: Sequence[str] = (),
    top: int = 5,
    weights: str | None = None,
    caption: str | None = None,
    *,
    as_json: bool = False,
) -> bool:
    """Open the prompt.

    Args:
        path: The run folder.
        image: To begin with, or None.
        choices: To begin with.
        top: How many answers to show.
        weights: The backbone's weights, where they lie elsewhere than in training.
        caption: A sentence about the image that opens the dialog, for a dialog model.
        as_json: Print a JSON object for each line that is read.

    Returns:
        Whether every line was taken, as of ``run_repl``.
    """
    return run_repl(_open(path, image, weights, caption), Console(), tuple(choices), top, as_json=as_json)


def print_answers(questions: Sequence[str], answers: Sequence[Answer]) -> None:
    """Print answers on stdout, under their questions where there are several.

    Args:
        questions: As asked.
        answers: From ``ask``.
    """
    console = Console()
    for question, answer in zip(questions, answers, strict=True):
        if len(questions) > 1:
            console.print(Text(printable(question)))
        show_answer(answer, console)


def _open(path: Path, image: Path | None, weights: str | None, caption: str | None) -> AnySession:
    session = load(path, weights)
    if image is not None:
        session.see(image)
    if caption is not None:
        session.set_caption(caption)
    return session
