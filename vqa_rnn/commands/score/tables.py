"""Tables of scores for the terminal. Fractions are printed as percentages."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vqa_rnn.metrics.formatting import format_metric


def print_scores(report: dict[str, Any], console: Console | None = None) -> None:
    """Print the report of ``vqa-rnn score``.

    Args:
        report: Metrics by name, ``intervals`` by metric, breakdowns ``per_…``, counts ``num_…``, and ``signature``.
        console: Where to print; defaults to stdout.
    """
    console = console or Console()
    counts = ", ".join(f"{value:,} {key.removeprefix('num_')}" for key, value in report.items() if key.startswith("num_"))
    rule = f", rule of {report['rule']}" if "rule" in report else ""
    intervals = report["intervals"]
    console.print(f"{report['benchmark']}{rule}: {counts}", style="italic", highlight=False)
    table = Table("", "", "95% interval")
    _right(table)
    for name, ends in intervals.items():
        interval = "-" if ends is None else " to ".join(_number(name, end).removesuffix("%") for end in ends)
        table.add_row(name, _number(name, report[name]), interval)
    console.print(table)
    for key, kinds in report.items():
        if key.startswith("per_") and kinds:
            table = Table(key.removeprefix("per_").replace("_", " "), "accuracy")
            _right(table)
            for kind, value in kinds.items():
                table.add_row(escape(kind), _number("accuracy", value))
            console.print(table)
    console.print(f"signature {report['signature']}", highlight=False, markup=False, style="dim", soft_wrap=True)


def _right(table: Table) -> None:
    for column in table.columns[1:]:
        column.justify = "right"


def _number(name: str, value: float | None) -> str:
    return "-" if value is None else format_metric(name, value)
