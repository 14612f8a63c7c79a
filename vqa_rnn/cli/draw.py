"""``vqa-rnn draw``: train a model that draws digits step by step, evaluate it, and let it draw."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.cli.options import Json, Overrides, Overwrite, PrintConfig, Resume, print_json
from vqa_rnn.errors import UserError

app = typer.Typer(
    name="draw",
    help="DRAW, a recurrent variational autoencoder that draws digits step by step: train, evaluate, sample.",
    no_args_is_help=True,
)

DrawRun = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of vqa-rnn draw train, such as runs/draw.")]


@app.command()
def train(
    overrides: Overrides = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    print_config: PrintConfig = False,
) -> None:
    """Train a model to draw digits. The run folder is runs/draw; run.name=NAME gives it another name.

    Examples: vqa-rnn draw train;  vqa-rnn draw train model.attention.name=none run.name=whole;  vqa-rnn draw train --resume
    """
    from vqa_rnn.config.draw import DrawConfig
    from vqa_rnn.config.files import config_yaml, override_config, with_name

    config = override_config(DrawConfig(), overrides or [])
    config = with_name(config, "draw")
    if print_config:
        typer.echo(config_yaml(config, comments=True))
        return
    from vqa_rnn.commands.draw.train import TASK
    from vqa_rnn.commands.sequences.training import train_sequences

    run = train_sequences(TASK, config, resume=resume, overwrite=overwrite)
    typer.echo(f"next: vqa-rnn draw sample {run.path}")


@app.command()
def evaluate(run: DrawRun, json_: Json = False) -> None:
    """Measure a model on the validation digits: its bound beside floors, and whether its drawings are copies.

    Example: vqa-rnn draw evaluate runs/draw
    """
    from vqa_rnn.commands.draw.evaluate import evaluate, report
    from vqa_rnn.sequences.draw_run import DRAW
    from vqa_rnn.sequences.run import load_run

    result = evaluate(load_run(run, DRAW))
    if json_:
        print_json(result)
    else:
        typer.echo(report(result))


@app.command()
def sample(
    run: DrawRun,
    num: Annotated[int, typer.Option(min=1, max=100, help="Number of digits to draw.")] = 8,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of the random numbers.")] = 0,
    picture: Annotated[Path, typer.Option(metavar="FILE.png", help="Where to write the picture.")] = Path("samples.png"),
    json_: Json = False,
) -> None:
    """Draw new digits step by step: a picture with the canvas after each step, and the nearest training digit.

    Example: vqa-rnn draw sample runs/draw --num 10 --picture digits.png
    """
    if picture.suffix != ".png":
        raise UserError(f"--picture {picture}: give the name of a .png file")
    from vqa_rnn.commands.draw.sample import draw_digits, draw_picture
    from vqa_rnn.sequences.draw_run import DRAW
    from vqa_rnn.sequences.run import load_run

    drawn = draw_digits(load_run(run, DRAW), num, seed=seed)
    draw_picture(drawn, picture)
    if json_:
        print_json({"picture": str(picture), "nearest": drawn.nearest()})
    else:
        typer.echo(f"picture: {picture}")
