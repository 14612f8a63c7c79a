"""Measure how long the prompt takes to answer a question about an image that is already loaded.

    python scripts/benchmarks/ask.py runs/demo IMAGE [--questions 500] [--json]

Asks one question at a time with ``Session.ask``, which the prompt calls. The first ten questions are not counted.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from vqa_rnn.answering.session import Session

WORDS = ["what", "color", "is", "the", "shape", "in", "image", "a", "does", "there", "contain", "circle", "red", "not", "any"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    session = Session(arguments.run)
    started = time.perf_counter()
    session.see(arguments.image)
    image_ms = 1000 * (time.perf_counter() - started)
    generator = np.random.default_rng(0)
    times_ms = []
    for _ in range(arguments.questions + 10):
        question = " ".join(generator.choice(WORDS, size=generator.integers(3, 13)))
        choices = ("yes", "no") if session.needs_choices else ()
        started = time.perf_counter()
        session.ask(question, choices=choices)
        times_ms.append(1000 * (time.perf_counter() - started))
    median, late = np.percentile(times_ms[10:], [50, 99])
    result = {"median_ms": median, "p99_ms": late, "image_ms": image_ms, "questions": arguments.questions}
    if arguments.json:
        print(json.dumps(result))
    else:
        print(f"a question: {median:.1f} ms median, {late:.1f} ms at the 99th percentile; an image: {image_ms:.0f} ms")


if __name__ == "__main__":
    main()
