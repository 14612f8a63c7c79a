"""Output of ``vqa-rnn datasets``."""

import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from vqa_rnn.datasets import DATASETS, CheckReport, OfficialDataset, OfficialFile, Outcome
from vqa_rnn.datasets.catalogue import UNVERIFIED, readable_size

_STYLES = {"there": "green", "missing": "yellow", "damaged": "red"}


def describe_datasets() -> dict[str, Any]:
    """Return the whole catalogue for ``--json``.

    Returns:
        For each data set, by name: title, folder, page, terms, note and files.
    """
    return {name: _describe(dataset) for name, dataset in DATASETS.items()}


def describe_download(name: str, folder: Path | None, outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Return the result of ``download`` for ``--json``.

    Args:
        name: Name of the data set.
        folder: The folder as given by the user, or None.
        outcomes: The outcome of each file.

    Returns:
        ``dataset``, ``folder`` and ``files``.
    """
    where = folder or DATASETS[name].folder
    return {"dataset": name, "folder": str(where), "files": [asdict(outcome) for outcome in outcomes]}


def describe_check(report: CheckReport) -> dict[str, Any]:
    """Return the result of ``check`` for ``--json``.

    Args:
        report: The report of ``check``.

    Returns:
        ``dataset``, ``folder``, ``page``, ``complete`` and ``files``.
    """
    return {
        "dataset": report.dataset,
        "folder": str(report.folder),
        "page": DATASETS[report.dataset].page,
        "complete": report.complete,
        "files": [asdict(file) for file in report.files],
    }


def what_is_wrong(report: CheckReport) -> str:
    """Describe in one line what an incomplete data set lacks and which command downloads it.

    Args:
        report: The report of an incomplete data set.

    Returns:
        The line.
    """
    wrong = [file for file in report.files if file.state != "there"]
    counts = Counter(file.state for file in wrong)
    said = " and ".join(f"{counts[state]} {state}" for state in ("missing", "damaged") if counts[state])
    command = _command("download", report.dataset, report.folder, images=any(file.images for file in wrong))
    return f"{report.dataset} in {report.folder} is not complete: {said} of {len(report.files)} ({command})"


def print_datasets(console: Console | None = None) -> None:
    """Print the catalogue.

    Args:
        console: Where to print; defaults to stdout.
    """
    console = console or Console()
    table = Table("name", "data set", "annotations", "images", "folder")
    for column in table.columns[2:4]:
        column.justify = "right"
    for name, dataset in DATASETS.items():
        sizes = [_sum([file for file in dataset.files if file.images is images]) for images in (False, True)]
        table.add_row(f"[bold]{name}", dataset.title, *sizes, str(dataset.folder))
    console.print(table)
    for name, dataset in DATASETS.items():
        said = f"{name}: {dataset.terms}. {dataset.page}" + (f"  {dataset.note}" if dataset.note else "")
        console.print(said, highlight=False, markup=False, style="dim", soft_wrap=True)
    console.print("Fetch one: vqa-rnn datasets download NAME [--images]", highlight=False, markup=False, soft_wrap=True)


def print_download(name: str, folder: Path | None, outcomes: Iterable[Outcome], *, images: bool) -> None:
    """Print the result of ``download``.

    Args:
        name: Name of the data set.
        folder: The folder as given by the user, or None.
        outcomes: The outcome of each file.
        images: Whether the images were downloaded too.
    """
    console = Console()
    dataset = DATASETS[name]
    where = folder or dataset.folder
    table = Table(
        Column("file", overflow="fold"), "", "size", "sha256", title=escape(f"{name} in {where}"), title_justify="left"
    )
    table.columns[2].justify = "right"
    for outcome in outcomes:
        size = "" if outcome.size is None else readable_size(outcome.size)
        table.add_row(escape(outcome.file), outcome.state, size, _verified(outcome))
    console.print(table)
    if not images and any(file.images for file in dataset.files):
        said = (
            f"The images ({_sum([file for file in dataset.files if file.images])}): {_command('download', name, folder, True)}"
        )
        console.print(said, highlight=False, markup=False, soft_wrap=True)


def print_check(report: CheckReport) -> None:
    """Print the result of ``check``.

    Args:
        report: The report of ``check``.
    """
    console = Console()
    table = Table(
        Column("file", overflow="fold"), "", "", title=escape(f"{report.dataset} in {report.folder}"), title_justify="left"
    )
    for file in report.files:
        table.add_row(escape(file.path), f"[{_STYLES[file.state]}]{file.state}", escape(file.detail))
    console.print(table)
    if not report.complete:
        page = DATASETS[report.dataset].page
        said = f"By hand: get the missing files from {page} and put them into {report.folder} under the names above."
        console.print(said, highlight=False, markup=False, soft_wrap=True)


def _describe(dataset: OfficialDataset) -> dict[str, Any]:
    files = [asdict(file) | {"name": file.name} for file in dataset.files]
    return asdict(dataset) | {"folder": str(dataset.folder), "files": files}


def _sum(files: list[OfficialFile]) -> str:
    """Return the sum of the known sizes, with a + if some are unknown."""
    known = [file.size for file in files if file.size is not None]
    if not known:
        return "size unknown"
    return readable_size(sum(known)) + ("+" if len(known) < len(files) else "")


def _verified(outcome: Outcome) -> str:
    if outcome.verified_by is None:
        return ""
    return "unverified, recorded" if outcome.verified_by == UNVERIFIED else f"as in {outcome.verified_by}"


def _command(verb: str, name: str, folder: Path | None, images: bool) -> str:
    where = "" if folder is None or folder == DATASETS[name].folder else f" --folder {shlex.quote(str(folder))}"
    return f"vqa-rnn datasets {verb} {name}{where}{' --images' if images else ''}"
