"""``vqa-rnn compare``: runs side by side."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.cli.options import Json, check_split, print_json


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN …", help="Evaluated run folders; the first is the baseline.")],
    split: Annotated[
        str | None,
        typer.Option(help="train, val or test; by default the split on which most runs were evaluated, test before val."),
    ] = None,
    json_: Json = False,
) -> None:
    """Compare runs with the first one: paired differences with 95% intervals over images, and p-values.

    The runs may be of any kind that can be evaluated, such as those of vqa-rnn seq2seq train, but all of the same kind.

    Runs with different signatures, such as other questions or another scoring rule, are refused.

    Example: vqa-rnn compare runs/daquar runs/daquar-gru
    """
    check_split(split)
    from vqa_rnn.commands.compare import compare
    from vqa_rnn.commands.tables import print_comparison

    report = compare(runs, split)  # type: ignore[arg-type]  # checked above
    if json_:
        print_json(report)
    else:
        print_comparison(report)
