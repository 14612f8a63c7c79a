"""Options that several commands have."""

import json
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def print_json(value: Any) -> None:
    """Print a value as one line of JSON on stdout.

    Args:
        value: Anything ``json.dumps`` takes.
    """
    typer.echo(json.dumps(value, ensure_ascii=False))
