"""``vqa-rnn export``: a folder to share."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.cli.runs import RunArgument


def export(
    run: RunArgument,
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to create.")],
    push: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Upload the folder to the Hugging Face hub under this name.")
    ] = None,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Also write model.onnx, which runs without torch; see README.md in the folder.")
    ] = False,
) -> None:
    """Export a trained model for sharing: weights, config, vocabulary, and a model card with results.

    Example: vqa-rnn export runs/demo demo-model --onnx; then vqa-rnn ask demo-model
    """
    from vqa_rnn.commands.export import export

    folder = export(run, output, push, onnx=onnx)
    typer.echo(
        f"{folder}: ask it with vqa-rnn ask {folder}; its README.md is the model card"
        + (f"; on the hub as {push}" if push else "")
    )
