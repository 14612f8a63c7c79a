"""Does grouping questions by image cost accuracy? Cross-validates a config both ways, same seeds, and pairs the answers.

    python scripts/grouping.py daquar dataset.root=data/daquar [--seeds 3] [--json]

Ungrouped (training.group_by_image=false), every question is shuffled by itself, as in most public code; all else is equal.
Finished folds are not trained again.
"""

import argparse
import json
import logging
import sys

from repeats import Repeats, repeat

from vqa_rnn.cli import print_error
from vqa_rnn.errors import Interrupted, UserError
from vqa_rnn.metrics.intervals import bootstrap_interval


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_intermixed_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    options = [*arguments.overrides, "run.folder=runs/grouping"]

    def train(label: str, *option: str) -> Repeats:
        folds, seeds = arguments.folds, arguments.seeds
        return repeat(label, arguments.config, [*options, *option], folds, seeds, "test", with_floors=False)

    try:
        grouped = train("grouped")
        apart = train("ungrouped", "training.group_by_image=false")
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
