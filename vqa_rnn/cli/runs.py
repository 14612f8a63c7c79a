"""Arguments of the commands that open runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.errors import UserError

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


def runs_and_overrides(run: Path, more: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Split arguments into run folders and overrides.

    Args:
        run: The first run.
        more: The arguments after it. One with an equals sign is an override, unless it is the path of a folder.

    Returns:
        The runs and the overrides.
    """
    runs = [run, *(Path(each) for each in more if "=" not in each or Path(each).is_dir())]
    overrides = [each for each in more if "=" in each and not Path(each).is_dir()]
    return runs, overrides


def is_model(runs: Sequence[Path], config: str | None, *, ensemble: bool) -> bool:
    """Return whether a Hugging Face model is given instead of runs.

    Args:
        runs: The runs, or the model.
        config: The value of ``--config``.
        ensemble: Whether ``--ensemble`` is given.

    Returns:
        Whether the first of ``runs`` is a model.

    Raises:
        UserError: A model is not given alone or lacks a config, or a run, which has a config of its own, gets another one.
    """
    model = next((run for run in runs if str(run).startswith("hf:")), None)
    if model is not None and (ensemble or len(runs) > 1):
        raise UserError(f"{model} is a Hugging Face model, which cannot be part of an ensemble: give it alone")
    if model is not None and config is None:
        raise UserError(f"{model} has no data set of its own: say with --config CONFIG which questions it answers")
    if config is not None and model is None:
        raise UserError(f"{runs[0]} has a config of its own: --config is for models hf:OWNER/NAME")
    return model is not None


def check_ensemble(runs: Sequence[Path], *, ensemble: bool) -> None:
    """Check that ``--ensemble`` comes with at least two runs, and that several runs come with ``--ensemble``.

    Args:
        runs: The runs.
        ensemble: Whether ``--ensemble`` is given.

    Raises:
        UserError: One comes without the other.
    """
    if ensemble and len(runs) < 2:
        raise UserError("--ensemble needs at least two runs")
    if len(runs) > 1 and not ensemble:
        raise UserError(f"{runs[1]} is a second run: give --ensemble to let them answer together, or vqa-rnn compare them")
