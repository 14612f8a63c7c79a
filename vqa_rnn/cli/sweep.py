"""``vqa-rnn sweep``: a search for the best options."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.cli.options import ConfigArgument, ConfigOverrides, Json, print_json


def sweep(
    config: ConfigArgument,
    overrides: ConfigOverrides = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=…", help="What to try: a range, key=0.001..0.01, or values, key=a|b|c. Repeat it for each option."
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Total number of trials, including those already done.")] = 20,
    folder: Annotated[Path | None, typer.Option(help="Where to save the trials; by default sweeps/CONFIG.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    json_: Json = False,
) -> None:
    """Search for the best options by validation accuracy, with Optuna. Run it again to continue an interrupted sweep.

    Example: vqa-rnn sweep slake --over training.learning_rate=0.0005..0.005 --over 'model.fusion.hidden_size=512|1024'
    """
    from vqa_rnn.commands.sweep import print_sweep, sweep

    report = sweep(config, overrides or (), over or (), trials, folder, seed)
    if json_:
        print_json(report)
    else:
        print_sweep(report, config, overrides or ())
