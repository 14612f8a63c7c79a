"""Questions and answers at a prompt."""

import shlex
import sys
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.history import InMemoryHistory
from rich.console import Console

from vqa_rnn.answering.session import Answer, Session
from vqa_rnn.errors import UserError

HELP = """Type a question about the image, or
  /image FILE          look at another image
  /choices A, B, …     choose among these answers; /choices alone asks openly again
  /top N               show N answers
  /help                this text
  /quit                leave (so does Ctrl-D)"""


def run_repl(session: Session, console: Console, choices: tuple[str, ...] = (), top: int = 5) -> None:
    """Ask and answer until the user leaves. Mistakes are said in one line and nothing is lost.

    Args:
        session: With or without an image.
        console: Where answers go.
        choices: To begin with.
        top: How many answers to show.
    """
    console.print(HELP, highlight=False)
    read = _reader()
    while True:
        image = session.image_path.name if session.image_path else "no image"
        try:
            line = read(f"{image}> ").strip()
        except EOFError:
            return
        except KeyboardInterrupt:
            continue
        if not line:
            continue
        if line in ("/quit", "/exit"):
            return
        try:
            if line.startswith("/"):
                choices, top = _command(line, session, console, choices, top)
            elif session.needs_choices and not choices:
                raise UserError("this model chooses among answers: give some first, such as /choices yes, no")
            else:
                show_answer(session.ask(line, choices, top), console)
        except UserError as error:
            console.print(f"error: {error}", style="red", highlight=False, markup=False)


def show_answer(answer: Answer, console: Console) -> None:
    """Print answers with their probabilities as bars, and what the model could not know.

    Args:
        answer: The answer.
        console: Where to.
    """
    width = max(len(text) for text, _ in answer.answers)
    for text, probability in answer.answers:
        bar = "█" * round(30 * probability)
        console.print(f"  {text:<{width}}  {100 * probability:6.2f}%  {bar}", highlight=False, markup=False)
    if answer.unknown_words:
        words = ", ".join(f"'{word}'" for word in answer.unknown_words)
        console.print(f"  (words that training never met: {words})", style="yellow", highlight=False, markup=False)
    if answer.outside_vocabulary:
        texts = ", ".join(f"'{text}'" for text in answer.outside_vocabulary)
        console.print(f"  (answers this model cannot give: {texts})", style="yellow", highlight=False, markup=False)


def _reader():  # type: ignore[no-untyped-def]
    """A prompt with editing and history at a terminal; plain lines from a pipe."""
    if sys.stdin.isatty():
        return PromptSession(history=InMemoryHistory()).prompt
    return lambda prompt: input()


def _command(line: str, session: Session, console: Console, choices: tuple[str, ...], top: int) -> tuple[tuple[str, ...], int]:
    name, _, rest = line.partition(" ")
    rest = rest.strip()
    if name == "/image":
        if not rest:
            raise UserError("give a file: /image photo.jpg")
        try:
            parts = shlex.split(rest)
        except ValueError:
            parts = [rest]
        file = Path(rest) if Path(rest).exists() or len(parts) != 1 else Path(parts[0])
        session.set_image(file.expanduser())
    elif name == "/choices":
        choices = tuple(choice.strip() for choice in rest.split(",") if choice.strip())
        if len(choices) == 1:
            raise UserError("one choice; at least two are needed, with commas between them")
        console.print(f"  choosing among {', '.join(choices)}" if choices else "  open answers", highlight=False)
    elif name == "/top":
        if not rest.isdigit() or int(rest) < 1:
            raise UserError("give a number: /top 3")
        top = int(rest)
    elif name == "/help":
        console.print(HELP, highlight=False)
    else:
        raise UserError(f"unknown command {name}; /help lists them")
    return choices, top
