"""The ``vqa-rnn`` command. Heavy modules are imported by the sub-command that needs them, so that ``--help`` is quick."""

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from vqa_rnn import __version__
from vqa_rnn.cli import (
    caption,
    compare,
    datasets,
    draw,
    features,
    generate,
    glimpses,
    gradients,
    lm,
    score,
    seq2seq,
    serve,
    video,
)
from vqa_rnn.cli.options import Json, check_split, print_json
from vqa_rnn.errors import Interrupted, ReportedElsewhere, UserError, printable

app = typer.Typer(
    name="vqa-rnn",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Visual question answering with recurrent networks: train models, evaluate them, and ask them about images.",
    epilog="Start with [bold]vqa-rnn demo[/bold]. To see every config option: vqa-rnn train easy_vqa --print-config",
)

ConfigArgument = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A YAML file, or a built-in recipe such as easy_vqa, daquar or jsonl.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value …]", help="Options that override the config, such as training.max_epochs=5"),
]
MovedOverrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[key=value …]", help="New locations of moved files: dataset.root=… (jsonl: dataset.path=…), features.store=…"
    ),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, such as runs/demo.")]
RunArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RUN …] [key=value …]",
        help="More runs; new locations of moved files: dataset.root=… (jsonl: dataset.path=…), features.store=…",
    ),
]
Ensemble = Annotated[bool, typer.Option("--ensemble", help="Combine several runs: average their probabilities.")]
Questions = Annotated[
    str | None,
    typer.Option("--config", metavar="CONFIG", help="For a model hf:OWNER/NAME: the recipe or config with the data set."),
]
PrintConfig = Annotated[bool, typer.Option("--print-config", help="Print every option with its meaning, and exit.")]


