"""Train a grid of variants over folds or seeds, and compare each with the first: mean score, interval, weights and time.

    python scripts/ablations.py scripts/grids/daquar_image.yaml dataset.root=data/daquar
    python scripts/ablations.py scripts/grids/cells_shapes_vqa.yaml --jobs 2 --json > cells.json

A grid is a YAML file:

    config: daquar                     # for all variants; a variant may name another config
    overrides: [training.max_epochs=5] # optional, as on the command line
    folds: 5                           # cross-validate by image; or
    split: test                        # train on the training split and measure on this one (the default)
    seeds: 3                           # optional: repeat, and average a question's scores over the seeds
    variants:                          # the others are compared with the first
      - model.question.cell: lstm
      - model.question.cell: [elman, gru]        # lists span a grid: here four variants
        model.question.num_layers: [1, 2]        # (for an option whose value is a list, write a list of lists)

Runs are saved in runs/GRID/VARIANT-seedN; vqa-rnn evaluate and compare accept them like any other run. Finished runs are not
trained again, so an interrupted grid can be continued. Intervals are 95%, by bootstrap over images; differences are paired by
question. They do not include the variation between seeds. Minutes are the training time without validation, based on the median
epoch, so that pauses do not count. ``--jobs`` is the number of runs that are trained at a time; it defaults to one per
processor, and to one on a GPU. The results do not depend on it.
"""

import argparse
import itertools
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from repeats import Repeats, plan, repeat, train_side_by_side
from rich.box import MARKDOWN
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vqa_rnn.cli import print_error
from vqa_rnn.commands.measure import summarise
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.config import run_path
from vqa_rnn.config.files import load_config
from vqa_rnn.engines import choose_device
from vqa_rnn.errors import Interrupted, UserError
from vqa_rnn.metrics.accuracy import Scores
from vqa_rnn.metrics.intervals import paired_difference
from vqa_rnn.records import Split
from vqa_rnn.threads import num_cpus

BOOTSTRAP_SAMPLES = 1000
TAKEN = {
    "run.folder": "runs lie in runs/GRID, the name of its file",
    "run.name": "a run is called by what its variant sets",
    "run.seed": "set seeds to repeat",
    "dataset.folds": "set folds",
    "dataset.fold": "set folds",
}
Value = str | int | float | bool | None | list[str | int | float | bool]
MADE_BY_A_MODEL = {"images_shuffled"}  # measured with the first variant that sees images, so it is no floor of the others
Variant = tuple[str, list[str]]  # a config and its overrides


