"""``vqa-rnn split``: a new train and test split of a data set."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.cli.options import ConfigArgument, ConfigOverrides, Json, load_or_print, print_json
from vqa_rnn.errors import UserError


def split(
    config: ConfigArgument,
    overrides: ConfigOverrides = None,
    changing_priors: Annotated[
        bool,
        typer.Option("--changing-priors", help="Each type of question has different answers in test than in train (VQA-CP)."),
    ] = False,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The .jsonl file to write.")] = Path(
        "changing_priors.jsonl"
    ),
    test_share: Annotated[float, typer.Option(help="Share of the questions in the test split.")] = 1 / 3,
    prefix_words: Annotated[int, typer.Option(min=1, help="Number of first words that define the type of a question.")] = 3,
    json_: Json = False,
) -> None:
    """Make a new train and test split in which each type of question has different answers in test, as in VQA-CP.

    Example: vqa-rnn split daquar --changing-priors --output daquar_cp.jsonl
    """
    if not changing_priors:
        raise UserError("split needs --changing-priors, the only method so far")
    loaded = load_or_print(config, overrides, False)
    from vqa_rnn.commands.split import split

    report = split(loaded, output, test_share, prefix_words)
    if json_:
        print_json(report)
    else:
        priors = report["prior_accuracy"]
        typer.echo(
            f"{output}: {report['train']:,} train and {report['test']:,} test questions of {report['kinds']:,} types. The most "
            f"frequent train answer of each type is right for {100 * priors['train']:.1f}% of train and "
            f"{100 * priors['test']:.1f}% of test; {100 * report['known_answers']:.1f}% of the test answers occur in train. "
            f"Next: vqa-rnn preprocess jsonl dataset.path={output}, then train"
        )
