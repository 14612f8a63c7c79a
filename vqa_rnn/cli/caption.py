"""``vqa-rnn caption``: captions for images."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.cli.options import Json, print_json
from vqa_rnn.errors import UserError, printable


def caption(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run that was trained on captions, such as runs/flickr8k.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE…", help="The image files.")],
    weights: Annotated[
        str | None, typer.Option(metavar="PATH", help="New location of the backbone's weights, if they moved since training.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the captions and where the model looked to a PNG file.")
    ] = None,
    json_: Json = False,
) -> None:
    """Describe images with a model that was trained on captions.

    Example: vqa-rnn caption runs/flickr8k photo.jpg --picture caption.png
    """
    if picture is not None and picture.suffix.lower() != ".png":
        raise UserError(f"--picture {picture}: give the name of a .png file")
    from vqa_rnn.commands.ask import describe

    answers = describe(run, images, weights, picture)
    if json_:
        found = [
            {"image": str(image), "caption": answer.best, "probability": answer.probability}
            for image, answer in zip(images, answers, strict=True)
        ]
        print_json({"captions": found})
        return
    for image, answer in zip(images, answers, strict=True):
        typer.echo(printable(answer.best if len(images) == 1 else f"{image}: {answer.best}"))
    if picture is not None:
        typer.echo(f"picture: {picture}")
