"""Measure two trainings at the same time on one machine, each against a training that runs alone.

    python scripts/benchmarks/side_by_side.py [--seconds 6] [--models easy_vqa daquar bottom_up] [--json]

Each training is its own process with the model and batch size of a recipe, on random questions and features: ``easy_vqa``,
``daquar``, and ``bottom_up``, the recipe ``vqa`` with 36 regions x 2048. A row has the questions per second of one training
alone, and the share of it that the slower of two reaches. ``torch alone`` uses torch's default number of threads and way of
waiting, ``vqa-rnn`` uses ours; ``a worker each`` loads batches in another process.
"""

import vqa_rnn  # noqa: F401 - imported before torch, as it sets how threads wait

# isort: split

import argparse
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import torch
from made_up import AS_TORCH_DOES, make_questions

from vqa_rnn.config.files import load_config
from vqa_rnn.data.loader import build_loader
from vqa_rnn.data.sampler import QuestionSampler
from vqa_rnn.data.sources import MemoryFeatures
from vqa_rnn.engines import Examples, build_optimization, build_trainer, training_rate
from vqa_rnn.memory import keep_freed_memory
from vqa_rnn.models import ModelSizes, VqaModel, count_products
from vqa_rnn.threads import choose_threads

CPU = torch.device("cpu")
# recipe, regions, features, words of the vocabulary, answers, words of a question, images, questions
MODELS: dict[str, tuple[str, int, int, int, int, int, int, int]] = {
    "easy_vqa": ("easy_vqa", 16, 80, 30, 13, 8, 4000, 38_400),
    "daquar": ("daquar", 16, 320, 900, 400, 11, 700, 6400),
    "bottom_up": ("vqa", 36, 2048, 20_000, 3129, 14, 950, 5120),
}


def train(name: str, num_workers: int, seconds: float, as_torch_does: bool) -> float:
    """Prepare a training, print "ready", wait for a line on stdin, train, and return questions per second."""
    recipe, regions, feature, vocabulary, answers, words, num_images, num_questions = MODELS[name]
    config = load_config(recipe)
    sizes = ModelSizes(vocabulary, feature, answers)
    if not as_torch_does:
        torch.set_num_threads(choose_threads(count_products(config.model, sizes, config.training.batch_size)))
    keep_freed_memory()
    torch.manual_seed(0)
    encoded = make_questions(num_images, num_questions, words=words, vocabulary=vocabulary, answers=answers)
    features = np.random.default_rng(0).standard_normal((num_images, regions, feature), dtype=np.float32).astype(np.float16)
    model = VqaModel(config.model, sizes)
    sampler = QuestionSampler(encoded.image, config.training.batch_size, shuffle=True)
    trainer = build_trainer(
        model,
        build_optimization(model, config.training, precision="float32", device=CPU, steps_per_epoch=len(sampler)),
        config=config.training,
        precision="float32",
        device=CPU,
        examples=Examples(encoded.question_ids),
    )
    loader = build_loader(encoded, MemoryFeatures(features), sampler, num_workers=num_workers)

    print("ready", flush=True)
    sys.stdin.readline()
    return training_rate(trainer, loader, seconds, CPU)


def rates(count: int, name: str, num_workers: int, seconds: float, as_torch_does: bool) -> list[float]:
    """Return the questions per second of several trainings at the same time."""
    command = [sys.executable, __file__, "--train", name, "--workers", str(num_workers), "--seconds", str(seconds)]
    environment = {**os.environ, **AS_TORCH_DOES} if as_torch_does else None
    if as_torch_does:
        command.append("--as-torch-does")
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) for _ in range(count)]
    for process in processes:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit(f"{name} did not start")
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [float(process.communicate()[0]) for process in processes]


def measure(name: str, num_workers: int, seconds: float, as_torch_does: bool) -> dict[str, Any]:
    (alone,) = rates(1, name, num_workers, seconds, as_torch_does)
    both = rates(2, name, num_workers, seconds, as_torch_does)
    return {
        "model": name,
        "how": "torch alone" if as_torch_does else "vqa-rnn",
        "workers": num_workers,
        "alone": alone,
        "of_two": both,
        "share": min(both) / alone,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--train", choices=MODELS, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--as-torch-does", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        print(train(arguments.train, arguments.workers, arguments.seconds, arguments.as_torch_does))
        return
    rows = []
    for name in arguments.models:
        for as_torch_does, num_workers in ((True, 0), (False, 0), (False, 1)):
            row = measure(name, num_workers, arguments.seconds, as_torch_does)
            rows.append(row)
            if not arguments.json:
                how = row["how"] + (", a worker each" if num_workers else "")
                rate = f"{row['alone']:8,.0f} questions/s alone, the slower of two {min(row['of_two']):8,.0f}"
                print(f"{name:10} {how:24} {rate} ({row['share']:.2f})", flush=True)
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
