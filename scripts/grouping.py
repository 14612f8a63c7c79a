"""Does grouping questions by image cost accuracy? Cross-validates a config both ways, same seeds, and pairs the answers.

    python scripts/grouping.py daquar dataset.root=data/daquar [--seeds 3] [--json]

Ungrouped, every question is shuffled on its own, as in most public code; all else is equal. Finished folds are not trained
again.
"""

import argparse
import functools
import json
import logging
import sys
from typing import Any
from unittest.mock import patch

import numpy as np
from repeats import repeat

from vqa_rnn.cli import print_error
from vqa_rnn.data.sampler import ImageGroupedBatches
from vqa_rnn.errors import Interrupted, UserError
from vqa_rnn.metrics.intervals import bootstrap_interval


@functools.wraps(ImageGroupedBatches)
def ungrouped(image: Any, *arguments: Any, shuffle: bool, **options: Any) -> ImageGroupedBatches:
    """Every question its own group, in training."""
    return ImageGroupedBatches(np.arange(len(image)) if shuffle else image, *arguments, shuffle=shuffle, **options)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_intermixed_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    how = (arguments.config, [*arguments.overrides, "run.folder=runs/grouping"], arguments.folds, arguments.seeds, "test")
    try:
        grouped = repeat("grouped", *how, with_floors=False)
        with patch("vqa_rnn.commands.train.ImageGroupedBatches", ungrouped):
            apart = repeat("ungrouped", *how, with_floors=False)
    except UserError as error:
        return print_error(error)
    except Interrupted as error:
        return error.exit_code
    gain = grouped.measured.scores - apart.measured.scores
    report = {
        "grouped": float(grouped.measured.scores.mean()),
        "grouped_by_seed": grouped.by_seed,
        "ungrouped": float(apart.measured.scores.mean()),
        "ungrouped_by_seed": apart.by_seed,
        "difference": float(gain.mean()),
        "interval": bootstrap_interval(gain, grouped.images),
        "num_questions": len(gain),
    }
    if arguments.json:
        print(json.dumps(report))
    else:
        low, high = (100 * value for value in report["interval"])
        print(
            f"grouped {100 * report['grouped']:.2f}%, ungrouped {100 * report['ungrouped']:.2f}%, paired difference "
            f"{100 * report['difference']:+.2f} points [{low:+.2f}, {high:+.2f}] ({arguments.seeds} seeds)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