class Grid(BaseModel):
    """The contents of a grid file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: str
    overrides: list[str] = []
    folds: int | None = Field(None, ge=2)
    split: Split | None = None
    seeds: int = Field(1, ge=1)
    variants: list[dict[str, Value | list[Value]]] = Field(min_length=1)

    @field_validator("variants")
    @classmethod
    def _check(cls, variants: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for key, value in (pair for variant in variants for pair in variant.items()):
            if value == []:
                raise ValueError(f"{key} has an empty list of values")
        return variants

    def spread(self) -> dict[str, Variant]:
        """Return every variant by its label, which is made of the values that it sets."""
        chosen: list[dict[str, Any]] = []
        for variant in self.variants:
            values = [each if isinstance(each, list) else [each] for each in variant.values()]
            chosen += [dict(zip(variant, some, strict=True)) for some in itertools.product(*values)]
        spread = {}
        for variant in chosen:
            label = "-".join(_name(value) for value in variant.values()) or "default"
            if label in spread:
                raise UserError(f"two variants are called {label}: set them apart by a value")
            options = [f"{key}={json.dumps(value)}" for key, value in variant.items() if key != "config"]
            spread[label] = str(variant.get("config", self.config)), [*self.overrides, *options]
        return spread


def _name(value: Any) -> str:
    return "+".join(map(_name, value)) if isinstance(value, list) else str(value).replace("/", "-")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for all variants, after their own")
    parser.add_argument("--jobs", type=int, metavar="N", help="runs trained at a time")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_intermixed_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        if arguments.jobs is not None and arguments.jobs < 1:
            raise UserError(f"--jobs {arguments.jobs}: at least 1 is needed")
        report = run_grid(read_grid(arguments.grid), arguments.grid.stem, arguments.overrides, arguments.jobs)
    except UserError as error:
        return print_error(error)
    except Interrupted as error:
        return error.exit_code
    if arguments.json:
        print(json.dumps(report))
    else:
        print_report(report)
    return 0


def read_grid(path: Path) -> Grid:
    try:
        return Grid.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except OSError as error:
        raise UserError(f"no grid at {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}") from error


def run_grid(grid: Grid, name: str, overrides: Sequence[str], jobs: int | None = None) -> dict[str, Any]:
    """Train and measure every variant, then compare each with the first one and with the floors."""
    if grid.folds is not None and grid.split is not None:
        raise UserError(f"the grid {name} has both folds and a split: folds measure the folds")
    split = grid.split or "test"
    report: dict[str, Any] = {"grid": name, "folds": grid.folds, "split": split, "seeds": grid.seeds, "variants": {}}
    baseline: Repeats | None = None
    floors: dict[str, tuple[str, Mapping[str, Scores]]] = {}  # each from the first variant that has it
    variants = {label: (config, [*options, *overrides]) for label, (config, options) in grid.spread().items()}
    for option in (option for _, options in variants.values() for option in options):
        key = option.partition("=")[0]
        if key in TAKEN:
            raise UserError(f"{key} is given by the grid itself: {TAKEN[key]}")
    for label, (config, options) in variants.items():  # checked before any training starts
        try:
            load_config(config, options)
        except UserError as error:
            raise UserError(f"variant {label}: {str(error).removeprefix('command line: ')}") from error
    variants = {label: (config, [*options, f"run.folder=runs/{name}"]) for label, (config, options) in variants.items()}
    _train(grid, variants, jobs)
    for label, (config, options) in variants.items():
        done = repeat(label, config, options, grid.folds, grid.seeds, split, with_floors=not floors.keys() >= MADE_BY_A_MODEL)
        result = describe(done)
        baseline = baseline or done
        if [q.question_id for q in done.measured.questions] != [q.question_id for q in baseline.measured.questions]:
            raise UserError(f"{label} answers other questions than the first variant: they cannot be paired")
        for floor, scores in done.measured.floors.items():
            floors.setdefault(floor, (label, scores))
        result["above_floors"] = {
            floor: compare(done.mean, scores, done.images)
            for floor, (who, scores) in floors.items()
            if floor not in MADE_BY_A_MODEL or who == label
        }
        if done is not baseline:
            result["difference"] = compare(done.mean, baseline.mean, done.images)
        report["variants"][label] = result
    return report


def _train(grid: Grid, variants: Mapping[str, Variant], jobs: int | None) -> None:
    """Extract the features of every variant, and train its runs, several at a time."""
    configs = []
    for label, (config, options) in variants.items():
        configs += [each for seed in plan(label, config, options, grid.folds, grid.seeds) for each in seed]
        preprocess(load_config(config, [*options, f"dataset.folds={grid.folds}"] if grid.folds else options))
    on_gpu = choose_device(configs[0].run.device).type == "cuda"
    jobs = jobs or (1 if on_gpu else num_cpus())
    left = [config for config in configs if not (run_path(config) / "finished").exists()]
    if min(jobs, len(left)) > 1:
        train_side_by_side(left, jobs)


def describe(done: Repeats) -> dict[str, Any]:
    summary = summarise(done.measured, BOOTSTRAP_SAMPLES)
    kept = {key: summary[key] for key in ("num_questions", "num_images", "metrics", "intervals", "per_type", "floors")}
    return {**kept, "by_seed": done.by_seed, "weights": done.weights, "training_seconds": done.seconds}


def compare(mean: Mapping[str, Scores], others: Mapping[str, Scores], images: Sequence[str]) -> dict[str, Any]:
    """Return by how much the mean scores are above others, for every metric that both have."""
    both = {name: paired_difference(mean[name], others[name], images, BOOTSTRAP_SAMPLES) for name in mean if name in others}
    return {name: {"gain": each.mean, "interval": each.interval, "p": each.p} for name, each in both.items() if each}


def print_report(report: dict[str, Any]) -> None:
    """Print the headline metric as a Markdown table; the other metrics and the breakdowns are in the JSON output only."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    first = next(iter(report["variants"].values()))
    metric = next(iter(first["metrics"]))
    how = f"{report['folds']} folds" if report["folds"] else f"{report['split']} split"
    often = f"mean of {report['seeds']} seeds" if report["seeds"] > 1 else "one seed"
    console.print(f"{report['grid']}: {how}, {often}, {first['num_questions']:,} questions", highlight=False)
    columns = [metric, "each seed", "95% interval", "to the first", "95% interval", "weights", "minutes"]
    table = Table("variant", *columns, box=MARKDOWN)
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for label, result in report["variants"].items():
        low, high = result["intervals"][metric]
        gain = result.get("difference", {}).get(metric)
        cells = ["", ""]
        if gain is not None:
            cells = [f"{100 * gain['gain']:+.2f}", f"{100 * gain['interval'][0]:+.2f} to {100 * gain['interval'][1]:+.2f}"]
        mean = f"{100 * result['metrics'][metric]:.2f}%"
        seeds = ", ".join(f"{100 * score:.1f}" for score in result["by_seed"])
        minutes = f"{result['training_seconds'] / 60:.1f}"
        table.add_row(
            escape(label), mean, seeds, f"{100 * low:.2f} to {100 * high:.2f}", *cells, f"{result['weights']:,}", minutes
        )
    floors: dict[str, tuple[str, float]] = {}
    for label, result in report["variants"].items():
        for name, floor in result["floors"].items():
            floors.setdefault(name, (f"{name} of {label}" if name in MADE_BY_A_MODEL else name, floor[metric]))
    for name, value in floors.values():
        table.add_row(f"floor: {escape(name)}", f"{100 * value:.2f}%", *[""] * 6)
    console.print(table)
    strongest = max((floor[metric], name) for name, floor in first["floors"].items() if name not in MADE_BY_A_MODEL)[1]
    for label, result in report["variants"].items():
        gain = result["above_floors"][strongest][metric]
        low, high = (f"{100 * end:+.2f}" for end in gain["interval"])
        console.print(f"{label} above {strongest}: {100 * gain['gain']:+.2f} ({low} to {high})", highlight=False, markup=False)


if __name__ == "__main__":
    sys.exit(main())
