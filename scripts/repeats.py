"""Repeated training of a variant, over folds and seeds. Scores are pooled over folds and averaged over seeds."""

import dataclasses
import json
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqa_rnn.checkpoint import Run, load_model, load_run
from vqa_rnn.commands.measure import Measurement, measure
from vqa_rnn.commands.train import MAY_CHANGE, train
from vqa_rnn.config import Config, run_path
from vqa_rnn.config.files import check_changes, load_config
from vqa_rnn.metrics.accuracy import Scores
from vqa_rnn.records import Split
from vqa_rnn.run_folder import read_timings


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """The results of a variant.

    Attributes:
        measured: All questions, each with the mean of its scores over the seeds; predictions and floors are of the first seed.
        by_seed: Headline score of each seed, over all questions.
        weights: Number of parameters of a run's model.
        seconds: Mean training time of a run, without validation.
    """

    measured: Measurement
    by_seed: list[float]
    weights: int
    seconds: float

    @property
    def mean(self) -> Mapping[str, Scores]:
        """(N,) scores of each question by metric."""
        return self.measured.metrics

    @property
    def images(self) -> list[str]:
        """(N,) the image of each question."""
        return [question.image_id for question in self.measured.questions]


def repeat(
    label: str, config: str, options: Sequence[str], folds: int | None, seeds: int, split: Split, *, with_floors: bool
) -> Repeats:
    """Train the runs of a variant that are not trained yet, and measure it.

    Args:
        label: The name of its runs.
        config: A recipe; its features must exist.
        options: ``section.key=value`` each.
        folds: Number of folds to cross-validate by image; None trains on the training split.
        seeds: Number of seeds.
        split: The split to measure if there are no folds.
        with_floors: Measure the floors with the first seed.

    Returns:
        The pooled and averaged results.
    """
    seed_measured, runs = [], []
    for seed, configs in enumerate(plan(label, config, options, folds, seeds)):
        trained = [train_once(each) for each in configs]
        runs += trained
        parts = [measure(run, "test" if folds else split, with_floors=with_floors and seed == 0) for run in trained]
        seed_measured.append(_pool(parts))
    first = seed_measured[0]
    mean = {metric: np.mean([each.metrics[metric] for each in seed_measured], axis=0) for metric in first.metrics}
    return Repeats(
        measured=dataclasses.replace(first, metrics=mean),
        by_seed=[float(each.scores.mean()) for each in seed_measured],
        weights=count_weights(runs[0]),
        seconds=float(np.mean([training_seconds(run.path) for run in runs])),
    )


def plan(label: str, config: str, options: Sequence[str], folds: int | None, seeds: int) -> list[list[Config]]:
    """Return the configs of a variant's runs.

    Args:
        label: The name of the runs.
        config: A recipe.
        options: ``section.key=value`` each.
        folds: As in ``repeat``.
        seeds: Number of seeds.

    Returns:
        For each seed, the config of each fold.
    """
    configs = []
    for seed in range(seeds):
        configs.append([])
        for fold in range(folds or 1):
            name = f"{label}-seed{seed}" + (f"-fold{fold}of{folds}" if folds else "")
            cut = [f"dataset.folds={folds}", f"dataset.fold={fold}"] if folds else []
            all_options = [*options, *cut, f"run.seed={seed}", f"run.name={json.dumps(name)}"]
            configs[-1].append(load_config(config, all_options))
    return configs


def train_side_by_side(configs: Sequence[Config], jobs: int) -> None:
    """Train several runs at a time, each in its own process. The results are the same as one after the other.

    Args:
        configs: Configs with a name for each run; their features must exist.
        jobs: Number of runs at a time.

    Raises:
        UserError: As in ``train_once``; runs that have begun are finished first.
        Interrupted: Ctrl-C; what was trained so far is saved.
    """
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_start_worker) as pool:
        futures = [pool.submit(_train_quietly, config) for config in configs]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _start_worker() -> None:
    """Hide progress bars, which would overwrite each other, and stop the worker when its parent process ends."""
    logging.getLogger("vqa_rnn").setLevel(logging.ERROR)
    os.environ["TERM"] = "dumb"
    threading.Thread(target=_stop_with_parent, daemon=True).start()


def _stop_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)  # the training finishes its step and saves its state


def _train_quietly(config: Config) -> None:
    try:
        train_once(config)
    finally:
        parent = multiprocessing.parent_process()
        if parent is None or not parent.is_alive():
            os._exit(1)  # else the pool would wait forever for the next job


def train_once(config: Config) -> Run:
    """Train a run unless it is finished. An interrupted run is resumed.

    Args:
        config: A config with a name for the run.

    Returns:
        The finished run.

    Raises:
        UserError: The run exists with another config.
    """
    path = run_path(config)
    begun = (path / "run.json").exists()
    if begun:
        check_changes(load_run(path).config, config, MAY_CHANGE, str(path), "what is there already")
    if not (path / "finished").exists():
        print(f"{path}", file=sys.stderr)
        train(config, resume=begun, overwrite=not begun)
        (path / "finished").touch()
    return dataclasses.replace(load_run(path), config=config)


def count_weights(run: Run) -> int:
    """Return the number of parameters of a run's model.

    Args:
        run: The run.

    Returns:
        The number of parameters, without buffers.
    """
    return sum(weight.numel() for weight in load_model(run).parameters())


def training_seconds(path: Path) -> float:
    """Return the training time of a run without validation: its number of steps times the median over epochs of a step's time.

    The median ignores pauses of the machine and epochs that were resumed in the middle.

    Args:
        path: The run folder.

    Returns:
        Seconds.
    """
    epochs = read_timings(path)
    return float(epochs[-1]["step"] * np.median([epoch["seconds"] / epoch["steps"] for epoch in epochs]))


def _pool(parts: list[Measurement]) -> Measurement:
    """Join the measurements of the test folds of a cross-validation."""

    def join(each: list[Mapping[str, Scores]]) -> dict[str, Scores]:
        return {name: np.concatenate([scores[name] for scores in each]) for name in each[0]}

    return Measurement(
        benchmark=parts[0].benchmark,
        split=parts[0].split,
        questions=tuple(question for part in parts for question in part.questions),
        predictions={key: value for part in parts for key, value in part.predictions.items()},
        metrics=join([part.metrics for part in parts]),
        floors={name: join([part.floors[name] for part in parts]) for name in parts[0].floors},
        ceilings=join([part.ceilings for part in parts]),
    )
