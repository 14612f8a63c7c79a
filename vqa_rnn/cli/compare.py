"""``vqa-rnn compare``: runs side by side."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.cli.options import Json, check_split, print_json


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN …", help="Evaluated run folders; the first is the baseline.")],
    split: Annotated[
        str | None, typer.Option(help="train, val or test; by default that on which most were evaluated, test before val.")
    ] = None,
    json_: Json = False,
) -> None:
    """Set runs beside the first: paired differences with 95% intervals by image, and how surprising they would be by chance.

    Runs whose signatures differ, such as other questions or another rule, are refused.

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
