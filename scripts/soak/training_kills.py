"""Kill a training with SIGKILL at random moments, resume it each time, and compare the result with an uninterrupted run.

    python scripts/soak/training_kills.py [--kills 20] [--epochs 8] [--seed 0] [--folder DIR] [key=value …]

Trains easy_vqa and saves the state every second. The final weights, the optimizer, the random number generators, the best model
and `metrics.jsonl` must be equal bit by bit. Prints what is equal; the exit code is 1 if something differs.
"""

import vqa_rnn  # noqa: F401 - imported before torch, as it sets how threads wait

# isort: split

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_intermixed_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        recipe = [
            f"features.store={folder / 'features.h5'}",
            f"run.folder={folder}",
            f"training.max_epochs={arguments.epochs}",
            "training.checkpoint_minutes=0.017",
            "training.ema_decay=0.99",
            *arguments.overrides,
        ]
        run(["preprocess", "easy_vqa", f"features.store={folder / 'features.h5'}"]).wait()
        whole = run(["train", "easy_vqa", *recipe, "run.name=whole", "--overwrite"])
        whole.communicate()
        steps: list[int] = []
        while len(steps) < arguments.kills:
            options = ["--resume"] if steps else ["--overwrite"]
            process = run(["train", "easy_vqa", *recipe, "run.name=killed", *options])
            assert process.stderr is not None
            for line in process.stderr:
                if "training questions and" in line:
                    break
            time.sleep(chance.uniform(0, 3))
            if process.poll() is not None:
                print(f"finished after {len(steps)} kills: give more --epochs")
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            steps.append(newest_step(folder / "killed"))
        print("killed with the last checkpoint at steps", *steps)
        last = run(["train", "easy_vqa", *recipe, "run.name=killed", "--resume"])
        _, errors = last.communicate()
        if last.returncode:
            print(errors)
            return 1
        return compare(folder / "killed", folder / "whole")


def run(arguments: list[str]) -> subprocess.Popen[str]:
    """Start a command of ``vqa-rnn``."""
    return subprocess.Popen([sys.executable, "-m", "vqa_rnn", *arguments], stderr=subprocess.PIPE, text=True)


def newest_step(folder: Path) -> int:
    """Return the step of the newest checkpoint, 0 if there is none."""
    return max((int(path.stem.removeprefix("step-")) for path in (folder / "checkpoints").glob("step-*.pt")), default=0)


def compare(killed: Path, whole: Path) -> int:
    """Print which states and files are equal, and return the exit code."""
    states = [torch.load(path / f"checkpoints/step-{newest_step(path):08d}.pt", weights_only=True) for path in (killed, whole)]
    verdicts = {name: equal(states[0].get(name), states[1][name]) for name in states[1]}
    for name in ("metrics.jsonl", "model.safetensors"):
        verdicts[name] = (killed / name).read_bytes() == (whole / name).read_bytes()
    for name, same in verdicts.items():
        print(f"{name}: {'equal' if same else 'DIFFERENT'}")
    return 0 if all(verdicts.values()) else 1


def equal(one: Any, other: Any) -> bool:
    """Return whether two nested values are equal bit by bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


if __name__ == "__main__":
    sys.exit(main())
