"""``vqa-rnn generate``: generated data sets of drawn scenes."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.cli.options import Json, print_json


def generate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="shapes_vqa, shapes_dialog or shapes_captions.")],
    folder: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to write it; by default data/NAME, which the recipe uses.")
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of training images, by default 20,000 (dialog), 10,000 (captions) or 4,000 (vqa); "
            "val and test get a tenth of that each.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same files.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what was generated there before.")] = False,
    json_: Json = False,
) -> None:
    """Draw scenes and write questions, dialogs or captions about them.

    Questions are in CLEVR's file format, dialogs in VisDial's, captions in JSON lines.

    Example: vqa-rnn generate shapes_dialog
    """
    from vqa_rnn.commands.generate import generate, what_next

    report = generate(name, folder, images, seed, overwrite=overwrite)
    if json_:
        print_json({**asdict(report), "folder": str(report.folder)})
    else:
        typer.echo(what_next(report))
