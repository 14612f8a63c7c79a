"""``vqa-rnn consistency``: whether the answers of a run agree with each other."""

from typing import Annotated

import typer

from vqa_rnn.cli.options import Json, check_split, print_json
from vqa_rnn.cli.runs import MovedOverrides, RunArgument


def consistency(
    run: RunArgument,
    overrides: MovedOverrides = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "val",
    json_: Json = False,
) -> None:
    """Check whether answers are consistent: ask what a run's own answers imply, or repeat questions with changed choices.

    Example: vqa-rnn consistency runs/daquar
    """
    check_split(split)
    from vqa_rnn.commands.consistency import consistency, print_consistency
    from vqa_rnn.engines import is_first

    report = consistency(run, split, overrides or ())  # type: ignore[arg-type]  # checked above
    if json_ and is_first():
        print_json(report)
    elif is_first():
        print_consistency(report)
