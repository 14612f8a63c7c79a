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
from folds import scores_by_seed

from vqa_rnn.cli import print_error
from vqa_rnn.data.sampler import ImageGroupedBatches
from vqa_rnn.errors import UserError
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
    how = (arguments.config, arguments.overrides, arguments.folds, arguments.seeds, "none")
    try:
        grouped = scores_by_seed(*how)
        with patch("vqa_rnn.commands.train.ImageGroupedBatches", ungrouped):
            apart = scores_by_seed(arguments.config, [*arguments.overrides, "run.folder=runs/ungrouped"], *how[2:])
    except UserError as error:
        return print_error(error)
    images = [question.image_id for question in grouped[0].questions]
    with_grouping, without = (np.mean([measured.scores for measured in runs], axis=0) for runs in (grouped, apart))
    gain = with_grouping - without
    report = {
        "grouped": float(with_grouping.mean()),
        "grouped_by_seed": [float(measured.scores.mean()) for measured in grouped],
        "ungrouped": float(without.mean()),
        "ungrouped_by_seed": [float(measured.scores.mean()) for measured in apart],
        "difference": float(gain.mean()),
        "interval": bootstrap_interval(gain, images),
        "num_questions": len(images),
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
