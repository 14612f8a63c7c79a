"""Measure how long it takes to score VisDial's validation split.

    python scripts/benchmarks/score_visdial.py [--dialogs 2064] [--json]

Makes up dialogs of 10 rounds with 100 options, relevance of one round each and a random submission, and scores it with all six
metrics and their intervals. Reading the files is timed separately. Target: under 3 s without reading.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from vqa_rnn.annotations.visdial import read_ranks
from vqa_rnn.commands.score.visdial import read_truth, score_ranks

ROUNDS, OPTIONS = 10, 100


def make_files(folder: Path, num_dialogs: int) -> None:
    """Write dialogs, their relevance and a submission in the official formats."""
    draws = np.random.default_rng(0)
    options = list(range(OPTIONS))
    dialogs, dense, results = [], [], []
    for image_id in range(num_dialogs):
        truths = draws.integers(OPTIONS, size=ROUNDS).tolist()
        rounds = [{"question": 0, "answer": truth, "gt_index": truth, "answer_options": options} for truth in truths]
        dialogs.append({"image_id": image_id, "caption": "a caption", "dialog": rounds})
        relevance = draws.choice([0, 0, 0, 0.2, 0.4, 1], size=OPTIONS).tolist()
        dense.append({"image_id": image_id, "round_id": int(draws.integers(ROUNDS)) + 1, "gt_relevance": relevance})
        for number in range(1, ROUNDS + 1):
            ranks = (draws.permutation(OPTIONS) + 1).tolist()
            results.append({"image_id": image_id, "round_id": number, "ranks": ranks})
    data = {"questions": ["what is it"], "answers": [f"answer {i}" for i in options], "dialogs": dialogs}
    contents = {"dialogs": {"split": "made up", "data": data}, "dense": dense, "results": results}
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogs", type=int, default=2064)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_files(folder, arguments.dialogs)
        started = time.perf_counter()
        truth = read_truth(folder / "dialogs.json", folder / "dense.json")
        keys, ranks = read_ranks(folder / "results.json")
        read = time.perf_counter()
        report = score_ranks(truth, keys, ranks, folder / "results.json")
        result = {
            "num_ranks": sum(map(len, ranks)),
            "seconds_to_read": read - started,
            "seconds_to_score": time.perf_counter() - read,
            "mean_rank": report["mean_rank"],
        }
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:18} {value:12,}" if isinstance(value, int) else f"{name:18} {value:12,.3f}")


if __name__ == "__main__":
    main()
