"""A memory task: recall the first symbol of a sequence after a delay of blanks.

    python scripts/recall.py                       # every cell, delay 50, three seeds
    python scripts/recall.py elman lstm --delay 100 --start orthogonal

A sequence is one of eight symbols followed by blanks; the answer is computed from the last state. This is a minimal version of
the tasks of Hochreiter and Schmidhuber 1997 (section 5) and Arjovsky et al. 2016 (section 5.1). Chance is 1 in 8. There are
only eight sequences: each cell is trained on random draws of them and tested on 2,000 other draws. The task tests memory, not
generalisation.
"""

import vqa_rnn  # noqa: F401 - imported before torch, as it sets how threads wait

# isort: split

import argparse
import json
import sys

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from vqa_rnn.rnn import CELLS, RecurrentNetwork

SYMBOLS, SIZE, BATCH = 8, 64, 64


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", metavar="CELL", help=f"of {', '.join(CELLS)}; by default all")
    parser.add_argument("--delay", type=_count, default=50, help="blanks after the symbol (50)")
    parser.add_argument("--steps", type=_count, default=1000, help="training steps (1000)")
    parser.add_argument("--seeds", type=_count, default=3, help="trainings of each cell (3)")
    parser.add_argument("--start", choices=["uniform", "orthogonal"], default="uniform", help="of the recurrent matrices")
    parser.add_argument("--forget-bias", type=float, help="of the LSTM (3, which remembers for about 20 steps at first)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    unknown = set(arguments.cells) - set(CELLS)
    if unknown:
        parser.error(f"unknown cells {', '.join(sorted(unknown))}; there are {', '.join(CELLS)}")
    cells = arguments.cells or list(CELLS)
    if arguments.forget_bias is not None and "lstm" not in cells:
        parser.error("--forget-bias is for lstm, which is not among the cells")
    found: dict[str, list[float]] = {cell: [] for cell in cells}
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("training", total=len(cells) * arguments.seeds)
        for cell in cells:
            for seed in range(arguments.seeds):
                found[cell].append(recall(cell, arguments, seed))
                progress.advance(task)
    if arguments.json:
        print(json.dumps({"delay": arguments.delay, "chance": 1 / SYMBOLS, "cells": found}))
        return 0
    table = Table("cell", "mean", *(f"seed {seed}" for seed in range(arguments.seeds)))
    for column in table.columns[1:]:
        column.justify = "right"
    for cell, scores in found.items():
        table.add_row(cell, f"{100 * sum(scores) / len(scores):.1f}%", *(f"{100 * score:.1f}%" for score in scores))
    Console().print(table, f"chance {100 / SYMBOLS:.1f}%; delay {arguments.delay}, {arguments.steps} steps", highlight=False)
    return 0


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 is needed, not '{text}'")
    return int(text)


def recall(cell: str, task: argparse.Namespace, seed: int) -> float:
    """Train a cell and return its accuracy."""
    torch.manual_seed(seed)
    embedding = nn.Embedding(SYMBOLS + 1, SIZE)
    forget_bias = 3.0 if task.forget_bias is None else task.forget_bias
    bias = forget_bias if cell == "lstm" else None
    network = RecurrentNetwork(cell, SIZE, SIZE, recurrent_start=task.start, forget_bias=bias)
    output = nn.Linear(SIZE, SYMBOLS)
    parameters = [*embedding.parameters(), *network.parameters(), *output.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=2e-3)

    def answer(symbols_N: Tensor) -> Tensor:
        tokens_NT = torch.full((len(symbols_N), 1 + task.delay), SYMBOLS)
        tokens_NT[:, 0] = symbols_N
        return output(network.last_output(network(embedding(tokens_NT))[1]))

    for _ in range(task.steps):
        symbols_N = torch.randint(SYMBOLS, (BATCH,))
        optimizer.zero_grad()
        functional.cross_entropy(answer(symbols_N), symbols_N).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    with torch.inference_mode():
        symbols_N = torch.randint(SYMBOLS, (2000,))
        return float((answer(symbols_N).argmax(dim=1) == symbols_N).float().mean())


if __name__ == "__main__":
    sys.exit(main())
