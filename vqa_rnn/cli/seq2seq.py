"""``vqa-rnn seq2seq``: train models that write one text for another, translate with them, and evaluate them."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.cli.options import Json, Overrides, Overwrite, PrintConfig, Resume, check_split, print_json
from vqa_rnn.errors import UserError, printable

app = typer.Typer(
    name="seq2seq",
    help="Sequence to sequence, with and without attention: train, translate, evaluate.",
    no_args_is_help=True,
)

GENERATED = ("reversal", "sorting", "dates")

Seq2SeqRun = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of vqa-rnn seq2seq train, such as runs/dates.")]


@app.command()
def train(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="reversal, sorting or dates; or a UTF-8 file with one pair per line: a source, a tab and a target.",
        ),
    ],
    overrides: Overrides = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    print_config: PrintConfig = False,
) -> None:
    """Train a model on pairs of texts. The run folder is runs/NAME, after the data.

    Examples: vqa-rnn seq2seq train dates;  vqa-rnn seq2seq train reversal model.attention.name=none run.name=without;
    vqa-rnn seq2seq train pairs.tsv data.unit=words training.select_by=loss
    """
    from vqa_rnn.config.files import config_yaml, override_config
    from vqa_rnn.config.seq2seq import Seq2SeqConfig
    from vqa_rnn.files import unknown_name

    chosen = [f"data.name={data}"]
    if data not in GENERATED:
        if not Path(data).exists():
            raise UserError(f"{unknown_name('data', data, GENERATED)}; or give a file of pairs")
        chosen = ["data.name=pairs", f"data.path={data}"]
    config = override_config(override_config(Seq2SeqConfig(), chosen), overrides or [])
    if config.run.name is None:
        config = config.model_copy(update={"run": config.run.model_copy(update={"name": Path(data).stem})})
    if print_config:
        typer.echo(config_yaml(config, comments=True))
        return
    from vqa_rnn.commands.seq2seq.train import train

    run = train(config, resume=resume, overwrite=overwrite)
    typer.echo(f"next: vqa-rnn seq2seq evaluate {run.path} --by-length")
