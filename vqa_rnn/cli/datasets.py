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
    help="Official files: where they come from, fetch them, and see what is missing.",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `vqa-rnn datasets list` names it, such as vqa2.")]
Folder = Annotated[
    Path | None, typer.Option("--folder", metavar="FOLDER", help="Where the files lie; by default where the recipe looks.")
]


@app.command("list")
def list_(json_: Json = False) -> None:
    """The data sets with their sizes, folders and terms, and with --json every address and hash.

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
    images: Annotated[bool, typer.Option("--images", help="Also the images: 20 to 35 GB with COCO, 19 GB for CLEVR.")] = False,
    keep_archives: Annotated[bool, typer.Option("--keep-archives", help="Leave the archives beside what they held.")] = False,
    json_: Json = False,
) -> None:
    """Fetch, verify and unpack the official files. Stopped in the middle? Run it again: it goes on.

    Example: vqa-rnn datasets download vqa2 --images
    """
    from vqa_rnn.commands.datasets import describe_download, print_download
    from vqa_rnn.datasets import download

    try:
        outcomes = download(name, folder, images=images, keep_archives=keep_archives)
    except KeyboardInterrupt:
        typer.echo("what has come is kept: run the same command again to go on", err=True)
        raise
    if json_:
        print_json(describe_download(name, folder, outcomes))
    else:
        print_download(name, folder, outcomes, images=images)


@app.command()
def check(name: Name, folder: Folder = None, json_: Json = False) -> None:
    """What is there, missing or damaged, and where missing files come from. Exit code 2 unless all is there.

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
