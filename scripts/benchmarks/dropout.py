"""Measure the time of dropout on a CPU against torch's own, forward and backward.

    python scripts/benchmarks/dropout.py [--rounds 10] [--json]

The tensor is (64, 100, 128), as in each step of MAC, on one thread. The two take turns, and the best round of each counts.
"""

import argparse
import json
import time

import torch
from torch import nn

from vqa_rnn.dropout import Dropout

SHAPE, STEPS = (64, 100, 128), 10


def milliseconds(layer: nn.Module, inputs: torch.Tensor) -> float:
    """Return the mean time of one forward and one backward pass."""
    started = time.perf_counter()
    for _ in range(STEPS):
        layer(inputs).sum().backward()
    return 1000 * (time.perf_counter() - started) / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = {}
    for dtype in (torch.float32, torch.bfloat16):
        inputs = torch.randn(SHAPE, dtype=dtype, requires_grad=True)
        ways = {"torch": nn.Dropout(0.15), "ours": Dropout(0.15)}
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(arguments.rounds):
            for name, layer in ways.items():
                best[name] = min(best[name], milliseconds(layer, inputs))
        kind = str(dtype).removeprefix("torch.")
        result |= {f"{kind}_{name}_ms": value for name, value in best.items()}
        result[f"{kind}_share"] = best["ours"] / best["torch"]
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:20} {value:8.2f}")


if __name__ == "__main__":
    main()
