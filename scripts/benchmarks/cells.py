"""Measure the time of each recurrent cell relative to torch.nn.LSTM, forward and backward.

    python scripts/benchmarks/cells.py [--batch 256] [--length 15] [--input 300] [--hidden 512] [--threads N] [--json]

Sequences have equal lengths, which suit torch's kernel best, or lengths from 3 to the longest, for which torch packs. All in
float32. Each round times all cells one after the other, and torch.nn.LSTM twice. A ratio is the median over the rounds of a
cell's time divided by the time of torch.nn.LSTM in the same round. The ratio of torch's second time shows the measurement
error.

The limit is the time of the cell's matrix products alone at the rate of torch.matmul, measured in the same round at the size of
a step. torch.nn.LSTM can be faster than this limit: on some processors its kernel multiplies twice as fast as torch.matmul,
which the other cells use.
"""

import vqa_rnn  # noqa: F401 - imported before torch, as it sets how threads wait

# isort: split

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from vqa_rnn.memory import keep_freed_memory
from vqa_rnn.rnn import CELLS, RecurrentNetwork

TORCH, AGAIN, PRODUCT = "torch.nn.LSTM", "torch.nn.LSTM again", "product"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--length", type=int, default=15)
    parser.add_argument("--input", type=int, default=300)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7, choices=range(1, 100), metavar="N")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    torch.manual_seed(0)
    inputs = torch.randn(arguments.batch, arguments.length, arguments.input, requires_grad=True)
    lengths = torch.randint(min(3, arguments.length), arguments.length + 1, (arguments.batch,))
    lengths[0] = arguments.length
    theirs = nn.LSTM(arguments.input, arguments.hidden, batch_first=True)
    ours = {cell: RecurrentNetwork(cell, arguments.input, arguments.hidden) for cell in CELLS}

    def packed() -> Tensor:
        states, _ = theirs(pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False))
        return pad_packed_sequence(states, batch_first=True)[0]

    def run(cell: str, known: Tensor | None) -> Callable[[], Tensor]:
        return lambda: ours[cell](inputs, known)[0]

    equal: dict[str, Callable[[], Tensor]] = {TORCH: lambda: theirs(inputs)[0]}
    unequal: dict[str, Callable[[], Tensor]] = {TORCH: packed}
    for cell in CELLS:
        equal[cell], unequal[cell] = run(cell, None), run(cell, lengths)
    equal[AGAIN], unequal[AGAIN] = equal[TORCH], packed
    step = nn.Linear(arguments.hidden, 4 * arguments.hidden, bias=False)
    states = torch.randn(arguments.batch, arguments.hidden, requires_grad=True)

    def product() -> Tensor:
        return torch.stack([step(states).sum() for _ in range(arguments.length)])

    equal[PRODUCT] = product
    found = {"equal": measure(equal, arguments.rounds), "unequal": measure(unequal, arguments.rounds)}
    seconds_per_weight = found["equal"].pop(PRODUCT)["seconds"] / step.weight.numel()
    for name, times in found["equal"].items():
        weights = ours.get(name, theirs).parameters()
        times["limit"] = seconds_per_weight * sum(weight.numel() for weight in weights if weight.dim() == 2)
    if arguments.json:
        print(json.dumps(found))
        return 0
    table = Table("", "equal lengths", "ms", "limit, ms", "unequal lengths", "ms")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, times in found["equal"].items():
        others = found["unequal"][name]
        columns = [f"{times['ratio']:.2f}", *(f"{1000 * times[key]:.0f}" for key in ("seconds", "limit"))]
        table.add_row(name, *columns, f"{others['ratio']:.2f}", f"{1000 * others['seconds']:.0f}")
    Console().print(table)
    return 0


def measure(functions: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, dict[str, float]]:
    """Return the median time of each function, and the median of its ratio to torch's."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds + 1):
        for name, function in functions.items():
            started = time.perf_counter()
            function().sum().backward()
            times[name].append(time.perf_counter() - started)
    kept = {name: each[1:] for name, each in times.items()}  # the first round is the warm-up
    return {
        name: {
            "ratio": statistics.median(mine / theirs for mine, theirs in zip(each, kept[TORCH], strict=True)),
            "seconds": statistics.median(each),
        }
        for name, each in kept.items()
    }


if __name__ == "__main__":
    sys.exit(main())
