"""``vqa-rnn ask``: answers to questions, or a prompt."""

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
    """Ask questions about an image. For a dialog model, they are the rounds of one dialog.

    Args:
        path: The run folder.
        image: The image file; None if the model uses text only.
        questions: The questions in order.
        choices: Candidate answers to each question.
        top: Maximum number of answers per question.
        weights: New location of the backbone's weights, if they moved since training.
        caption: The caption that starts the dialog, for a dialog model.
        picture: A PNG file to draw the answers and where the model looked.

    Returns:
        One answer per question.
    """
    session = _open(path, image, weights, caption)
    answers = tuple(session.ask(question, choices=choices, top=top) for question in questions)
    if picture is not None:
        draw([explain(session, answer) for answer in answers], picture)
    return answers


def describe(path: Path, images: Sequence[Path], weights: str | None = None, picture: Path | None = None) -> tuple[Answer, ...]:
    """Write captions for images.

    Args:
        path: The run folder.
        images: The image files.
        weights: New location of the backbone's weights, if they moved since training.
        picture: A PNG file to draw the captions and where the model looked.

    Returns:
        One caption per image.
    """
    session = load(path, weights)
    answers = tuple(session.describe(image) for image in images)
    if picture is not None:
        draw(answers, picture)
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
        image: The first image, or None.
        choices: The first candidate answers.
        top: Number of answers to show.
        weights: New location of the backbone's weights, if they moved since training.
        caption: The caption that starts the dialog, for a dialog model.
        as_json: Print a JSON object for each line that is read.

    Returns:
        Whether every line was accepted, as in ``run_repl``.
    """
    return run_repl(_open(path, image, weights, caption), Console(), tuple(choices), top, as_json=as_json)


def print_answers(questions: Sequence[str], answers: Sequence[Answer]) -> None:
    """Print answers on stdout. If there are several, each is printed under its question.

    Args:
        questions: The questions.
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
