"""Check the answers of a generative head: greedy decoding against the true answer, and beam search against greedy decoding.

    python scripts/generate_check.py runs/shapes_dialog-generative --split test [--rounds 500] [--width 5] [--json]

Greedy decoding is compared with the true answer on all questions with a known answer: how often are the words equal? Beam
search is compared with greedy decoding by log-probability, on the first `--rounds` of these questions, by default on all. Our
beam search keeps the greedy path as a hypothesis, so its log-probability is never lower. A raw beam search of the same width
may be lower where it finds another text.
"""

import vqa_rnn  # noqa: F401 - imported before torch, as it sets how threads wait

# isort: split

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from vqa_rnn.batch import Batch
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.checkpoint import load_model, load_run
from vqa_rnn.cli import print_error
from vqa_rnn.commands.shared import images_of, open_features, store_of_config
from vqa_rnn.data.collate import make_batch
from vqa_rnn.data.encoding import encode_questions, generation_target
from vqa_rnn.engines import choose_device
from vqa_rnn.errors import UserError
from vqa_rnn.models.decoding import Method, Written, beam_search, greedy, join, raw_beam_search
from vqa_rnn.models.generative import GenerativeHead
from vqa_rnn.models.model import Encoded
from vqa_rnn.records import Split
from vqa_rnn.text import split_words

QUESTIONS_AT_ONCE = 256


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", choices=get_args(Split), default="test")
    parser.add_argument("--rounds", type=int, help="questions on which beam search is compared; by default all")
    parser.add_argument("--width", type=int, default=5, help="of the beam")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        report = check(arguments.run, arguments.split, arguments.rounds, arguments.width)
    except UserError as error:
        return print_error(error)
    if arguments.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:28} {value:12.4f}" if isinstance(value, float) else f"{name:28} {value!s:>12}")
    return 0


def check(path: Path, split: Split, rounds: int | None, width: int) -> dict[str, Any]:
    """Write every answer in three ways and compare them."""
    run = load_run(path)
    device = choose_device(run.config.run.device)
    model = load_model(run, device)
    if not isinstance(model.head, GenerativeHead):
        raise UserError(f"{path} does not write: it has model.head.name={run.config.model.head.name}")
    annotations = read_annotations(run.config.dataset, [split])
    questions = [q for q in annotations.split(split) if generation_target(q)]
    if not questions:
        raise UserError(f"{run.config.dataset.name} has no questions with a known answer in its {split} split")
    encoded = encode_questions(questions, run.tokenizer, run.answers)
    features = open_features(store_of_config(run.config, images_of(questions, annotations), run), encoded)

    def parts(first: int, end: int) -> Iterator[tuple[Encoded, Batch]]:
        for start in range(first, end, QUESTIONS_AT_ONCE):
            places = np.arange(start, min(start + QUESTIONS_AT_ONCE, end))
            batch = make_batch(encoded.without_choices(), places, features).to(device)
            yield model.encode(batch), batch

    def write(parts: Iterable[tuple[Encoded, Batch]], method: Method = greedy) -> Written:
        return join([model.write(batch, method, part) for part, batch in parts], device)

    count = len(questions) if rounds is None else min(rounds, len(questions))
    with torch.inference_mode():
        # Each compared question is encoded once, and its answers are written in the same batches. Other batches round
        # differently, so that the same text would have different log-probabilities.
        compared = list(parts(0, count))
        some, others = write(compared), write(parts(count, len(questions)))
        ours = write(compared, partial(beam_search, width=width))
        raw = write(compared, partial(raw_beam_search, width=width))
    texts = [run.tokenizer.decode(row) for row in [*_rows(some), *_rows(others)]]
    equal = [text == " ".join(split_words(generation_target(q) or "")) for text, q in zip(texts, questions, strict=True)]
    differs = np.array([one != other for one, other in zip(_rows(raw), _rows(some), strict=True)])
    return {
        "num_questions": len(questions),
        "greedy_equals_answer": float(np.mean(equal)),
        "num_compared": count,
        "width": width,
        "beam_below_greedy": int((ours.log_p < some.log_p).sum()),
        "beam_above_greedy": int((ours.log_p > some.log_p).sum()),
        "raw_beam_lost": int(((raw.log_p < some.log_p).cpu().numpy() & differs).sum()),
        "log_p_greedy": float(some.log_p.mean()),
        "log_p_beam": float(ours.log_p.mean()),
        "log_p_raw_beam": float(raw.log_p.mean()),
    }


def _rows(written: Written) -> list[list[int]]:
    return [row[:length] for row, length in zip(written.tokens.tolist(), written.lengths.tolist(), strict=True)]


if __name__ == "__main__":
    sys.exit(main())
