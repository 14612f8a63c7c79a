"""``vqa-rnn ask``: questions about an image, and the prompt."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.cli.options import Json, print_json
from vqa_rnn.cli.runs import RunArgument
from vqa_rnn.errors import UserError


def ask(
    run: RunArgument,
    # readable=False: a file without read permission is reported by the code that reads it, as in all commands
    image: Annotated[Path | None, typer.Option(help="The image to look at.", readable=False)] = None,
    question: Annotated[
        list[str] | None, typer.Option(help="A question; repeat it for the rounds of a dialog. Without it, a prompt opens.")
    ] = None,
    caption: Annotated[str | None, typer.Option(help="The caption that starts the dialog, for a dialog model.")] = None,
    choice: Annotated[list[str] | None, typer.Option(help="A candidate answer; repeat it for each candidate.")] = None,
    choices_file: Annotated[
        Path | None, typer.Option("--choices", metavar="FILE", help="A text file of candidate answers, one per line.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Number of answers to show.")] = 5,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="New location of the backbone's weights, if they moved since training: a file or a folder."
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the answers and where the model looked to a PNG file.")
    ] = None,
    json_: Json = False,
) -> None:
    """Ask a trained model about an image: one question, the rounds of a dialog, or a prompt.

    RUN may also be hub:OWNER/NAME, an exported model on the Hugging Face hub, or hf:OWNER/NAME, a ViLT or BLIP model there.
    At the prompt, the path of an image shows another image; a model that was trained on captions describes it.
    With --json and without --question, questions are read from stdin, one per line; each answer is one line of JSON.
    If stdin is a file or a pipe, the exit code is 2 when a line was refused.

    Example: vqa-rnn ask runs/demo --image photo.png --question "what color is the shape?"
    """
    questions, choices = question or [], tuple(choice or ())
    if choices_file is not None:
        from vqa_rnn.answering.candidates import read_choices

        if choices:
            raise UserError("--choice and --choices both name candidate answers: give one of them")
        choices = read_choices(choices_file)
    if not questions:
        if picture is not None:
            raise UserError("--picture draws the answer to a question: give --question; at the prompt there is /attention FILE")
        from vqa_rnn.commands.ask import converse

        if not converse(run, image, choices, top, weights, caption, as_json=json_):
            raise typer.Exit(2)
        return
    from vqa_rnn.commands.ask import ask, print_answers

    answers = ask(run, image, questions, choices, top, weights, caption, picture)
    if json_:
        found = [answer.to_dict() for answer in answers]
        print_json(found[0] if len(found) == 1 else {"rounds": found})
    else:
        print_answers(questions, answers)
        if picture is not None:
            typer.echo(f"picture: {picture}")
