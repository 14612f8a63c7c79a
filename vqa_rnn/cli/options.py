"""Options that several commands have."""

import json
from typing import Annotated, Any

import typer

from vqa_rnn.errors import UserError, printable

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")]


def print_json(value: Any) -> None:
    """Print a value as one line of JSON on stdout.

    Args:
        value: Anything ``json.dumps`` takes.
    """
    typer.echo(printable(json.dumps(value, ensure_ascii=False)))


def check_split(split: str | None) -> None:
    """See that a split is one of the three.

    Args:
        split: What was given; None passes.

    Raises:
        UserError: It is not.
    """
    from vqa_rnn.files import unknown_name
    from vqa_rnn.records import SPLITS  # not above: it imports numpy

    if split is not None and split not in SPLITS:
        raise UserError(unknown_name("split", split, SPLITS))
