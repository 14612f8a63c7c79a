"""``vqa-rnn seq2seq``: train models that write one text for another, translate with them, and evaluate them."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.cli.options import Json, Overrides, Overwrite, PrintConfig, Resume, Split, check_split, print_json, print_trained
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
    from vqa_rnn.config.files import config_yaml, override_config, with_name
    from vqa_rnn.config.seq2seq import Seq2SeqConfig
    from vqa_rnn.files import unknown_name

    chosen = [f"data.name={data}"]
    if data not in GENERATED:
        if not Path(data).exists() and Path(data).name == data and not Path(data).suffix:
            raise UserError(f"{unknown_name('data', data, GENERATED)}; or give a file of pairs")
        if not Path(data).exists():
            raise UserError(f"no file at {data}: give a file of pairs, or {', '.join(GENERATED[:-1])} or {GENERATED[-1]}")
        chosen = ["data.name=pairs", f"data.path={data}"]
    config = override_config(override_config(Seq2SeqConfig(), chosen), overrides or [])
    config = with_name(config, Path(data).stem)
    if print_config:
        typer.echo(config_yaml(config, comments=True))
        return
    from vqa_rnn.commands.seq2seq.train import train

    run = train(config, resume=resume, overwrite=overwrite)
    uses = {"Evaluate it": f"vqa-rnn seq2seq evaluate {run.path}", "Translate": f"vqa-rnn seq2seq translate {run.path} TEXT"}
    print_trained(run.path, uses)


@app.command()
def translate(
    run: Seq2SeqRun,
    texts: Annotated[list[str], typer.Argument(metavar="TEXT…", help="The texts to translate.")],
    beam: Annotated[
        int, typer.Option(min=1, max=1000, help="Width of the beam search; 1 takes the most probable entry at each step.")
    ] = 1,
    attention: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw where the model looked while it wrote: .png, .pdf or .svg.")
    ] = None,
    json_: Json = False,
) -> None:
    """Write the target of each text, one per line.

    Example: vqa-rnn seq2seq translate runs/dates "Friday, 3 May 1985" --beam 5 --attention alignment.png
    """
    if attention is not None and attention.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise UserError(f"--attention {attention}: give the name of a .png, .pdf or .svg file")
    if attention is not None and len(texts) > 1:
        raise UserError(f"--attention draws one text: give one TEXT instead of {len(texts)}")
    from vqa_rnn.commands.seq2seq.translate import draw_alignment, translate
    from vqa_rnn.sequences.run import load_model, load_run
    from vqa_rnn.sequences.seq2seq_run import SEQ2SEQ, build_seq2seq, unit_of

    opened = load_run(run, SEQ2SEQ)
    found = translate(opened, load_model(opened, build_seq2seq(opened.config, opened.entries)), texts, beam=beam)
    if attention is not None:
        draw_alignment(found[0], unit_of(opened.config.data), attention)
    if json_:
        print_json({"translations": [{"source": x.source, "target": x.target, "log_p": x.log_p} for x in found]})
        return
    for each in found:
        typer.echo(printable(each.target))


@app.command()
def evaluate(
    run: Seq2SeqRun,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[key=value …]", help="New location of a moved file of pairs: data.path=…")
    ] = None,
    split: Split = None,
    by_length: Annotated[
        bool, typer.Option("--by-length", help="Also show the exact matches by length of the source.")
    ] = False,
    json_: Json = False,
) -> None:
    """Count the targets that are written exactly, with a 95% interval and floors (baselines that learn nothing).

    Examples: vqa-rnn seq2seq evaluate runs/reversal --by-length;  vqa-rnn seq2seq evaluate runs/dates --split val --json
    """
    check_split(split)
    from vqa_rnn.commands.seq2seq.evaluate import evaluate, parts_of
    from vqa_rnn.commands.sequences.tables import print_evaluation
    from vqa_rnn.sequences.run import load_run
    from vqa_rnn.sequences.seq2seq_run import SEQ2SEQ

    report = evaluate(load_run(run, SEQ2SEQ), split, overrides or (), by_length=by_length)  # type: ignore[arg-type]
    if json_:
        print_json(report)
    else:
        print_evaluation(report, parts_of(report))
