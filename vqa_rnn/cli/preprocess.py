"""``vqa-rnn preprocess``: features of images."""

from dataclasses import asdict
from typing import Annotated

import typer

from vqa_rnn.cli.options import ConfigArgument, ConfigOverrides, Json, PrintConfig, load_or_print, print_json


def preprocess(
    config: ConfigArgument,
    overrides: ConfigOverrides = None,
    print_config: PrintConfig = False,
    check_images: Annotated[
        bool,
        typer.Option(
            "--check-images", help="Check every image for changes; by default only files newer than the store are checked."
        ),
    ] = False,
    json_: Json = False,
) -> None:
    """Extract image features into a store. Run it again to continue an interrupted job.

    Example: vqa-rnn preprocess jsonl dataset.path=my/questions.jsonl
    """
    loaded = load_or_print(config, overrides, print_config)
    from vqa_rnn.commands.preprocess import preprocess
    from vqa_rnn.commands.tables import print_extraction

    report = preprocess(loaded, check_images=check_images)
    if json_:
        print_json({**asdict(report), "store": str(report.store)})
    else:
        print_extraction(report)
