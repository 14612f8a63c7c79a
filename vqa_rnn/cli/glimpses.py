"""``vqa-rnn glimpses``: train readers of glimpses, evaluate them, and see where they look."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.cli.options import Json, Overrides, Overwrite, PrintConfig, Resume, print_json

app = typer.Typer(
    name="glimpses",
    help="Read several digits of an image by a series of glimpses: train, evaluate, and see where the model looks.",
    no_args_is_help=True,
)

GlimpsesRun = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder of vqa-rnn glimpses train, such as runs/glimpses.")
]


@app.command()
def train(
    overrides: Overrides = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    print_config: PrintConfig = False,
) -> None:
    """Train a model that reads the digits of a scene from left to right. The run folder is runs/glimpses.

    Examples: vqa-rnn glimpses train;  vqa-rnn glimpses train data.num_digits=3 run.name=three;  vqa-rnn glimpses train --resume
    """
    from vqa_rnn.config.files import config_yaml, override_config
    from vqa_rnn.config.glimpses import GlimpsesConfig

    config = override_config(GlimpsesConfig(), overrides or [])
    if config.run.name is None:
        config = config.model_copy(update={"run": config.run.model_copy(update={"name": "glimpses"})})
    if print_config:
        typer.echo(config_yaml(config, comments=True))
        return
    from vqa_rnn.commands.glimpses.train import train

    run = train(config, resume=resume, overwrite=overwrite)
    typer.echo(f"next: vqa-rnn glimpses look {run.path}")
