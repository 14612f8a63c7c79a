"""``vqa-rnn lm``: train language models, sample from them, and look at their units."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.cli.options import Json, Overrides, Overwrite, PrintConfig, Resume, print_json, print_trained
from vqa_rnn.errors import UserError, printable

app = typer.Typer(
    name="lm",
    help="Language models over characters or words: train, sample, and see what single units react to.",
    no_args_is_help=True,
)

LmRun = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of vqa-rnn lm train, such as runs/hello.")]


@app.command()
def train(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A text file, UTF-8.")],
    overrides: Overrides = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    print_config: PrintConfig = False,
) -> None:
    """Train a language model on a text file. The run folder is runs/NAME, after the file.

    Examples: vqa-rnn lm train book.txt;  vqa-rnn lm train book.txt --resume;  vqa-rnn lm train book.txt --print-config
    """
    from vqa_rnn.config.files import config_yaml, override_config, with_name
    from vqa_rnn.config.language import LanguageConfig

    config = override_config(LanguageConfig(), [f"text.path={file}", *(overrides or [])])
    config = with_name(config, file.stem)
    if print_config:
        typer.echo(config_yaml(config, comments=True))
        return
    from vqa_rnn.commands.lm.train import TASK
    from vqa_rnn.commands.sequences.training import train_sequences

    run = train_sequences(TASK, config, resume=resume, overwrite=overwrite)
    uses = {"Let it write": f"vqa-rnn lm sample {run.path}", "See its units": f"vqa-rnn lm neurons {run.path} {file}"}
    print_trained(run.path, uses)


@app.command()
def sample(
    run: LmRun,
    prefix: Annotated[str, typer.Option(help="Text to continue.")] = "",
    length: Annotated[int, typer.Option(min=1, help="Number of characters or words to write.")] = 500,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="Below 1 the text is more likely and more repetitive; 0 takes the most likely entry.")
    ] = 1.0,
    top_k: Annotated[int | None, typer.Option(min=1, help="Draw only from this many most likely entries.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of the random numbers.")] = 0,
    json_: Json = False,
) -> None:
    """Write text with a trained language model.

    Examples: vqa-rnn lm sample runs/hello --prefix h --temperature 0 --length 4;  vqa-rnn lm sample runs/book --top-k 20
    """
    from vqa_rnn.commands.lm.sample import continue_text
    from vqa_rnn.sequences.language_run import LANGUAGE, build_language_model
    from vqa_rnn.sequences.run import load_model, load_run

    opened = load_run(run, LANGUAGE)
    model = load_model(opened, build_language_model(opened.config, opened.entries))
    text = continue_text(opened, model, prefix, length, temperature=temperature, top_k=top_k, seed=seed)
    if json_:
        print_json({"prefix": prefix, "text": text})
    else:
        typer.echo(printable(text))


@app.command()
def neurons(
    run: LmRun,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The text to read, UTF-8.")],
    unit: Annotated[
        list[int] | None, typer.Option(help="A unit to show; can be given several times. By default those that last longest.")
    ] = None,
    length: Annotated[int, typer.Option(min=2, help="Read only this many characters of the file.")] = 1500,
    page: Annotated[Path, typer.Option(help="Where to write the page.")] = Path("neurons.html"),
    json_: Json = False,
) -> None:
    """Colour a text by the state of single units: an HTML page, and the first unit in the terminal.

    Example: vqa-rnn lm neurons runs/book book.txt --unit 12
    """
    if page.suffix not in (".html", ".htm"):
        raise UserError(f"--page {page}: give the name of an .html file")
    from rich.console import Console

    from vqa_rnn.commands.lm.neurons import watch, write_page
    from vqa_rnn.sequences.language_run import LANGUAGE
    from vqa_rnn.sequences.neurons import neuron_text
    from vqa_rnn.sequences.run import load_run
    from vqa_rnn.sequences.text_vocabulary import read_text

    found = watch(load_run(run, LANGUAGE), read_text(file)[:length], unit or ())
    write_page(found, f"{run.name}: {file.name}", page)
    if json_:
        print_json({"page": str(page), **found.to_dict()})
        return
    first = found.units[0]
    console = Console()
    if console.is_terminal:
        console.print(f"unit {first}, from -1 (blue) to 1 (orange):", highlight=False)
        console.print(neuron_text([printable(text) for text in found.texts], found.states[:, first]))
    typer.echo(f"page: {page}")
