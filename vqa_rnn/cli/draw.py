"""``vqa-rnn draw``: train a model that draws digits step by step, evaluate it, and let it draw."""

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
    uses = {"Evaluate it": f"vqa-rnn draw evaluate {run.path}", "Let it draw": f"vqa-rnn draw sample {run.path}"}
    print_trained(run.path, uses)


@app.command()
def evaluate(
    run: DrawRun,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[key=value …]", help="New location of MNIST: data.folder=…")
    ] = None,
    split: DigitSplit = None,
    json_: Json = False,
) -> None:
    """Measure a model: its bound in nats per image beside floors, and whether its drawings are copies.

    Example: vqa-rnn draw evaluate runs/draw
    """
    check_split(split)
    from vqa_rnn.commands.draw.evaluate import evaluate, parts_of
    from vqa_rnn.commands.sequences.tables import print_evaluation
    from vqa_rnn.sequences.draw_run import DRAW
    from vqa_rnn.sequences.run import load_run

    report = evaluate(load_run(run, DRAW), split, overrides or ())  # type: ignore[arg-type]
    if json_:
        print_json(report)
    else:
        print_evaluation(report, parts_of(report))


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
