"""``vqa-rnn glimpses``: train readers of glimpses, evaluate them, and see where they look."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.cli.options import (
    DigitSplit,
    Json,
    Overrides,
    Overwrite,
    PrintConfig,
    Resume,
    check_split,
    print_json,
    print_trained,
)
from vqa_rnn.errors import UserError

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
    from vqa_rnn.config.files import config_yaml, override_config, with_name
    from vqa_rnn.config.glimpses import GlimpsesConfig

    config = override_config(GlimpsesConfig(), overrides or [])
    config = with_name(config, "glimpses")
    if print_config:
        typer.echo(config_yaml(config, comments=True))
        return
    from vqa_rnn.commands.glimpses.train import train

    run = train(config, resume=resume, overwrite=overwrite)
    uses = {"Evaluate it": f"vqa-rnn glimpses evaluate {run.path}", "See where it looks": f"vqa-rnn glimpses look {run.path}"}
    print_trained(run.path, uses)


@app.command()
def evaluate(
    run: GlimpsesRun,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[key=value …]", help="New location of MNIST: data.folder=…")
    ] = None,
    split: DigitSplit = None,
    json_: Json = False,
) -> None:
    """Measure how many scenes are read right, with 95% intervals and floors. Scenes of training digits are new ones, too.

    Example: vqa-rnn glimpses evaluate runs/glimpses
    """
    check_split(split)
    from vqa_rnn.commands.glimpses.evaluate import evaluate
    from vqa_rnn.commands.sequences.tables import print_evaluation
    from vqa_rnn.sequences.glimpses_run import GLIMPSES
    from vqa_rnn.sequences.run import load_run

    report = evaluate(load_run(run, GLIMPSES), split, overrides or ())  # type: ignore[arg-type]
    (print_json if json_ else print_evaluation)(report)


@app.command()
def look(
    run: GlimpsesRun,
    num: Annotated[int, typer.Option(min=1, max=60, help="Number of validation scenes.")] = 6,
    picture: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the picture.")] = Path("glimpses.png"),
    json_: Json = False,
) -> None:
    """Draw scenes with the path of the glimpses, and what was read.

    Example: vqa-rnn glimpses look runs/glimpses --num 6 --picture glimpses.png
    """
    if picture.suffix != ".png":
        raise UserError(f"--picture {picture}: give the name of a .png file")
    from vqa_rnn.commands.glimpses.look import draw, look
    from vqa_rnn.sequences.glimpses_run import GLIMPSES
    from vqa_rnn.sequences.run import load_run

    opened = load_run(run, GLIMPSES)
    seen = look(opened, num)
    draw(seen, opened.config.model.glimpse_size, picture)
    if json_:
        print_json({"picture": str(picture), "scenes": [scene.to_dict() for scene in seen]})
        return
    for number, scene in enumerate(seen, start=1):
        verdict = "right" if scene.read == scene.correct else f"not {scene.correct}"
        typer.echo(f"scene {number}: read {scene.read or 'nothing'}, {verdict}")
    typer.echo(f"picture: {picture}")
