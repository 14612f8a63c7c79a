"""``vqa-rnn datasets``: official files."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.cli.options import Json, print_json
from vqa_rnn.errors import UserError

app = typer.Typer(
    name="datasets",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Official data set files: list, download and check them.",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name from `vqa-rnn datasets list`, such as vqa2.")]
Folder = Annotated[
    Path | None,
    typer.Option("--folder", metavar="FOLDER", help="Folder of the files; by default the one that the recipe uses."),
]


@app.command("list")
def list_(json_: Json = False) -> None:
    """List the data sets with their sizes, folders and terms; --json adds every URL and hash.

    Example: vqa-rnn datasets list
    """
    from vqa_rnn.commands.datasets import describe_datasets, print_datasets

    if json_:
        print_json(describe_datasets())
    else:
        print_datasets()


@app.command()
def download(
    name: Name,
    folder: Folder = None,
    images: Annotated[
        bool, typer.Option("--images", help="Also download the images: 20 to 35 GB for data sets on COCO, 19 GB for CLEVR.")
    ] = False,
    keep_archives: Annotated[bool, typer.Option("--keep-archives", help="Keep the archives after unpacking.")] = False,
    json_: Json = False,
) -> None:
    """Download, verify and unpack the official files. Run it again to continue an interrupted download.

    Example: vqa-rnn datasets download vqa2 --images
    """
    from vqa_rnn.commands.datasets import describe_download, print_download
    from vqa_rnn.datasets import download

    try:
        outcomes = download(name, folder, images=images, keep_archives=keep_archives)
    except KeyboardInterrupt:
        typer.echo("the downloaded part is kept: run the same command again to continue", err=True)
        raise
    if json_:
        print_json(describe_download(name, folder, outcomes))
    else:
        print_download(name, folder, outcomes, images=images)


@app.command()
def check(name: Name, folder: Folder = None, json_: Json = False) -> None:
    """Report which files are present, missing or damaged, and where to get them. Exit code 2 unless all are present.

    Example: vqa-rnn datasets check visdial --folder /data/visdial
    """
    from vqa_rnn.commands.datasets import describe_check, print_check, what_is_wrong
    from vqa_rnn.datasets import check

    report = check(name, folder)
    if json_:
        print_json(describe_check(report))
    else:
        print_check(report)
    if not report.complete:
        raise UserError(what_is_wrong(report))
