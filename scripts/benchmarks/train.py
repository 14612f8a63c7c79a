"""Measure the training speed of a bottom-up top-down model, against a plain loop and against the matrix-multiply rate.

    python scripts/benchmarks/train.py [--steps 4] [--rounds 3] [--json]

The model has the sizes of Anderson et al. 2018 (36 regions x 2048, hidden 1024, 14 words, 3,129 answers) and an LSTM; there are
5.4 questions per image, as in VQA v2. Three loops take turns on the same module, weights, questions and features, all in
memory:

* ours: `QuestionSampler`, the loader and `build_trainer`, in bfloat16, with freed memory kept (`vqa_rnn/memory.py`);
* reference: the loop of public code, in its own process: shuffled questions, features repeated for each question, float32;
* the reference with bfloat16 autocast.

The limit is the time of the matrix products that are left after grouping, each at the bfloat16 rate that this run measures for
its shape. Times are the best of the rounds.
"""

import vqa_rnn  # noqa: F401 - imported before torch, as it sets how threads wait

# isort: split

import argparse
import dataclasses
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any
from unittest import mock

import numpy as np
import torch
from ignite.engine import Engine, Events
from made_up import ANSWERS, AS_TORCH_DOES, FEATURE, REGIONS, VOCABULARY, WORDS, make_questions
from torch.nn.utils import clip_grad_norm_

from vqa_rnn.batch import Batch
from vqa_rnn.config import ModelConfig, TrainingConfig
from vqa_rnn.data.collate import make_batch
from vqa_rnn.data.columns import EncodedQuestions
from vqa_rnn.data.loader import build_loader
from vqa_rnn.data.sampler import QuestionSampler
from vqa_rnn.data.sources import MemoryFeatures
from vqa_rnn.engines import Examples, build_optimization, build_trainer
from vqa_rnn.memory import keep_freed_memory
from vqa_rnn.models import ModelSizes, VqaModel

BATCH, IMAGES_A_BATCH = 512, 95  # 5.4 questions an image
HIDDEN, EMBEDDING = 1024, 300
CPU = torch.device("cpu")

MODEL = ModelConfig.model_validate(
    {
        "question": {"cell": "lstm", "embedding_size": EMBEDDING, "hidden_size": HIDDEN},
        "attention": {"name": "top_down", "hidden_size": HIDDEN},
        "fusion": {"name": "product", "hidden_size": HIDDEN, "dropout": 0.5},
        "head": {"name": "classifier", "hidden_size": 2 * HIDDEN, "dropout": 0.5},
    }
)
TRAINING = TrainingConfig.model_validate(
    {"batch_size": BATCH, "optimizer": {"name": "adamax"}, "weight_decay": 0, "clip_norm": 0.25, "learning_rate": 0.002}
)


def make_data(num_batches: int) -> tuple[EncodedQuestions, np.ndarray]:
    """Return random questions and random features."""
    num_images = num_batches * IMAGES_A_BATCH
    features = np.random.default_rng(1).standard_normal((num_images, REGIONS, FEATURE), dtype=np.float32)
    return make_questions(num_images, num_batches * BATCH), features.astype(np.float16)


def new_model() -> VqaModel:
    """Build a model, with the same weights each time."""
    torch.manual_seed(0)
    return VqaModel(MODEL, ModelSizes(VOCABULARY, FEATURE, ANSWERS))


class Ours:
    """The package's trainer with its loader."""

    def __init__(self, encoded: EncodedQuestions, features: np.ndarray) -> None:
        model = new_model()
        self._batches = QuestionSampler(encoded.image, BATCH, shuffle=True)
        self._loader = build_loader(encoded, MemoryFeatures(features), self._batches)
        self.trainer = build_trainer(
            model,
            build_optimization(model, TRAINING, precision="bfloat16", device=CPU, steps_per_epoch=len(self._batches)),
            config=TRAINING,
            precision="bfloat16",
            device=CPU,
            examples=Examples(encoded.question_ids),
        )
        self.trainer.add_event_handler(Events.EPOCH_STARTED, self._start)

    def _start(self, engine: Engine) -> None:
        self._batches.epoch = engine.state.epoch

    def __call__(self) -> None:
        """Run one round."""
        self.trainer.run(self._loader, max_epochs=1)


class PlainLoop:
    """A training loop as in public code: questions are shuffled, and features are repeated for each question."""

    def __init__(self, encoded: EncodedQuestions, features: np.ndarray, *, bfloat16: bool) -> None:
        self.model = new_model()
        self.optimizer = torch.optim.Adamax(self.model.parameters(), lr=0.002)
        self.encoded, self.features, self.bfloat16 = encoded, features, bfloat16

    def _batches(self) -> Iterator[Batch]:
        order = np.random.default_rng(1).permutation(len(self.encoded))
        for start in range(0, len(order), BATCH):
            questions = order[start : start + BATCH]
            # every question has its own copy of the features of its image
            yield make_batch(_apart(self.encoded), questions, _Repeated(self.features, self.encoded.image))

    def __call__(self) -> None:
        """Run one round."""
        self.model.train()
        for batch in self._batches():
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
                loss = self.model.loss(self.model(batch), batch)
            self.optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(self.model.parameters(), 0.25)
            self.optimizer.step()


