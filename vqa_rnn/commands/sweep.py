"""``vqa-rnn sweep``: search for options by validation accuracy.

Uses Optuna (Akiba et al. 2019, https://arxiv.org/abs/1907.10902).
"""

import logging
import math
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vqa_rnn.checkpoint import load_run
from vqa_rnn.commands.measure import measure
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.commands.train import MAY_CHANGE, train
from vqa_rnn.config import Config, run_path
from vqa_rnn.config.files import load_config
from vqa_rnn.engines import launched
from vqa_rnn.errors import UserError
from vqa_rnn.files import atomic_path, hold, read_json, write_json
from vqa_rnn.metrics.intervals import paired_difference
from vqa_rnn.run_folder import best_validation

log = logging.getLogger("vqa_rnn")

COMPARED = 5  # number of best trials that are compared question by question
SECTIONS = ("training.", "model.", "text.", "features.")  # other options change what is measured, or nothing
NOT_TRIED = ("training.refit", "training.start_from", "model.head.target", *MAY_CHANGE)
LOG_RATIO = 10.0  # from this ratio of its ends, a range is searched on a logarithmic scale
STARTUP_TRIALS = 10  # random trials before the sampler learns from them


@dataclass(frozen=True, slots=True)
class Span:
    """An option that is tried with different values.

    Attributes:
        key: Name of the option, such as ``training.learning_rate``.
        low: Lower end of a range; None for choices.
        high: Upper end of a range, which is included; None for choices.
        choices: Values as texts; empty for a range.
    """

    key: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def is_log(self) -> bool:
        """Whether a range is searched on a logarithmic scale."""
        return self.low is not None and self.high is not None and 0 < self.low * LOG_RATIO <= self.high

    def suggest(self, trial: Any) -> str:
        """Let Optuna choose a value.

        Args:
            trial: An Optuna trial.

        Returns:
            The override ``key=value``.
        """
        if self.choices:
            return f"{self.key}={trial.suggest_categorical(self.key, self.choices)}"
        assert self.low is not None
        assert self.high is not None
        if isinstance(self.low, int) and isinstance(self.high, int):
            return f"{self.key}={trial.suggest_int(self.key, self.low, self.high, log=self.is_log)}"
        return f"{self.key}={trial.suggest_float(self.key, self.low, self.high, log=self.is_log):.6g}"


def parse_span(text: str) -> Span:
    """Parse a value of ``--over``.

    Args:
        text: ``key=LOW..HIGH``, or ``key=A|B|C``.

    Returns:
        The option with its values.

    Raises:
        UserError: The text has neither form, the range does not increase, or a value is repeated.
    """
    key, _, values = text.partition("=")
    number = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
    found = re.fullmatch(f"({number})\\.\\.({number})", values, re.IGNORECASE)
    if key and found:
        low, high = (int(each) if re.fullmatch(r"-?\d+", each) else float(each) for each in found.groups())
        if low >= high:
            raise UserError(f"--over {text}: the range must increase, such as {key}=0.001..0.01")
        if isinstance(low, int) != isinstance(high, int):
            low, high = float(low), float(high)
        return Span(key, low, high)
    choices = tuple(values.split("|"))
    if not key or len(choices) < 2 or "" in choices:
        raise UserError(f"--over {text}: write a range, key=0.001..0.01, or values, key=a|b|c")
    if len(set(choices)) < len(choices):
        raise UserError(f"--over {text}: a value comes twice")
    return Span(key, choices=choices)


