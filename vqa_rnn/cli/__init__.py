"""The ``vqa-rnn`` command. Heavy modules are imported by the sub-command that needs them, so that ``--help`` is quick."""

import logging
import os
import sys
import traceback
import warnings
from typing import Annotated

import typer

from vqa_rnn import __version__
from vqa_rnn.cli import (
    ask,
    calibrate,
    caption,
    compare,
    consistency,
    datasets,
    demo,
    draw,
    evaluate,
    export,
    features,
    generate,
    glimpses,
    gradients,
    lm,
    predict,
    preprocess,
    report,
    score,
    seq2seq,
    serve,
    split,
    sweep,
    train,
    tune,
    video,
)
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
COMMANDS = (  # in the order of --help
    demo.demo,
    preprocess.preprocess,
    train.train,
    tune.tune,
    sweep.sweep,
    evaluate.evaluate,
    predict.predict,
    compare.compare,
    report.report,
    ask.ask,
    caption.caption,
    serve.serve,
    export.export,
    calibrate.calibrate,
    consistency.consistency,
    generate.generate,
    split.split,
    gradients.gradients,
)
GROUPS = (score.app, datasets.app, features.app, seq2seq.app, video.app, lm.app, glimpses.app, draw.app)

for command in COMMANDS:
    app.command()(command)
for group in GROUPS:
    app.add_typer(group)


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