class _Repeated(MemoryFeatures):
    def __init__(self, features: np.ndarray, image: np.ndarray) -> None:
        super().__init__(features)
        self._image = image

    def read(self, images: np.ndarray, out: np.ndarray | None = None) -> Any:
        features, num_regions, boxes = super().read(self._image[images])
        return features.astype(np.float32), num_regions, boxes


def _apart(encoded: EncodedQuestions) -> EncodedQuestions:
    """Return the questions, each with its own image."""
    return dataclasses.replace(encoded, image=np.arange(len(encoded)))


def products() -> list[tuple[int, int, int, int]]:
    """Return the matrix products of a step after grouping, forward and backward: count, rows, inner size and columns."""
    steps, n, regions = BATCH * WORDS, BATCH, IMAGES_A_BATCH * REGIONS

    def layer(rows: int, inner: int, columns: int, *, first: bool = False) -> list[tuple[int, int, int, int]]:
        weight_gradient, input_gradient = (1, inner, rows, columns), (1, rows, columns, inner)
        return [(1, rows, inner, columns), weight_gradient, *([] if first else [input_gradient])]

    recurrent = [(WORDS, n, HIDDEN, 4 * HIDDEN), (WORDS, n, 4 * HIDDEN, HIDDEN), (1, HIDDEN, steps, 4 * HIDDEN)]
    return [
        *layer(steps, EMBEDDING, 4 * HIDDEN),
        *recurrent,
        *layer(regions, FEATURE, 2 * HIDDEN, first=True),  # attention, image side: features have no gradient
        *layer(n, HIDDEN, 2 * HIDDEN),  # attention, question side
        *layer(n, HIDDEN, HIDDEN),  # fusion
        *layer(n, FEATURE, HIDDEN),
        *layer(n, HIDDEN, 2 * HIDDEN),  # head
        *layer(n, 2 * HIDDEN, ANSWERS),
    ]


def product_seconds(seconds_each: float = 0.15) -> tuple[float, float]:
    """Return the seconds that a step's products take alone in bfloat16, and their floating-point operations."""
    total, operations = 0.0, 0.0
    for count, rows, inner, columns in products():
        a, b = torch.randn(rows, inner).bfloat16(), torch.randn(columns, inner).bfloat16().t()  # in the layout of nn.Linear
        out = torch.empty(rows, columns, dtype=torch.bfloat16)
        torch.mm(a, b, out=out)
        best, until = float("inf"), time.perf_counter() + seconds_each
        while time.perf_counter() < until:
            started = time.perf_counter()
            torch.mm(a, b, out=out)
            best = min(best, time.perf_counter() - started)
        total += count * best
        operations += count * 2.0 * rows * inner * columns
    return total, operations


class InOwnProcess:
    """A plain loop in its own process, which keeps the defaults of the allocator and of OpenMP, as public code does."""

    def __init__(self, num_batches: int, *, bfloat16: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        settings = (theirs, num_batches, bfloat16, torch.get_num_threads())
        self._process = context.Process(target=_serve, args=settings, daemon=True)
        with mock.patch.dict(os.environ, AS_TORCH_DOES):
            self._process.start()

    def __call__(self) -> None:
        """Run one round."""
        self._pipe.send("go")
        self._pipe.recv()

    def stop(self) -> None:
        """End the process."""
        self._pipe.send("stop")
        self._process.join()


def _serve(pipe: Connection, num_batches: int, bfloat16: bool, threads: int) -> None:
    torch.set_num_threads(threads)
    loop = PlainLoop(*make_data(num_batches), bfloat16=bfloat16)
    while pipe.recv() == "go":
        loop()
        pipe.send("done")


def best_of(loops: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Return the shortest time of each loop. The loops take turns, and the first round is not counted."""
    seconds = dict.fromkeys(loops, float("inf"))
    for number in range(rounds + 1):
        for name, loop in loops.items():
            started = time.perf_counter()
            loop()
            if number:
                seconds[name] = min(seconds[name], time.perf_counter() - started)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4, help="steps a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    keep_freed_memory()
    encoded, features = make_data(arguments.steps)
    loops: dict[str, Callable[[], None]] = {
        "ours": Ours(encoded, features),
        "reference_fp32": InOwnProcess(arguments.steps, bfloat16=False),
        "reference_bf16": InOwnProcess(arguments.steps, bfloat16=True),
    }
    seconds = best_of(loops, arguments.rounds)
    for name in ("reference_fp32", "reference_bf16"):
        loops[name].stop()  # type: ignore[attr-defined]
    product, operations = product_seconds()  # now that nothing else runs
    rate = {name: len(encoded) / value for name, value in seconds.items()}
    limit = BATCH / product
    result = {
        "pairs_per_second": rate["ours"],
        "reference_fp32": rate["reference_fp32"],
        "reference_bf16": rate["reference_bf16"],
        "speedup_over_reference": rate["ours"] / rate["reference_fp32"],
        "speedup_over_reference_bf16": rate["ours"] / rate["reference_bf16"],
        "matmul_gflops": operations / product / 1e9,
        "limit_pairs_per_second": limit,
        "share_of_limit": rate["ours"] / limit,
        "gflop_per_step": operations / 1e9,
        "threads": torch.get_num_threads(),
    }
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:30} {value:10,.2f}")


if __name__ == "__main__":
    main()
