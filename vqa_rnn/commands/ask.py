"""``vqa-rnn ask``: one answer, or a prompt."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from vqa_rnn.answering.repl import run_repl
from vqa_rnn.answering.session import Answer, Session


def ask(
    path: Path,
    image: Path,
    question: str,
    choices: Sequence[str] = (),
    top: int = 5,
    weights: str | None = None,
) -> Answer:
    """Ask one question.

    Args:
        path: The run folder.
        image: The image file.
        question: The question.
        choices: Candidate answers.
        top: How many answers to give, at most.
        weights: The backbone's weights, where they lie elsewhere than in training.

    Returns:
        The answer.
    """
    session = Session(path, weights)
    session.set_image(image)
    return session.ask(question, choices, top)


def converse(path: Path, image: Path | None, choices: Sequence[str] = (), top: int = 5, weights: str | None = None) -> None:
    """Open the prompt.

    Args:
        path: The run folder.
        image: To begin with, or None.
        choices: To begin with.
        top: How many answers to show.
        weights: The backbone's weights, where they lie elsewhere than in training.
    """
    session = Session(path, weights)
    if image is not None:
        session.set_image(image)
    run_repl(session, Console(), tuple(choices), top)