def sweep(
    source: str, overrides: Sequence[str], over: Sequence[str], num_trials: int, folder: Path | None = None, seed: int = 0
) -> dict[str, Any]:
    """Train a config with different options and rank the trials by validation accuracy. An interrupted sweep is continued.

    Args:
        source: A recipe or a YAML file.
        overrides: ``section.key=value`` each, for all trials.
        over: The options to try, as ``parse_span`` reads them.
        num_trials: Total number of trials, including those already done.
        folder: The folder of trials and results; by default ``sweeps/NAME``, of the config's name.
        seed: Seed of the search.

    Returns:
        ``trials`` (the best first: ``trial``, ``options``, ``accuracy``, ``epoch``, ``run``; the second to fifth best also have
        the paired ``difference`` to the best with an ``interval``), ``failed`` (error messages by trial number),
        ``options`` of the best trial, ``picture``.

    Raises:
        UserError: An option is invalid, the folder holds another sweep or is used by another process, or all trials failed.
    """
    if launched()[1] > 1:
        raise UserError("a sweep trains in one process: start it without torchrun")
    spans = [parse_span(text) for text in over]
    keys = [span.key for span in spans]
    if not spans or len(set(keys)) < len(keys):
        raise UserError("give --over key=… once for each option to try")
    base = load_config(source, overrides)
    if base.training.refit is not None:
        raise UserError("training.refit leaves no validation split, which a sweep needs: leave it out")
    for span in spans:
        if not span.key.startswith(SECTIONS) or span.key.startswith(NOT_TRIED):
            raise UserError(
                f"--over {span.key}: a sweep tries options of training, model, text and features that change what is learned"
            )
    spans = [_of_the_right_kind(span, source, overrides) for span in spans]
    optuna = _library()
    folder = folder or Path("sweeps") / (base.run.name or "unnamed")
    with hold(folder / "lock", f"another process is working on {folder}: wait for it, or give another --folder"):
        _check_same(folder, {"config": source, "overrides": sorted(overrides), "over": sorted(over), "seed": seed})
        backend = optuna.storages.journal.JournalFileBackend(str(folder / "study.log"))
        study = optuna.create_study(
            study_name="sweep", storage=optuna.storages.JournalStorage(backend), direction="maximize", load_if_exists=True
        )
        failed = dict(study.user_attrs.get("failed", {}))
        while (trial := _next_trial(optuna, study, num_trials, seed)) is not None:
            options = [span.suggest(trial) for span in spans]
            log.info("trial %d of %d: %s", trial.number + 1, num_trials, " ".join(options))
            try:
                score = _train(source, [*overrides, *options], folder, trial.number)
            except UserError as error:
                log.warning("trial %d failed: %s", trial.number + 1, error)
                failed[str(trial.number)] = str(error)
                study.set_user_attr("failed", failed)
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial.number, score)
                shutil.rmtree(
                    run_path(_trial_config(source, overrides, folder, trial.number)) / "checkpoints", ignore_errors=True
                )
        done = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
        if not done:
            raise UserError(f"no trial succeeded: {next(iter(failed.values()))}")
        report = _report(sorted(done, key=lambda trial: -trial.value), folder, failed)
        draw_trials(report["trials"], spans, folder / "sweep.png")
        write_json(folder / "sweep.json", report)
    return report


def _of_the_right_kind(span: Span, source: str, overrides: Sequence[str]) -> Span:
    """Check that the values are valid, and search whole numbers only if the option is one."""
    values = span.choices or (str(span.low), str(span.high))
    configs = [load_config(source, [*overrides, f"{span.key}={value}"]) for value in values]
    if span.choices:
        return span
    found: Any = configs[0]
    for name in span.key.split("."):
        found = getattr(found, name)
    kind = int if isinstance(found, int) else float
    assert span.low is not None
    assert span.high is not None
    return replace(span, low=kind(span.low), high=kind(span.high))


def _library() -> ModuleType:
    try:
        import optuna
    except ImportError as error:
        raise UserError('sweep needs Optuna: pip install "vqa-rnn[sweep]"') from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _check_same(folder: Path, asked: Mapping[str, Any]) -> None:
    """Refuse to continue a sweep of other options."""
    path = folder / "asked.json"
    if not path.is_file():
        write_json(path, asked)
        return
    made = read_json(path, "sweep")
    differing = [
        f"{name} {_listed(made.get(name))} and not {_listed(value)}" for name, value in asked.items() if made.get(name) != value
    ]
    if differing:
        raise UserError(f"{folder} holds another sweep, with {'; '.join(differing)}: give the same again, or another --folder")


def _listed(value: Any) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _next_trial(optuna: ModuleType, study: Any, num_trials: int, seed: int) -> Any:
    """Return the interrupted trial, or else a new one; None if there are enough trials."""
    stopped = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.RUNNING]
    number = stopped[0].number if stopped else len(study.trials)
    # one seed per trial, so that a continued sweep makes the same choices as an uninterrupted one
    own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(seed=own_seed, n_startup_trials=STARTUP_TRIALS)
    if stopped:
        return optuna.trial.Trial(study, stopped[0]._trial_id)
    return study.ask() if number < num_trials else None


