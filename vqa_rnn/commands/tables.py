"""Tables of results for the terminal. Fractions are printed as percentages."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from preprocessing.extract_features import ExtractionReport
from vqa_rnn.commands.shared import counts_of
from vqa_rnn.commands.tune import Trial, overrides
from vqa_rnn.features.store.parts import is_part
from vqa_rnn.metrics.formatting import LOWER_IS_BETTER, PLAIN_NUMBERS, format_metric
from vqa_rnn.metrics.intervals import FEWEST_IMAGES
from vqa_rnn.progress import counted, show_rate

FLOOR_NAMES = {
    "chance": "a blind guess",
    "most_frequent_answer": "most frequent answer",
    "question_prefix": "most frequent answer of the first words",
    "question_string": "most frequent answer of the question",
    "most_frequent_caption": "most frequent caption",
    "caption_of_another_image": "caption of another image",
    "images_shuffled": "this model, images shuffled",
}
CEILING_NAMES = {
    "best_answer": "at best, by any answer",
    "best_known_answer": "at best, by an answer of the vocabulary",
}


def print_tuning(trials: Sequence[Trial], config: str, examples: str) -> None:
    """Print the trials of ``tune`` and the commands with the recommended options.

    Args:
        trials: The trials.
        config: The config with its overrides, as given by the user.
        examples: What training counts.
    """
    table = Table(
        "option", "value", "per second", "", title="the fastest value of each option on this machine", title_justify="left"
    )
    table.columns[2].justify = "right"
    for number, trial in enumerate(trials):
        if number and trials[number - 1].option != trial.option:
            table.add_section()
        unit = "images" if trial.option.startswith("features.") else examples
        note = "best" if trial.is_best else ""
        note += (", default" if note else "default") if trial.is_default else ""
        style = "bold" if trial.is_best else None
        table.add_row(trial.option, str(trial.value), f"{trial.rate:,.0f} {unit}", note, style=style)
    console = Console()
    console.print(table)
    for command in ("preprocess", "train"):
        found = overrides(trials, command)
        if found:
            console.print(f"vqa-rnn {command} {config} {found}", markup=False, highlight=False, soft_wrap=True)
    if not any(overrides(trials, command) for command in ("preprocess", "train")):
        console.print("The config is already as fast as anything tried: no option is needed.")


def print_evaluation(report: dict[str, Any], console: Console | None = None) -> None:
    """Print the report of ``evaluate``.

    Args:
        report: The report.
        console: Where to print; defaults to stdout.
    """
    console = console or Console()
    few = report["num_images"] < FEWEST_IMAGES
    counts = ", ".join(counted(count, things) for things, count in counts_of(report).items())
    title = f"{report['benchmark']}, {report['split']} split, {counts}{' (too few for an interval)' if few else ''}"

    headline, *others = report["metrics"]
    points = ", points" if headline not in PLAIN_NUMBERS else ""

    def shown(value: float, *, signed: bool = False) -> str:
        return format_metric(headline, value, signed=signed)

    def gained(value: float) -> str:
        return shown(value, signed=True).rstrip("%")

    def interval(ends: list[float]) -> str:
        return "-" if few else " to ".join(shown(end).rstrip("%") for end in ends)

    table = Table("", headline, "95% interval", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    which = "this ensemble" if "members" in report else escape(report.get("model", "this model"))
    table.add_row(f"[bold]{which}", f"[bold]{shown(report['metrics'][headline])}", interval(report["intervals"][headline]))
    for name, floor in report["floors"].items():
        table.add_row(FLOOR_NAMES[name].replace("this model", which), shown(floor[headline]), interval(floor["interval"]))
    for name, ceiling in report["ceilings"].items():
        if ceiling[headline] < 1:
            table.add_row(CEILING_NAMES[name], shown(ceiling[headline]), "")
    if "ceiling_model" in report:
        other = report["ceiling_model"]
        table.add_section()
        table.add_row(escape(other["name"]), shown(other[headline]), interval(other["interval"]))
        table.add_row(f"{which} over it{points}", gained(other["gain"]), interval(other["gain_interval"]))
    if "image_gain" in report:
        gain = report["image_gain"]
        table.add_section()
        table.add_row(f"image gain (full minus question-only){points}", gained(gain[headline]), interval(gain["interval"]))
    if "ensemble_gain" in report:
        gain = report["ensemble_gain"]
        table.add_section()
        for path, value in report["members"].items():
            table.add_row(escape(path), shown(value), "")
        table.add_row(f"gain over the mean of its members{points}", gained(gain[headline]), interval(gain["interval"]))
    console.print(table)
    if others:
        _print_others(report, others, which, console, few=few)
    for field, kinds in report["per_type"].items():
        has_chance = any("chance" in row for row in kinds.values())
        table = Table(field.replace("_", " "), headline, "questions", *(["chance"] if has_chance else []))
        for column in table.columns[1:]:
            column.justify = "right"
        for kind, row in kinds.items():
            extra = [_percent(row["chance"])] if has_chance else []
            table.add_row(escape(kind), shown(row[headline]), f"{row['num_questions']:,}", *extra)
        console.print(table)
    console.print(f"signature {report['signature']}", highlight=False, markup=False, style="dim", soft_wrap=True)


def _print_others(report: dict[str, Any], names: list[str], which: str, console: Console, *, few: bool) -> None:
    table = Table("metric", which, "95% interval")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in names:
        ends = "-" if few else " to ".join(format_metric(name, end) for end in report["intervals"][name])
        table.add_row(name, format_metric(name, report["metrics"][name]), ends)
    console.print(table)
    floors = {name: floor for name, floor in report["floors"].items() if set(names) <= set(floor)}
    if not floors:
        return
    table = Table("floor", *names)
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for floor_name, floor in floors.items():
        table.add_row(
            FLOOR_NAMES[floor_name].replace("this model", which), *(format_metric(name, floor[name]) for name in names)
        )
    console.print(table)


def print_extraction(report: ExtractionReport, console: Console | None = None) -> None:
    """Print the report of ``preprocess``.

    Args:
        report: The report.
        console: Where to print; defaults to stdout.
    """
    console = console or Console()
    if report.num_done:
        a_second = show_rate(report.num_done / report.seconds)
        rate = f"{counted(report.num_done, 'images')} in {report.seconds:.1f} s, {a_second} per second"
    else:
        rate = "nothing left to do"
    if is_part(report.store):
        rate += "; other processes make the rest"
    skipped = f", {len(report.failed):,} of them skipped" if report.failed else ""
    console.print(
        f"{report.store}: {counted(report.num_images, 'images')}{skipped} ({rate})",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    for image_id, reason in report.failed.items():
        console.print(f"  skipped {image_id}: {reason}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def print_comparison(report: dict[str, Any], console: Console | None = None) -> None:
    """Print the report of ``compare``, with a table for each metric.

    Args:
        report: The report.
        console: Where to print; defaults to stdout.
    """
    console = console or Console()
    runs = report["runs"]
    few = min(report["counts"].values()) < FEWEST_IMAGES
    counts = ", ".join(counted(count, things) for things, count in report["counts"].items())
    for metric in next(iter(runs.values())):
        if runs[report["baseline"]][metric]["value"] is None:
            continue
        better = " (lower is better)" if metric in LOWER_IS_BETTER else ""
        title = f"{metric}{better}, {report['split']} split, {counts}"
        table = Table("run", metric, "95% interval", "difference", "95% interval", "p", title=title, title_justify="left")
        for column in table.columns[1:]:
            column.justify, column.no_wrap = "right", True
        table.columns[0].overflow = "fold"
        for name, metrics in runs.items():
            row = metrics[metric]
            ends = "-" if few else " to ".join(format_metric(metric, end).rstrip("%") for end in row["interval"])
            cells = [escape(name), format_metric(metric, row["value"]), ends]
            if "difference" in row:
                low, high = row["difference_interval"]
                clear = row["p"] is not None and (low > 0 or high < 0)
                difference = _signed(metric, row["difference"])
                cells += [
                    f"[bold]{difference}" if clear else difference,
                    "-" if few else f"{_signed(metric, low)} to {_signed(metric, high)}",
                    "-" if row["p"] is None else "< 0.001" if row["p"] < 0.001 else f"{row['p']:.3f}",
                ]
            table.add_row(*cells)
        console.print(table)
    console.print(
        "differences to the first run; bold where the interval excludes 0; p is not corrected for multiple comparisons"
    )
    console.print(f"signature {report['signature']}", highlight=False, markup=False, style="dim", soft_wrap=True)


def _signed(metric: str, value: float) -> str:
    return format_metric(metric, value, signed=True).rstrip("%")


def print_gradients(cells: Mapping[str, Sequence[float]], unit: str, console: Console | None = None) -> None:
    """Print the gradient norms at several distances.

    Args:
        cells: Norms at the distances 0, 1, … by name.
        unit: The unit of the distances.
        console: Where to print; defaults to stdout.
    """
    console = console or Console()
    longest = max(map(len, cells.values())) - 1
    shown = sorted({0, 2, 10, 50} & set(range(longest)) | {longest})
    table = Table(f"{unit} back", *map(str, shown), title="norm of the loss's gradient", title_justify="left")
    for column in table.columns:
        column.justify, column.no_wrap = "right", True
    table.columns[0].justify = "left"
    for name, norms in cells.items():
        table.add_row(name, *(f"{norms[distance]:.1e}" if distance < len(norms) else "" for distance in shown))
    console.print(table)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}%"
