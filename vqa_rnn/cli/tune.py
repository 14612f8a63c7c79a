"""``vqa-rnn tune``: the fastest settings on a machine."""

from dataclasses import asdict
from typing import Annotated

import typer

from vqa_rnn.cli.options import ConfigArgument, ConfigOverrides, Json, load_or_print, print_json


def tune(
    config: ConfigArgument,
    overrides: ConfigOverrides = None,
    seconds: Annotated[float, typer.Option(help="How long to try each setting.")] = 3.0,
    json_: Json = False,
) -> None:
    """Find the fastest precision, threads, loader processes and extraction batch size on this machine.

    Prints commands with the recommended options.

    Example: vqa-rnn tune daquar dataset.root=data/daquar
    """
    loaded = load_or_print(config, overrides, False)
    from vqa_rnn.commands.tables import print_tuning
    from vqa_rnn.commands.tune import tune

    trials = tune(loaded, seconds)
    if json_:
        print_json({"trials": [asdict(trial) for trial in trials]})
    else:
        print_tuning(trials, " ".join([config, *(overrides or [])]), loaded.dataset.nouns().examples)
