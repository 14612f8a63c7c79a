"""``vqa-rnn gradients``: how far back the gradient of a loss reaches."""

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

from vqa_rnn.cli.options import Json, print_json
from vqa_rnn.errors import UserError


def gradients(
    cells: Annotated[
        list[str] | None, typer.Argument(metavar="[CELL …]", help="Recurrent cells, such as elman lstm; by default all.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="A trained run; measures its question encoder on its validation questions."),
    ] = None,
    singular_value: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="All singular values of the Elman cell's recurrent matrix; by default 0.9, 1 and 1.1 are compared."
        ),
    ] = None,
    clip: Annotated[
        float | None, typer.Option(min=1e-12, help="Also show the gradient after clipping the weight gradient to this norm.")
    ] = None,
    forget_bias: Annotated[float | None, typer.Option(help="Bias of the LSTM's forget gate; by default 1.")] = None,
    start: Annotated[
        Literal["orthogonal", "uniform"] | None,
        typer.Option(help="Initialisation of the recurrent matrices; by default orthogonal."),
    ] = None,
    length: Annotated[int | None, typer.Option(min=2, help="Length of the sequence; by default 121.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help="Seed of weights and inputs; by default 0.")] = None,
    moved: Annotated[
        list[str] | None,
        typer.Option("--moved", metavar="key=value", help="With --run, new locations of moved files: dataset.root=…"),
    ] = None,
    picture: Annotated[Path, typer.Option(help="Where to write the picture.")] = Path("gradients.png"),
    json_: Json = False,
) -> None:
    """Measure and plot the norm of the loss gradient at each step back from the end of a sequence.

    Examples: vqa-rnn gradients;  vqa-rnn gradients elman lstm --singular-value 0.9 --json;  vqa-rnn gradients --run runs/demo
    """
    from vqa_rnn.commands.gradients import check_picture, draw, flow_of_cells, flow_of_run

    for name, value in (("--singular-value", singular_value), ("--clip", clip), ("--forget-bias", forget_bias)):
        if value is not None and not math.isfinite(value):
            raise UserError(f"{name} is {value}: give a finite number")
    if run is not None and (cells or {singular_value, clip, forget_bias, start, length, seed} != {None}):
        raise UserError(
            "--run measures the run's own cell as it was trained, on its own questions: leave out cells, --singular-value, "
            "--clip, --forget-bias, --start, --length and --seed"
        )
    if run is None and moved:
        raise UserError("--moved says where the data of a run are: give --run")
    if singular_value is not None and cells and "elman" not in cells:
        raise UserError("--singular-value is for the Elman cell: add elman to the cells")
    if forget_bias is not None and cells and "lstm" not in cells:
        raise UserError("--forget-bias is for the LSTM's forget gate: add lstm to the cells")
    if singular_value is not None and start == "uniform":
        raise UserError("--singular-value needs orthogonal matrices: leave out --start uniform")
    check_picture(picture)
    if run is not None:
        found = flow_of_run(run, moved or [])
        title, unit = f"Gradient of the loss at the words of a question, {run}", "words"
    else:
        start, bias = start or "orthogonal", 1.0 if forget_bias is None else forget_bias
        found = flow_of_cells(cells or [], length or 121, singular_value, clip, bias, seed or 0, start)
        title, unit = f"Gradient of a loss on the last output, small inputs, {start} matrices", "steps"
    draw(found, picture, title, unit)
    if json_:
        print_json({"cells": found})
        return
    from vqa_rnn.commands.tables import print_gradients

    print_gradients(found, unit)
    typer.echo(f"picture: {picture}")
