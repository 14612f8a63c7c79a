"""``vqa-rnn features``: feature stores."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.cli.options import Json, print_json
from vqa_rnn.errors import UserError

app = typer.Typer(
    name="features",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Feature stores: show, verify, convert and merge them, and import published features.",
)

Store = Annotated[
    Path, typer.Argument(metavar="STORE", help="A feature store: .h5, .lmdb, or a .json that lists several parts.")
]
Output = Annotated[Path, typer.Argument(metavar="OUTPUT", help="The new store; .h5 or .lmdb.")]


@app.command()
def info(store: Store, json_: Json = False) -> None:
    """Show what a store contains and how it was made.

    Example: vqa-rnn features info features/demo.h5
    """
    _show(store, json_)


@app.command()
def verify(store: Store, json_: Json = False) -> None:
    """Check the features of every image against their stored hash. Exit code 2 if any are damaged.

    Example: vqa-rnn features verify features/demo.h5
    """
    from vqa_rnn.commands.features import verify_store

    report = verify_store(store)
    if json_:
        print_json(report)
    elif not report["damaged"]:
        unfinished = f"; unfinished, {report['unfinished']:,} images are still to be extracted" if report["unfinished"] else ""
        typer.echo(f"{store}: no damage in {report['images']:,} images{unfinished}")
    if report["damaged"]:
        few = ", ".join(report["damaged"][:5]) + (", …" if len(report["damaged"]) > 5 else "")
        raise UserError(
            f"{', '.join(report['damaged_files'])}: damaged, {len(report['damaged'])} of {report['images']:,} images are not "
            f"as they were written ({few}); {report['remedy']}"
        )


@app.command()
def convert(store: Store, output: Output, json_: Json = False) -> None:
    """Convert a store to another format. Run it again to continue an interrupted conversion.

    Example: vqa-rnn features convert features/demo.h5 features/demo.lmdb
    """
    from vqa_rnn.commands.features import convert_store

    _show(convert_store(store, output), json_)


@app.command()
def merge(
    stores: Annotated[
        list[Path], typer.Argument(metavar="STORE …", help="Stores made with the same settings, with different images.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUTPUT",
            help="The new store; .h5 and .lmdb copy the features, .json only refers to the stores.",
        ),
    ],
    json_: Json = False,
) -> None:
    """Merge several stores into one.

    Example: vqa-rnn features merge train.h5 val.h5 --output all.h5
    """
    from vqa_rnn.commands.features import merge_stores

    _show(merge_stores(stores, output), json_)


@app.command("import")
def import_(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="bottom-up-tsv, bottom-up-hdf5, visdial-hdf5, openvqa-npz, mmf-npy, mmf-lmdb, grid-feats-pth, or arrays.",
        ),
    ],
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE …", help="Files or folders of that format; they are joined into one store.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUTPUT", help="The new store; .h5 or .lmdb.")],
    ids: Annotated[
        str, typer.Option(help="Image ids. as-is: as in the files; coco: the number at the end of each name.")
    ] = "as-is",
    dtype: Annotated[str, typer.Option(help="float16 or float32.")] = "float16",
    features_key: Annotated[str | None, typer.Option(help="For arrays: key of the features.", show_default="features")] = None,
    ids_key: Annotated[str | None, typer.Option(help="For arrays: key of the image ids.", show_default="image_id")] = None,
    boxes_key: Annotated[str | None, typer.Option(help="For arrays: key of the boxes, as fractions of the image.")] = None,
    ids_file: Annotated[Path | None, typer.Option(help="For arrays: file of image ids, one per line or a JSON list.")] = None,
    json_: Json = False,
) -> None:
    """Convert published features to a store. To train on it: features.library=imported features.store=OUTPUT.

    Example: vqa-rnn features import bottom-up-tsv trainval_36.tsv --output features/bottom_up.h5
    """
    from vqa_rnn.commands.features import import_store

    arrays = {"features_key": features_key, "ids_key": ids_key, "boxes_key": boxes_key, "ids_file": ids_file}
    _show(import_store(kind, files, output, ids, dtype, arrays), json_)


def _show(store: Path, json_: bool) -> None:
    from vqa_rnn.commands.features import describe_store, print_store

    found = describe_store(store)
    if json_:
        print_json(found)
    else:
        print_store(found)