def _trial_config(source: str, options: Sequence[str], folder: Path, number: int) -> Config:
    return load_config(source, [*options, f"run.folder={folder}/runs", f"run.name=trial-{number + 1:03d}"])


def _train(source: str, options: Sequence[str], folder: Path, number: int) -> float:
    """Train or resume a trial, and return its best validation accuracy."""
    config = _trial_config(source, options, folder, number)
    preprocess(config)
    path = run_path(config)
    return _best(train(config, resume=(path / "run.json").is_file()).path)[0]


def _best(path: Path) -> tuple[float, int]:
    """Return the best validation accuracy of a trial, and its epoch."""
    best = best_validation(path)
    assert best is not None, "a trial that ended was measured"
    return best


def _report(trials: Sequence[Any], folder: Path, failed: Mapping[str, str]) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    best = None
    for place, trial in enumerate(trials):
        path = folder / "runs" / f"trial-{trial.number + 1:03d}"
        accuracy, epoch = _best(path)
        row = {"trial": trial.number + 1, "options": dict(trial.params), "accuracy": accuracy, "epoch": epoch, "run": str(path)}
        if place < COMPARED:
            measured = measure(load_run(path), "val", with_floors=False)
            best = best or measured
            if place:
                image_ids = [question.image_id for question in measured.questions]
                difference = paired_difference(measured.scores, best.scores, image_ids)
                if difference is not None:
                    row |= {"difference": difference.mean, "interval": list(difference.interval)}
        rows.append(row)
    return {
        "trials": rows,
        "failed": {str(int(number) + 1): why for number, why in failed.items()},  # trials are numbered from 1 for users
        "options": [f"{key}={_shown(value)}" for key, value in rows[0]["options"].items()],
        "picture": str(folder / "sweep.png"),
    }


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def draw_trials(trials: Sequence[Mapping[str, Any]], spans: Sequence[Span], path: Path) -> None:
    """Plot the accuracy of each trial against each option.

    Args:
        trials: The trials of the report, the best first.
        spans: The options.
        path: The picture.
    """
    columns = min(len(spans), 3)
    rows = math.ceil(len(spans) / columns)
    figure = Figure(figsize=(4 * columns, 3.2 * rows))
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, span in zip(panels.flat, spans, strict=False):
        values = [trial["options"][span.key] for trial in trials]
        if span.choices:
            axes.set_xticks(range(len(span.choices)), span.choices, fontsize=8)
            axes.set_xlim(-0.5, len(span.choices) - 0.5)
            values = [span.choices.index(value) for value in values]
        elif span.is_log:
            axes.set_xscale("log")
        accuracies = [100 * trial["accuracy"] for trial in trials]
        axes.scatter(values[1:], accuracies[1:], s=22, alpha=0.7)
        axes.scatter(values[:1], accuracies[:1], s=50, color="tab:red", zorder=3)
        axes.set_xlabel(span.key, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    for axes in panels.flat[len(spans) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel("validation accuracy, %")
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def print_sweep(report: Mapping[str, Any], source: str, overrides: Sequence[str]) -> None:
    """Print the report of ``sweep``.

    Args:
        report: The report.
        source: The config, as given by the user.
        overrides: The overrides, as given by the user.
    """
    console = Console()
    trials = report["trials"]
    keys = list(trials[0]["options"])
    table = Table("trial", *[key.partition(".")[2] for key in keys], "validation", "to the best [95%]", "epoch")
    for trial in trials[: 2 * COMPARED]:
        ends = trial.get("interval")
        shown = "" if ends is None else f"{100 * trial['difference']:+.2f} [{100 * ends[0]:+.2f}, {100 * ends[1]:+.2f}]"
        values = [escape(_shown(trial["options"][key])) for key in keys]
        table.add_row(str(trial["trial"]), *values, f"{100 * trial['accuracy']:.2f}%", shown, str(trial["epoch"]))
    console.print(table)
    more = f"{len(trials)} trials" + (f", {len(report['failed'])} failed" if report["failed"] else "")
    console.print(f"{more}; the picture: {report['picture']}", markup=False, highlight=False, soft_wrap=True)
    console.print(
        "The validation accuracy of the best trial is optimistic. Train its options again with other seeds:", highlight=False
    )
    command = shlex.join(["vqa-rnn", "train", source, *overrides, *report["options"], "run.seed=1", "run.name=seed1"])
    console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
