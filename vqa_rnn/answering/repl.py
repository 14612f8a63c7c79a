"""A prompt for questions and answers; with a dialog model, for a dialog."""

import io
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import platformdirs
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from rich.console import Console
from rich.text import Text

from vqa_rnn.answering.answer import Answer
from vqa_rnn.answering.candidates import read_choices
from vqa_rnn.answering.occlusion import explain
from vqa_rnn.answering.pictures import draw
from vqa_rnn.answering.protocol import AnySession
from vqa_rnn.answering.terminal import print_pictures
from vqa_rnn.answering.texts import listed
from vqa_rnn.errors import UserError, printable
from vqa_rnn.features.images import ImageSource, name_of
from vqa_rnn.files import write_text
from vqa_rnn.progress import counted
from vqa_rnn.records import Round

WIDEST = 40  # characters of an answer, so that one long candidate does not shift all bars


@dataclass(slots=True)
class _Prompt:
    """The state of the prompt."""

    session: AnySession
    console: Console
    choices: tuple[str, ...]
    top: int
    asked: list[Answer] = field(default_factory=list)
    as_json: bool = False

    def say(self, text: str) -> None:
        if not self.as_json:
            _print(self.console, f"  {text}")

    @property
    def answers(self) -> str:
        """What the model gives, for messages."""
        return "captions" if self.session.writes_captions else "answers"

    def last(self) -> Answer:
        if not self.asked:
            raise UserError(
                "no image was described yet: type the path of one first"
                if self.session.writes_captions
                else "nothing was asked yet: ask a question first"
            )
        return self.asked[-1]


class _Command(NamedTuple):
    """A command of the prompt: a line that starts with a slash.

    Attributes:
        run: The function, called with the text after the name.
        takes: The argument, as the help shows it; empty if there is none.
        does: What the command does, as the help shows it, with ``{answers}`` for answers or captions.
        for_dialog: Whether it needs a dialog model.
        for_questions: Whether it needs a model that answers questions, and not one that writes captions.
    """

    run: Callable[[_Prompt, str], None]
    takes: str
    does: str
    for_dialog: bool = False
    for_questions: bool = False

    def suits(self, session: AnySession) -> bool:
        return session.is_dialog if self.for_dialog else not (self.for_questions and session.writes_captions)


def run_repl(
    session: AnySession, console: Console, choices: tuple[str, ...] = (), top: int = 5, *, as_json: bool = False
) -> bool:
    """Run the prompt until the user leaves. An error is printed in one line, and the prompt continues.

    The path of a file alone is the same as ``/image FILE``; to a model of captions, each line that is no command is a path.

    Args:
        session: The session, with or without an image.
        console: The console to print to.
        choices: The initial choices.
        top: Number of answers to show.
        as_json: Start as after ``/json``: print one JSON object for each question or failed command, an answer or an ``error``.

    Returns:
        Whether every line was accepted; always True at a terminal, where the user saw the errors.
    """
    prompt = _Prompt(session, console, choices, top, as_json=as_json)
    if not as_json:
        _banner(prompt)
        _help(prompt, "")
    if session.writes_captions and session.image is not None:
        _show(prompt, session.describe())
    read = _reader(session)
    all_taken = True
    while True:
        try:
            line = read(_invitation(session)).strip()
        except EOFError:
            return all_taken
        except KeyboardInterrupt:
            continue
        if not line:
            continue
        if line.split()[0] in ("/quit", "/exit") or line.lower() in ("quit", "exit"):
            return all_taken
        try:
            if _is_file(line):  # before the commands, as a path may begin with a slash too
                _image(prompt, line)
            elif line.startswith("/"):
                _obey(prompt, line)
            elif session.writes_captions:
                _image(prompt, line)
            else:
                _ask(prompt, line)
        except UserError as error:
            all_taken = sys.stdin.isatty()
            if prompt.as_json:
                _print(console, json.dumps({"error": str(error)}, ensure_ascii=False))
            else:
                _print(console, f"error: {error}", style="red")


def _banner(prompt: _Prompt) -> None:
    """Print the description of the model."""
    about = prompt.session.about
    knows = [f"trained on {about.dataset}"] if about.dataset else []
    if about.num_answers:
        knows.append(f"knows {about.num_answers:,} answers")
    if about.accuracy is not None:
        knows.append(f"{about.accuracy:.2%} on validation")
    _print(prompt.console, f"{about.name}: {', '.join(knows)}" if knows else about.name)
    if about.examples:
        _print(prompt.console, "Training questions, for example:")
    for question in about.examples:
        prompt.say(question)


