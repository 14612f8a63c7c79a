"""Train configs with several seeds, measure them on one split, and compare each with the one before it, question by question.

    python scripts/seeds.py clevr/small_lstm clevr/small_cnn_lstm clevr/small dataset.root=data/CLEVR_v1.0 --seeds 3 --split val

A question's score is averaged over the seeds before differences and intervals are taken. Finished runs are not trained again.
``--json`` prints one object.
"""

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np

from vqa_rnn.checkpoint import load_run
from vqa_rnn.cli import print_error
from vqa_rnn.commands.evaluate import Measurement, measure, summarise
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.commands.tables import print_evaluation
from vqa_rnn.commands.train import train
from vqa_rnn.config import run_path
from vqa_rnn.config_files import load_config
from vqa_rnn.errors import UserError
from vqa_rnn.metrics.intervals import bootstrap_interval


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", metavar="CONFIG or key=value", help="options hold for all configs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split", default="val")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_intermixed_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    names = [each for each in arguments.configs if "=" not in each]
    overrides = [each for each in arguments.configs if "=" in each]
    try:
        report = compare(names, overrides, arguments.seeds, arguments.split)
    except UserError as error:
        return print_error(error)
    if arguments.json:
        print(json.dumps(report))
    else:
        for result in report["configs"].values():
            print_evaluation(result)
        print(json.dumps(report["differences"], indent=1))
    return 0


def compare(names: list[str], overrides: list[str], seeds: int, split: str) -> dict[str, Any]:
    """Train and measure every config with every seed; average over seeds, then compare."""
    report: dict[str, Any] = {"configs": {}, "differences": {}}
    before: tuple[str, np.ndarray] | None = None
    for name in names:
        preprocess(load_config(name, overrides))
        runs = [_measured(name, overrides, seed, split) for seed in range(seeds)]
        mean = np.mean([measured.scores for measured in runs], axis=0)
        images = [question.image_id for question in runs[0].questions]
        result = summarise(runs[0], 1000)
        result["by_seed"] = [float(measured.scores.mean()) for measured in runs]
        result["metrics"][runs[0].headline] = float(mean.mean())
        result["intervals"][runs[0].headline] = bootstrap_interval(mean, images)
        result["signature"] = f"{name}|split:{split}|seeds:{seeds}|n:{len(images)}"
        report["configs"][name] = result
        if before is not None:
            gain = mean - before[1]
            report["differences"][f"{name} - {before[0]}"] = {
                runs[0].headline: float(gain.mean()),
                "interval": bootstrap_interval(gain, images),
            }
        before = name, mean
    return report


def _measured(name: str, overrides: list[str], seed: int, split: str) -> Measurement:
    label = f"{name.replace('/', '-')}-seed{seed}"
    config = load_config(name, [*overrides, f"run.seed={seed}", f"run.name={label}"])
    path = run_path(config)
    if not (path / "finished").exists():
        print(f"{path}", file=sys.stderr)
        train(config, overwrite=True)
        Path(path / "finished").touch()
    return measure(load_run(path), split)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
