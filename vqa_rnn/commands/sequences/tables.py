"""The table of an evaluation of a sequence run. Fractions are printed as percentages."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from vqa_rnn.metrics.formatting import LOWER_IS_BETTER, format_metric
from vqa_rnn.metrics.intervals import FEWEST_IMAGES
from vqa_rnn.progress import counted

FLOOR_NAMES = {
    "most_frequent_target": "most frequent target",
    "copy_of_source": "copy of the source",
    "most_frequent_label": "most frequent label of training",
    "shuffled_frames": "this model, frames shuffled",
    "last_frame": "this model, last frame only",
    "single_frames": "this model, each frame alone",
    "most_frequent_sequence": "most frequent digits of training",
    "random_places": "this model, at random places",
    "one_glimpse": "this model, always at its first place",
    "pixels": "independent pixels",
    "classes": "independent pixels of each class",
}
CEILING_NAMES = {"entropy": "at best: entropy of the pixels"}


def print_evaluation(report: Mapping[str, Any], parts: Sequence[Table | str] = (), console: Console | None = None) -> None:
    """Print the report of an evaluation.

    Args:
        report: From ``evaluate_run``.
        parts: Tables and lines of its further parts.
        console: Where to print; defaults to stdout.
    """
    console = console or Console()
    headline, *others = report["metrics"]
    counts = ", ".join(counted(count, things) for things, count in report["counts"].items())
    few = min(report["counts"].values()) < FEWEST_IMAGES
    data = f"{report['kind']}, {report['data']}, {report['split']} split"
    title = f"{data}, {counts}{' (too few for an interval)' if few else ''}"
    better = " (lower is better)" if headline in LOWER_IS_BETTER else ""
    table = right_aligned(Table("", f"{headline}{better}", "95% interval", title=title, title_justify="left"))
    ends = report["intervals"][headline]
    table.add_row(
        "[bold]this model", f"[bold]{format_metric(headline, report['metrics'][headline])}", show_ends(headline, ends, few=few)
    )
    for name, floor in report["floors"].items():
        table.add_row(
            FLOOR_NAMES[name], format_metric(headline, floor[headline]), show_ends(headline, floor["interval"], few=few)
        )
    for name, ceiling in report["ceilings"].items():
        table.add_row(CEILING_NAMES[name], format_metric(headline, ceiling[headline]), "")
    console.print(table)
    if others:
        table = right_aligned(Table("metric", "this model", "95% interval"))
        for name in others:
            ends = report["intervals"].get(name)
            table.add_row(
                name, format_metric(name, report["metrics"][name]), "" if ends is None else show_ends(name, ends, few=few)
            )
        console.print(table)
    for part in parts:
        if isinstance(part, str):
            console.print(part, highlight=False, markup=False, soft_wrap=True)
        else:
            console.print(part)
    console.print(f"signature {report['signature']}", highlight=False, markup=False, style="dim", soft_wrap=True)


def show_ends(metric: str, ends: Sequence[float], *, few: bool) -> str:
    """Format an interval.

    Args:
        metric: The metric.
        ends: Lower and upper end.
        few: Whether there are too few groups for it.

    Returns:
        Text such as ``97.00 to 98.70``, or ``-``.
    """
    return "-" if few else " to ".join(format_metric(metric, end).rstrip("%") for end in ends)


def right_aligned(table: Table) -> Table:
    """Align all columns of a table to the right, except the first.

    Args:
        table: The table; it is changed.

    Returns:
        The table.
    """
    for column in table.columns[1:]:
        column.justify = "right"
    return table
