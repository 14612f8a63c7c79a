"""``vqa-rnn calibrate``: probabilities and the threshold of "not sure"."""

from typing import Annotated

import typer

from vqa_rnn.cli.options import Json, check_split, print_json
from vqa_rnn.cli.runs import MovedOverrides, RunArgument


def calibrate(
    run: RunArgument,
    overrides: MovedOverrides = None,
    split: Annotated[str, typer.Option(help="val or test; must not be part of the training data.")] = "val",
    accuracy: Annotated[float, typer.Option(help="Accuracy to reach above the threshold; below it, ask says not sure.")] = 0.9,
    json_: Json = False,
) -> None:
    """Calibrate probabilities by temperature scaling, and let `ask` say "not sure".

    Example: vqa-rnn calibrate runs/slake --accuracy 0.95
    """
    check_split(split)
    from vqa_rnn.commands.calibrate import calibrate, print_calibration
    from vqa_rnn.engines import is_first

    report = calibrate(run, split, accuracy, overrides or ())  # type: ignore[arg-type]  # checked above
    if json_ and is_first():
        print_json(report)
    elif is_first():
        print_calibration(report)
