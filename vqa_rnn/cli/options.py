"""Options shared by several commands."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from vqa_rnn.errors import UserError, printable

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")]
ConfigArgument = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A YAML file, or a built-in recipe such as easy_vqa, daquar or jsonl.")
]
ConfigOverrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value …]", help="Options that override the config, such as training.max_epochs=5"),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value …]", help="Options, such as model.hidden_size=256 training.max_epochs=5"),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing run.")]
Split = Annotated[str | None, typer.Option(help="train, val or test; by default test if there is one, else val.")]
DigitSplit = Annotated[str | None, typer.Option(help="train or val, the default: whose digits.")]
PrintConfig = Annotated[bool, typer.Option("--print-config", help="Print every option with its meaning, and exit.")]


def print_json(value: Any) -> None:
    """Print a value as one line of JSON on stdout.

    Args:
        value: Any value that ``json.dumps`` accepts.
    """
    typer.echo(printable(json.dumps(value, ensure_ascii=False)))


def print_trained(run: Path, uses: Mapping[str, str]) -> None:
    """Say on stderr that a run is trained, and what can be done with it.

    Args:
        run: The run folder.
        uses: What can be done, such as ``Evaluate it``, and the command for it.
    """
    typer.echo(f"{run} is trained. {'    '.join(f'{use}: {command}' for use, command in uses.items())}", err=True)


def check_split(split: str | None) -> None:
    """Check that a split is ``train``, ``val`` or ``test``.

    Args:
        split: The split; None is accepted.

    Raises:
        UserError: The split is unknown.
    """
    from vqa_rnn.files import unknown_name
    from vqa_rnn.records import SPLITS  # imported here because it imports numpy

    if split is not None and split not in SPLITS:
        raise UserError(unknown_name("split", split, SPLITS))


def load_or_print(config: str, overrides: list[str] | None, print_config: bool = False) -> Any:
    """Load a config, or print it and end the command.

    Args:
        config: A YAML file or the name of a recipe.
        overrides: ``section.key=value`` each.
        print_config: Print every option with its meaning instead.

    Returns:
        The ``Config``.

    Raises:
        UserError: There is no such config, or an option is wrong.
        typer.Exit: The config was printed.
    """
    from vqa_rnn.config.files import config_yaml, load_config

    loaded = load_config(config, overrides or [])
    if print_config:
        typer.echo(config_yaml(loaded, comments=True), nl=False)
        raise typer.Exit
    return loaded