app.add_typer(score.app)
app.add_typer(datasets.app)
app.add_typer(features.app)
app.add_typer(lm.app)
app.add_typer(glimpses.app)
app.add_typer(draw.app)
app.add_typer(seq2seq.app)
app.add_typer(video.app)
app.command()(compare.compare)
app.command()(generate.generate)
app.command()(gradients.gradients)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vqa-rnn {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Options of all commands."""


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where to write the run, the features and the picture.")] = Path(),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo run.")] = False,
) -> None:
    """Preprocess, train, evaluate and ask, on a small data set that is installed with the package."""
    from vqa_rnn.commands.demo import demo

    demo(folder, overwrite=overwrite)


@app.command()
def preprocess(
    config: ConfigArgument,
    overrides: Overrides = None,
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
    loaded = _load(config, overrides, print_config)
    from vqa_rnn.commands.preprocess import preprocess
    from vqa_rnn.commands.tables import print_extraction

    report = preprocess(loaded, check_images=check_images)
    if json_:
        print_json({**asdict(report), "store": str(report.store)})
    else:
        print_extraction(report)


@app.command()
def train(
    config: ConfigArgument,
    overrides: Overrides = None,
    print_config: PrintConfig = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint of this run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing run of this name.")] = False,
) -> None:
    """Train a model and save it in runs/NAME. The best epoch is selected by validation score.

    Example: vqa-rnn train easy_vqa model.fusion.name=concat run.name=concat
    """
    loaded = _load(config, overrides, print_config)
    if resume and overwrite:
        raise UserError("--resume and --overwrite contradict each other: give one")
    from vqa_rnn.commands.train import train
    from vqa_rnn.engines import is_first

    run = train(loaded, resume=resume, overwrite=overwrite)
    if is_first():
        use = "Describe an image: vqa-rnn caption" if run.config.dataset.has_captions else "Ask it: vqa-rnn ask"
        hint = f"Evaluate it: vqa-rnn evaluate {run.path}    {use} {run.path}"
        typer.echo(f"{run.path} is trained. {hint}", err=True)


@app.command()
def tune(
    config: ConfigArgument,
    overrides: Overrides = None,
    seconds: Annotated[float, typer.Option(help="How long to try each setting.")] = 3.0,
    json_: Json = False,
) -> None:
    """Find the fastest precision, threads, loader processes and extraction batch size on this machine.

    Prints commands with the recommended options.

    Example: vqa-rnn tune daquar dataset.root=data/daquar
    """
    loaded = _load(config, overrides, False)
    from vqa_rnn.commands.tables import print_tuning
    from vqa_rnn.commands.tune import tune

    trials = tune(loaded, seconds)
    if json_:
        print_json({"trials": [asdict(trial) for trial in trials]})
    else:
        print_tuning(trials, " ".join([config, *(overrides or [])]))


@app.command()
def split(
    config: ConfigArgument,
    overrides: Overrides = None,
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
    loaded = _load(config, overrides, False)
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


@app.command()
def sweep(
    config: ConfigArgument,
    overrides: Overrides = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=…", help="What to try: a range, key=0.001..0.01, or values, key=a|b|c. Repeat it for each option."
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Total number of trials, including those already done.")] = 20,
    folder: Annotated[Path | None, typer.Option(help="Where to save the trials; by default sweeps/CONFIG.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    json_: Json = False,
) -> None:
    """Search for the best options by validation accuracy, with Optuna. Run it again to continue an interrupted sweep.

    Example: vqa-rnn sweep slake --over training.learning_rate=0.0005..0.005 --over 'model.fusion.name=product|mfb'
    """
    from vqa_rnn.commands.sweep import print_sweep, sweep

    report = sweep(config, overrides or (), over or (), trials, folder, seed)
    if json_:
        print_json(report)
    else:
        print_sweep(report, config, overrides or ())


@app.command()
def evaluate(
    run: RunArgument,
    more: RunArguments = None,
    ensemble: Ensemble = False,
    split: Annotated[str | None, typer.Option(help="train, val or test; by default test if it has answers, else val.")] = None,
    question_only: Annotated[
        Path | None, typer.Option(help="A run trained with model.ablate=question_only; adds the image gain.")
    ] = None,
    ceiling: Annotated[
        str | None,
        typer.Option(metavar="hf:NAME", help="A ViLT or BLIP model of Hugging Face to evaluate on the same questions."),
    ] = None,
    config: Questions = None,
    json_: Json = False,
) -> None:
    """Evaluate a run: accuracy with a 95% interval, accuracy by question type, and floors (baselines without the image).

    RUN may be hf:OWNER/NAME, a ViLT or BLIP model of Hugging Face; it needs --config for the data set.

    Example: vqa-rnn evaluate runs/daquar --question-only runs/daquar-blind
    """
    check_split(split)
    runs, overrides = _runs_and_overrides(run, more or ())
    is_model = _is_model(runs, config, ensemble=ensemble)
    _check_ensemble(runs, ensemble=ensemble)
    if ensemble and (question_only or ceiling):
        raise UserError(f"--{'question-only' if question_only else 'ceiling'} is for a single run: leave out --ensemble")
    if is_model:
        from vqa_rnn.commands.huggingface import evaluate_model
        from vqa_rnn.commands.tables import print_evaluation
        from vqa_rnn.config.files import load_config

        if question_only or ceiling:
            raise UserError(f"{run} is not a run: leave out --{'question-only' if question_only else 'ceiling'}")
        report = evaluate_model(str(run), load_config(str(config), overrides), split)  # type: ignore[arg-type]
        (print_json if json_ else print_evaluation)(report)
        return
    from vqa_rnn.commands.evaluate import evaluate, evaluate_ensemble
    from vqa_rnn.commands.tables import print_evaluation
    from vqa_rnn.engines import is_first

    which: Any = split  # checked above
    report = evaluate_ensemble(runs, which, overrides) if ensemble else evaluate(run, which, question_only, overrides, ceiling)
    if json_ and is_first():
        print_json(report)
    elif is_first():
        print_evaluation(report)


@app.command()
def predict(
    run: RunArgument,
    more: RunArguments = None,
    ensemble: Ensemble = False,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file to write; by default evaluation/SPLIT_submission.json in the run folder."),
    ] = None,
    config: Questions = None,
    json_: Json = False,
) -> None:
    """Answer a split and write the official submission file, for `vqa-rnn score` and evaluation servers.

    Example: vqa-rnn predict runs/vqa --split test --output vqa_OpenEnded_mscoco_test2015_results.json
    """
    check_split(split)
    runs, overrides = _runs_and_overrides(run, more or ())
    is_model = _is_model(runs, config, ensemble=ensemble)
    _check_ensemble(runs, ensemble=ensemble)
    if ensemble and output is None:
        raise UserError("an ensemble has no run folder to write to: give --output FILE")
    from vqa_rnn.commands.predict import predict
    from vqa_rnn.engines import is_first

    which: Any = split  # checked above
    if is_model:
        from vqa_rnn.commands.huggingface import predict_model
        from vqa_rnn.config.files import load_config

        if output is None:
            raise UserError(f"{run} has no run folder: give --output FILE")
        report = predict_model(str(run), load_config(str(config), overrides), which, output)
    else:
        report = predict(runs, which, output or run / "evaluation" / f"{split}_submission.json", overrides)
    if not is_first():
        return
    if json_:
        print_json({**asdict(report), "output": str(report.output)})
    else:
        typer.echo(f"{report.output}: answers to the {report.num_questions:,} {report.split} questions of {report.benchmark}")


@app.command()
def calibrate(
    run: RunArgument,
    overrides: MovedOverrides = None,
    split: Annotated[str, typer.Option(help="val or test; must not be part of the training data.")] = "val",
    accuracy: Annotated[float, typer.Option(help="Accuracy to reach above the threshold; below it, ask says not sure.")] = 0.9,
    json_: Json = False,
) -> None:
    """Calibrate probabilities by temperature scaling, and let `ask` say "not sure".

    Example: vqa-rnn calibrate runs/slake --accuracy 0.95
    """
    check_split(split)
    from vqa_rnn.commands.calibrate import calibrate, print_calibration
    from vqa_rnn.engines import is_first

    report = calibrate(run, split, accuracy, overrides or ())  # type: ignore[arg-type]  # checked above
    if json_ and is_first():
        print_json(report)
    elif is_first():
        print_calibration(report)


@app.command()
def consistency(
    run: RunArgument,
    overrides: MovedOverrides = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "val",
    json_: Json = False,
) -> None:
    """Check whether answers are consistent: ask what a run's own answers imply, or repeat questions with changed choices.

    Example: vqa-rnn consistency runs/daquar
    """
    check_split(split)
    from vqa_rnn.commands.consistency import consistency, print_consistency
    from vqa_rnn.engines import is_first

    report = consistency(run, split, overrides or ())  # type: ignore[arg-type]  # checked above
    if json_ and is_first():
        print_json(report)
    elif is_first():
        print_consistency(report)


@app.command()
def report(
    run: RunArgument,
    more: RunArguments = None,
    split: Annotated[str | None, typer.Option(help="val or test; by default test if it has answers, else val.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The HTML file to write.")] = Path(
        "report.html"
    ),
) -> None:
    """Write one HTML page about one or more runs: results with intervals and floors, curves, errors and examples.

    Example: vqa-rnn report runs/full runs/blind --split val --output report.html
    """
    check_split(split)
    runs, overrides = _runs_and_overrides(run, more or ())
    from vqa_rnn.commands.report import report

    which: Any = split  # checked above
    typer.echo(f"{report(runs, output, which, overrides)}: open it in a browser; it works offline")


@app.command()
def export(
    run: RunArgument,
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to create.")],
    push: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Upload the folder to the Hugging Face hub under this name.")
    ] = None,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Also write model.onnx, which runs without torch; see README.md in the folder.")
    ] = False,
) -> None:
    """Export a trained model for sharing: weights, config, vocabulary, and a model card with results.

    Example: vqa-rnn export runs/demo demo-model --onnx; then vqa-rnn ask demo-model
    """
    from vqa_rnn.commands.export import export

    folder = export(run, output, push, onnx=onnx)
    typer.echo(
        f"{folder}: ask it with vqa-rnn ask {folder}; its README.md is the model card"
        + (f"; on the hub as {push}" if push else "")
    )


@app.command()
def ask(
    run: RunArgument,
    # readable=False: a file without read permission is reported by the code that reads it, as in all commands
    image: Annotated[Path | None, typer.Option(help="The image to look at.", readable=False)] = None,
    question: Annotated[
        list[str] | None, typer.Option(help="A question; repeat it for the rounds of a dialog. Without it, a prompt opens.")
    ] = None,
    caption: Annotated[str | None, typer.Option(help="The caption that starts the dialog, for a dialog model.")] = None,
    choice: Annotated[list[str] | None, typer.Option(help="A candidate answer; repeat it for each candidate.")] = None,
    choices_file: Annotated[
        Path | None, typer.Option("--choices", metavar="FILE", help="A text file of candidate answers, one per line.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Number of answers to show.")] = 5,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="New location of the backbone's weights, if they moved since training: a file or a folder."
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the answers and where the model looked to a PNG file.")
    ] = None,
    json_: Json = False,
) -> None:
    """Ask a trained model about an image: one question, the rounds of a dialog, or a prompt.

    RUN may also be hub:OWNER/NAME, an exported model on the Hugging Face hub, or hf:OWNER/NAME, a ViLT or BLIP model there.
    With --json and without --question, questions are read from stdin, one per line; each answer is one line of JSON.
    If stdin is a file or a pipe, the exit code is 2 when a line was refused.

    Example: vqa-rnn ask runs/demo --image photo.png --question "what color is the shape?"
    """
    questions, choices = question or [], tuple(choice or ())
    if choices_file is not None:
        from vqa_rnn.answering.candidates import read_choices

        if choices:
            raise UserError("--choice and --choices both name candidate answers: give one of them")
        choices = read_choices(choices_file)
    if not questions:
        if picture is not None:
            raise UserError("--picture draws the answer to a question: give --question; at the prompt there is /attention FILE")
        from vqa_rnn.commands.ask import converse

        if not converse(run, image, choices, top, weights, caption, as_json=json_):
            raise typer.Exit(2)
        return
    from vqa_rnn.commands.ask import ask, print_answers

    answers = ask(run, image, questions, choices, top, weights, caption, picture)
    if json_:
        found = [answer.to_dict() for answer in answers]
        print_json(found[0] if len(found) == 1 else {"rounds": found})
    else:
        print_answers(questions, answers)


app.command()(serve.serve)
app.command()(caption.caption)


def _runs_and_overrides(run: Path, more: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Split arguments into run folders and overrides.

    An argument with an equals sign is an override, unless it is the path of a folder.
    """
    runs = [run, *(Path(each) for each in more if "=" not in each or Path(each).is_dir())]
    overrides = [each for each in more if "=" in each and not Path(each).is_dir()]
    return runs, overrides


def _is_model(runs: Sequence[Path], config: str | None, *, ensemble: bool) -> bool:
    """Return whether a Hugging Face model is given instead of runs.

    A model is given alone and needs a config. A run has a config of its own and must not get another one.
    """
    model = next((run for run in runs if str(run).startswith("hf:")), None)
    if model is not None and (ensemble or len(runs) > 1):
        raise UserError(f"{model} is a Hugging Face model, which cannot be part of an ensemble: give it alone")
    if model is not None and config is None:
        raise UserError(f"{model} has no data set of its own: say with --config CONFIG which questions it answers")
    if config is not None and model is None:
        raise UserError(f"{runs[0]} has a config of its own: --config is for models hf:OWNER/NAME")
    return model is not None


def _check_ensemble(runs: Sequence[Path], *, ensemble: bool) -> None:
    """Check that ``--ensemble`` comes with at least two runs, and that several runs come with ``--ensemble``."""
    if ensemble and len(runs) < 2:
        raise UserError("--ensemble needs at least two runs")
    if len(runs) > 1 and not ensemble:
        raise UserError(f"{runs[1]} is a second run: give --ensemble to let them answer together, or vqa-rnn compare them")


def _load(config: str, overrides: list[str] | None, print_config: bool) -> Any:
    from vqa_rnn.config.files import config_yaml, load_config

    loaded = load_config(config, overrides or [])
    if print_config:
        typer.echo(config_yaml(loaded, comments=True), nl=False)
        raise typer.Exit
    return loaded


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The arguments after ``vqa-rnn``; defaults to those of the process.

    Returns:
        The exit code: 0 for success, 1 for a bug, 2 for an error that the user can fix, 130 after Ctrl-C, 143 after SIGTERM.
    """
    # torch's C++ code would warn in every process about an option that is needed when a part of a batch is empty
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[_CurrentStderr()], force=True)
    for library in ("ignite", "matplotlib"):
        logging.getLogger(library).setLevel(logging.CRITICAL)  # their errors are reported by this package
    warnings.filterwarnings("ignore", "Image size .* could be decompression bomb")  # read_image refuses too large images
    debug = "--debug" in arguments or "VQA_RNN_DEBUG" in os.environ
    try:
        command = typer.main.get_command(app)
        code = command.main(arguments, prog_name="vqa-rnn", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except ReportedElsewhere:
        return 2
    except UserError as error:
        return print_error(error, debug=debug)
    except Interrupted as error:
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted()
    except PermissionError as error:
        return print_error(UserError(f"{error.filename}: {error.strerror}"), debug=debug)
    except Exception as error:
        usage = getattr(error, "format_message", None)  # Typer's usage errors
        if usage is not None and not usage():  # a command group without a command: its help was already printed
            return 0
        if usage is not None:
            context = getattr(error, "ctx", None)
            where = context.command_path if context is not None else "vqa-rnn"
            return print_error(UserError(f"{usage().replace('Value error, ', '')} (see {where} --help)"), debug=debug)
        if type(error).__name__ == "Abort":
            return _interrupted()
        traceback.print_exc()
        return 1


class _CurrentStderr(logging.StreamHandler):  # type: ignore[type-arg]
    """A log handler that writes to the current ``sys.stderr``, which a progress bar replaces to print lines above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def print_error(error: UserError, *, debug: bool = False) -> int:
    """Print an error that the user can fix, as one line on stderr.

    Args:
        error: The error.
        debug: Print the traceback first.

    Returns:
        The exit code, 2.
    """
    if debug:
        traceback.print_exc()
    print("error:", " ".join(str(error).split()), file=sys.stderr)
    return 2


def _interrupted() -> int:
    print("interrupted", file=sys.stderr)
    return 130


def entry_point() -> None:
    """Run the ``vqa-rnn`` script."""
    sys.exit(main())
