"""Train configs with several seeds, measure them on one split, and compare each with the one before it, question by question.

    python scripts/seeds.py clevr/small_lstm clevr/small_cnn_lstm clevr/small dataset.root=data/CLEVR_v1.0 --seeds 3 --split val
    python scripts/seeds.py shapes_dialog --vary model.history.name=none,late_fusion,memory --split test

With --vary every config is tried with each of the values. A question's score is averaged over the seeds before differences and
intervals are taken. Finished runs are not trained again. ``--json`` prints one object.
"""

import argparse
import json
import logging
import sys
from typing import Any

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
    parser.add_argument("configs", nargs="+", metavar="CONFIG or key=value", help="options hold for all configs")
    parser.add_argument("--vary", metavar="KEY=VALUE,VALUE,…", help="try every config with each of these")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split", default="val")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_intermixed_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    names = [each for each in arguments.configs if "=" not in each]
    overrides = [each for each in arguments.configs if "=" in each]
    variants = {name: (name, overrides) for name in names}
    if arguments.vary:
        key, _, values = arguments.vary.partition("=")
        variants = {f"{name}-{v}": (name, [*overrides, f"{key}={v}"]) for name in names for v in values.split(",")}
    try:
        report = compare(variants, arguments.seeds, arguments.split)
    except UserError as error:
        return print_error(error)
    if arguments.json:
        print(json.dumps(report))
    else:
        for result in report["configs"].values():
            print_evaluation(result)
        print(json.dumps(report["differences"], indent=1))
    return 0


def compare(variants: dict[str, tuple[str, list[str]]], seeds: int, split: str) -> dict[str, Any]:
    """Train and measure every variant, a config with options, with every seed; average over seeds, then compare."""
    report: dict[str, Any] = {"configs": {}, "differences": {}}
    before: tuple[str, dict[str, Scores]] | None = None
    for label, (name, overrides) in variants.items():
        preprocess(load_config(name, overrides))
        repeats = [_measured(label, name, overrides, seed, split) for seed in range(seeds)]
        mean = mean_scores(repeats)
        images = [question.image_id for question in repeats[0].questions]
        signature = f"{label}|split:{split}|seeds:{seeds}|n:{len(images)}"
        report["configs"][label] = summarise_mean(repeats, mean, signature)
        if before is not None:
            report["differences"][f"{label} - {before[0]}"] = {
                metric: paired_gain(mean[metric], before[1][metric], images) for metric in mean
            }
        before = label, mean
    return report


def _measured(label: str, name: str, overrides: list[str], seed: int, split: str) -> Measurement:
    run_name = f"{label.replace('/', '-')}-seed{seed}"
    run = train_once(load_config(name, [*overrides, f"run.seed={seed}", f"run.name={run_name}"]))
    return measure(run, split)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
