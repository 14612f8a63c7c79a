"""``vqa-rnn report``: an HTML page about runs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vqa_rnn.cli.options import check_split
from vqa_rnn.cli.runs import RunArgument, RunArguments, runs_and_overrides


def report(
    run: RunArgument,
    more: RunArguments = None,
    split: Annotated[str | None, typer.Option(help="val or test; by default test if it has answers, else val.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The HTML file to write.")] = Path(
        "report.html"
    ),
) -> None:
    """Write one HTML page about one or more runs: results with intervals and floors, curves, errors and examples.

    Example: vqa-rnn report runs/full runs/blind --split val --output report.html
    """
    check_split(split)
    runs, overrides = runs_and_overrides(run, more or ())
    from vqa_rnn.commands.report import report

    which: Any = split  # checked above
    typer.echo(f"{report(runs, output, which, overrides)}: open it in a browser; it works offline")
