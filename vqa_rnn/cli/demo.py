"""``vqa-rnn demo``: the whole pipeline on a small data set."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[Path, typer.Option(help="Where to write the run, the features and the picture.")] = Path(),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo run.")] = False,
) -> None:
    """Preprocess, train, evaluate and ask, on a small data set that is installed with the package."""
    from vqa_rnn.commands.demo import demo

    demo(folder, overwrite=overwrite)
