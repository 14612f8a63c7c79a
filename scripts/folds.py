"""Cross-validate a config by image, with and without the image, and pool the test folds.

    python scripts/folds.py daquar dataset.root=data/daquar
    python scripts/folds.py daquar/multiple_choice dataset.root=data/daquar --variants none question_only choices_only

Every fold trains on the others (an inner validation split by image chooses the epoch) and answers its own questions once.
"differences" sets the first variant beside the others and beside the floors, question by question, in every metric. Finished
folds are not trained again. ``--json`` prints one object.
"""

import argparse
import json
import logging
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from repeats import mean_scores, paired_gain, summarise_mean, train_once

from vqa_rnn.cli import print_error
from vqa_rnn.commands.evaluate import Measurement, measure
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.commands.tables import print_evaluation
from vqa_rnn.config_files import load_config
from vqa_rnn.errors import UserError
from vqa_rnn.metrics.accuracy import Scores


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1, help="repeat with this many seeds and average their scores")
    parser.add_argument("--variants", nargs="+", default=["none", "question_only"], help="values of model.ablate")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_intermixed_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        report = cross_validate(arguments.config, arguments.overrides, arguments.folds, arguments.seeds, arguments.variants)
    except UserError as error:
        return print_error(error)
    if arguments.json:
        print(json.dumps(report))
    else:
        for result in report["variants"].values():
            print_evaluation(result)
        print(json.dumps(report["differences"], indent=1))
    return 0


def cross_validate(name: str, overrides: list[str], folds: int, seeds: int, variants: list[str]) -> dict[str, Any]:
    """Train and measure every fold, seed and variant; pool over folds, average over seeds."""
    pooled = {variant: scores_by_seed(name, overrides, folds, seeds, variant) for variant in variants}
    images = [question.image_id for question in pooled[variants[0]][0].questions]
    mean = {variant: mean_scores(runs) for variant, runs in pooled.items()}
    report: dict[str, Any] = {"variants": {}, "differences": {}}
    for variant, runs in pooled.items():
        signature = f"{name}|ablate:{variant}|folds:{folds}|seeds:{seeds}|n:{len(images)}"
        report["variants"][variant] = summarise_mean(runs, mean[variant], signature)
    others = {other: mean[other] for other in variants[1:]} | dict(pooled[variants[0]][0].floors)
    for other, scores in others.items():
        report["differences"][f"{variants[0]} - {other}"] = {
            metric: paired_gain(mean[variants[0]][metric], scores[metric], images) for metric in scores
        }
    return report


def scores_by_seed(name: str, overrides: list[str], folds: int, seeds: int, variant: str) -> list[Measurement]:
    """Train and measure every fold; the folds of a seed pooled."""
    preprocess(load_config(name, [*overrides, f"dataset.folds={folds}"]))
    return [_pool([_fold(name, overrides, folds, fold, seed, variant) for fold in range(folds)]) for seed in range(seeds)]


def _fold(name: str, overrides: list[str], folds: int, fold: int, seed: int, variant: str) -> Measurement:
    label = f"{name.replace('/', '-')}-{variant}-seed{seed}-fold{fold}of{folds}"
    config = load_config(
        name,
        [
            *overrides,
            f"dataset.folds={folds}",
            f"dataset.fold={fold}",
            f"model.ablate={variant}",
            f"run.seed={seed}",
            f"run.name={label}",
        ],
    )
    return measure(train_once(config), "test")


def _pool(parts: list[Measurement]) -> Measurement:
    def join(each: list[Mapping[str, Scores]]) -> dict[str, Scores]:
        return {name: np.concatenate([scores[name] for scores in each]) for name in each[0]}

    return Measurement(
        benchmark=parts[0].benchmark,
        split="test",
        questions=tuple(question for part in parts for question in part.questions),
        predictions={key: value for part in parts for key, value in part.predictions.items()},
        metrics=join([part.metrics for part in parts]),
        floors={name: join([part.floors[name] for part in parts]) for name in parts[0].floors},
    )


if __name__ == "__main__":
    sys.exit(main())