def show_answer(answer: Answer, console: Console) -> None:
    """Print answers with their probabilities as bars, and the notes.

    Args:
        answer: The answer.
        console: The console to print to.
    """
    if not answer.is_sure:
        _print(console, "  not sure; the best guesses:", style="yellow")
    width = min(max(len(text) for text, _ in answer.answers), WIDEST)
    for text, probability in answer.answers:
        bar = "█" * round(30 * probability)
        _print(console, f"  {text:<{width}}  {100 * probability:6.2f}%  {bar}")
    for note in answer.notes:
        _print(console, f"  ({note})", style="yellow")


def _print(console: Console, text: str, style: str = "") -> None:
    """Print text without markup, with unprintable characters escaped; only the terminal wraps long lines."""
    console.print(Text(printable(text), style), soft_wrap=True)


class _Completer(Completer):
    """Completion of commands, and of paths after commands that take a file; for a model of captions also of paths alone."""

    def __init__(self, session: AnySession) -> None:
        self._names = [name for name, command in _COMMANDS.items() if command.suits(session)]
        self._paths = PathCompleter(expanduser=True)
        self._path_alone = session.writes_captions

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        line = document.text_before_cursor
        name, blank, rest = line.partition(" ")
        if blank and name in _COMMANDS and _COMMANDS[name].takes == "FILE":
            yield from self._paths.get_completions(Document(rest), complete_event)
        elif name.startswith("/") and not blank:
            yield from (Completion(each, -len(name)) for each in [*self._names, "/quit"] if each.startswith(name))
        elif self._path_alone:
            yield from self._paths.get_completions(Document(line), complete_event)


def _past_lines() -> History:
    """Return the lines typed in earlier sessions; an empty history if no file can be written."""
    try:
        folder = platformdirs.user_state_path("vqa-rnn", ensure_exists=True)
        (folder / "asked").touch()
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(folder / "asked"))


def _reader(session: AnySession) -> Callable[[str], str]:
    """Return a function that reads a line: with editing, completion and history at a terminal, plainly from a pipe."""
    if sys.stdin.isatty():
        terminal: PromptSession[str] = PromptSession(
            history=_past_lines(), completer=_Completer(session), complete_while_typing=False
        )
        return lambda invitation: terminal.prompt(invitation)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # undecodable bytes become unknown words instead of an error
    return lambda invitation: input()


def _invitation(session: AnySession) -> str:
    """Return the text of the prompt: the image and, in a dialog, the number of the next round."""
    image = _shown_name(session.image) if session.image is not None else "no image" if session.sees_images else "text alone"
    return f"{image}, round {len(session.rounds) + 1}> " if session.is_dialog else f"{image}> "


def _shown_name(image: ImageSource) -> str:
    return Path(image).name if isinstance(image, str | Path) else name_of(image)


def _ask(prompt: _Prompt, question: str) -> None:
    _show(prompt, prompt.session.ask(question, choices=prompt.choices, top=prompt.top))


def _show(prompt: _Prompt, answer: Answer) -> None:
    prompt.asked.append(answer)
    if prompt.as_json:
        _print(prompt.console, _as_json(answer))
    else:
        show_answer(answer, prompt.console)


def _obey(prompt: _Prompt, line: str) -> None:
    name, _, rest = line.partition(" ")
    rest = rest.strip()
    command = _COMMANDS.get(name)
    if command is None:
        raise UserError(f"unknown command {name}; /help lists them")
    if rest and not command.takes:
        raise UserError(f"{name} takes nothing after it, but '{rest}' was given")
    if command.for_dialog:
        prompt.session.check_dialog()
    if not command.suits(prompt.session):
        raise UserError(f"{name} is for models that answer questions; this one describes images")
    command.run(prompt, rest)


def _help(prompt: _Prompt, rest: str) -> None:
    if prompt.as_json:
        return
    first = "the path of an image" if prompt.session.writes_captions else "a question about the image"
    lines = [f"Type {first}, or"]
    for name, command in _COMMANDS.items():
        if command.suits(prompt.session):
            lines.append(f"  {f'{name} {command.takes}':<20} {command.does.format(answers=prompt.answers)}")
    lines.append(f"  {'/quit':<20} leave (so does Ctrl-D)")
    _print(prompt.console, "\n".join(lines))


def _image(prompt: _Prompt, rest: str) -> None:
    if not rest:
        raise UserError("give a file: /image photo.jpg")
    prompt.session.see(_path(rest))
    if prompt.session.writes_captions:
        _show(prompt, prompt.session.describe())
    if prompt.session.is_dialog:
        prompt.say("a new dialog")


def _choices(prompt: _Prompt, rest: str) -> None:
    if rest.startswith("@"):
        file = rest[1:].strip()
        if not file:
            raise UserError("give a file with one answer a line: /choices @answers.txt")
        choices = read_choices(_path(file))
    else:
        choices = tuple(choice.strip() for choice in rest.split(",") if choice.strip())
        prompt.session.check_choices(choices)
    prompt.choices = choices
    prompt.say(f"choosing among {listed(choices)}" if choices else "open answers")


def _top(prompt: _Prompt, rest: str) -> None:
    if not re.fullmatch("[1-9][0-9]{0,5}", rest):
        raise UserError("give a number: /top 3")
    prompt.top = int(rest)


def _attention(prompt: _Prompt, rest: str) -> None:
    answer = prompt.asked[-1] = explain(prompt.session, prompt.last())
    if rest:
        path = _path(rest)
        path = path if path.suffix else path.with_suffix(".png")
        draw(answer, path)
        prompt.say(f"{path}: the image, where the model looked, the {prompt.answers}")
    elif not prompt.console.is_terminal:
        raise UserError("pictures are printed only in a terminal: give a file, /attention where.png")
    elif answer.image is None:
        raise UserError("this model uses text only: there is no image to draw")
    else:
        print_pictures(answer, prompt.console)


def _save(prompt: _Prompt, rest: str) -> None:
    if not rest:
        raise UserError("give a file: /save answers.jsonl")
    prompt.last()
    path = _path(rest)
    write_text(path, "".join(f"{_as_json(answer)}\n" for answer in prompt.asked))
    prompt.say(f"{path}: {counted(len(prompt.asked), prompt.answers)}, one JSON object per line")


def _json(prompt: _Prompt, rest: str) -> None:
    prompt.as_json = not prompt.as_json
    prompt.say(f"{prompt.answers} are shown as bars again")


def _as_json(answer: Answer) -> str:
    image = None if answer.image is None else name_of(answer.image)
    return json.dumps({"image": image} | answer.to_dict(), ensure_ascii=False)


def _caption(prompt: _Prompt, rest: str) -> None:
    before = prompt.session.caption
    prompt.session.set_caption(rest)
    if rest:
        prompt.say(f"caption: {rest}")
    else:
        prompt.say(f"caption removed; it was: {before}" if before else "no caption")


def _history(prompt: _Prompt, rest: str) -> None:
    session = prompt.session
    if session.caption:
        prompt.say(f"caption: {session.caption}")
    for number, turn in enumerate(session.rounds, start=1):
        prompt.say(f"{number:2}. {_said(turn)}")
    if not session.caption and not session.rounds:
        prompt.say("nothing was said yet")


def _said(turn: Round) -> str:
    return f"{turn.question} -> {turn.answer}"


def _undo(prompt: _Prompt, rest: str) -> None:
    taken = prompt.session.undo()
    prompt.say(f"taken back: {_said(taken)}")


def _reset(prompt: _Prompt, rest: str) -> None:
    prompt.session.reset()
    stays = "the image and the caption stay" if prompt.session.caption else "the image stays"
    prompt.say(f"all rounds forgotten; {stays}")


def _correct(prompt: _Prompt, rest: str) -> None:
    if not rest:
        raise UserError("give the right answer: /correct two")
    corrected = prompt.session.correct(rest)
    prompt.say(f"corrected: {_said(corrected)}")


def _is_file(text: str) -> bool:
    try:
        return _path(text).is_file()
    except OSError:  # a text that is too long for a path
        return False


def _path(text: str) -> Path:
    """Parse a path as users type it: plain, with spaces, or quoted as for a shell."""
    try:
        parts = shlex.split(text)
    except ValueError:
        parts = [text]
    try:
        path = Path(text) if Path(text).exists() or len(parts) != 1 else Path(parts[0])
        return path.expanduser()
    except (OSError, RuntimeError):  # a name that is too long; the home folder of an unknown user
        return Path(text)


_COMMANDS = {
    "/image": _Command(_image, "FILE", "look at another image; a dialog begins anew"),
    "/choices": _Command(
        _choices, "A, B, …", "choose among these or the lines of @FILE; without an argument: any answer", for_questions=True
    ),
    "/top": _Command(_top, "N", "show N answers", for_questions=True),
    "/attention": _Command(_attention, "FILE", "draw where the model looked; without an argument: in the terminal"),
    "/json": _Command(_json, "", "{answers} as JSON, a line each, or as bars again"),
    "/save": _Command(_save, "FILE", "write all {answers} so far into a file, one JSON object per line"),
    "/caption": _Command(_caption, "TEXT", "set the caption of the image; without an argument: remove it", for_dialog=True),
    "/history": _Command(_history, "", "what was said so far", for_dialog=True),
    "/correct": _Command(_correct, "ANSWER", "put this in place of the last answer", for_dialog=True),
    "/undo": _Command(_undo, "", "take the last question back", for_dialog=True),
    "/reset": _Command(_reset, "", "forget all questions; the image and the caption stay", for_dialog=True),
    "/help": _Command(_help, "", "this text"),
}
