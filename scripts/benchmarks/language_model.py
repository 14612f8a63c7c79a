"""Measure the training of a character language model against a plain char-rnn loop and against torch's LSTM alone.

    python scripts/benchmarks/language_model.py FILE [--minutes 10] [--hidden 256] [--layers 2] [--json]

- package: what vqa-rnn lm train does, on one process.
- loop: char-rnn as it is usually written in PyTorch: an embedding, nn.LSTM and a linear layer, called once per character, on
  random chunks that start from zeros.
- lstm: nn.LSTM, the linear layer, the loss and the backward pass on whole chunks, without an optimizer: the limit.

All have the same cell, sizes, batch and learning rate. The rates are measured in turns, and the best round of each counts. Then
the first two train for --minutes each, and predict the last 5% of the text. --minutes 0 only measures the rates. The package's
model also writes --sample characters before, during and after its training; that time is not counted.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vqa_rnn.config.language import LanguageTrainingConfig
from vqa_rnn.engines import Examples, build_optimization, build_trainer
from vqa_rnn.engines.sums import build_sums_evaluator
from vqa_rnn.sequences.language_model import Carried, LanguageModel, bits, loss_sums
from vqa_rnn.sequences.sampling import sample
from vqa_rnn.sequences.text_streams import TextStreams
from vqa_rnn.sequences.text_vocabulary import TextVocabulary, read_text

STREAMS, CHUNK, RATE = 64, 100, 2e-3
SAMPLED_AT = (0.0, 0.02, 0.1, 1.0)  # shares of the training time
CPU = torch.device("cpu")


class CharRnn(nn.Module):
    """The model of the loop."""

    def __init__(self, size: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, hidden)
        self.rnn = nn.LSTM(hidden, hidden, layers, batch_first=True)
        self.output = nn.Linear(hidden, size)

    def forward(self, inputs: torch.Tensor, state: object = None) -> tuple[torch.Tensor, object]:
        """Return the logits after each step, and the last state."""
        states, state = self.rnn(self.embedding(inputs), state)
        return self.output(states), state


class Loop:
    """One character at a time."""

    def __init__(self, entries: np.ndarray, size: int, hidden: int, layers: int) -> None:
        torch.manual_seed(0)
        self.model = CharRnn(size, hidden, layers)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=RATE)
        self.entries = torch.from_numpy(entries.astype(np.int64))

    def step(self) -> None:
        """Train on one chunk."""
        starts = torch.randint(len(self.entries) - CHUNK - 1, (STREAMS,))
        chunk = torch.stack([self.entries[start : start + CHUNK + 1] for start in starts])
        self.optimizer.zero_grad()
        loss, state = torch.zeros(()), None
        for t in range(CHUNK):
            logits, state = self.model(chunk[:, t : t + 1], state)
            loss = loss + functional.cross_entropy(logits[:, 0], chunk[:, t + 1])
        (loss / CHUNK).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

    def bits(self, val: np.ndarray) -> float:
        """Return bits per character of a text."""
        streams, total, state = TextStreams(val, STREAMS, CHUNK), 0.0, None
        self.model.eval()
        with torch.inference_mode():
            for (part,) in streams:
                logits, state = self.model(part.inputs, state)
                total += functional.cross_entropy(logits.transpose(1, 2), part.targets, reduction="sum").item()
        self.model.train()
        return total / streams.num_predictions / math.log(2)


class Package:
    """The training engine of ``vqa-rnn lm train``."""

    def __init__(self, entries: np.ndarray, size: int, hidden: int, layers: int) -> None:
        torch.manual_seed(0)
        self.model = LanguageModel(size, "lstm", hidden, embedding_size=hidden, num_layers=layers)
        self.streams = TextStreams(entries, STREAMS, CHUNK)
        config = LanguageTrainingConfig(
            batch_size=STREAMS, learning_rate=RATE, optimizer={"name": "adam"}, weight_decay=0, schedule={"name": "constant"}
        )
        optimization = build_optimization(
            self.model, config, precision="float32", device=CPU, steps_per_epoch=len(self.streams)
        )
        examples = Examples([str(n) for n in range(STREAMS)])
        trainer = build_trainer(
            Carried(self.model), optimization, config=config, precision="float32", device=CPU, examples=examples
        )
        self._process = trainer._process_function
        self._trainer = trainer
        self._chunks = iter(self.streams)

    def step(self) -> None:
        """Train on one chunk."""
        parts = next(self._chunks, None)
        if parts is None:
            self._chunks = iter(self.streams)
            parts = next(self._chunks)
        self._trainer.state.iteration += 1
        self._process(self._trainer, parts)

    def bits(self, val: np.ndarray) -> float:
        """Return bits per character of a text."""
        evaluator = build_sums_evaluator(self.model, loss_sums(self.model), bits, CPU)
        evaluator.run(TextStreams(val, STREAMS, CHUNK))
        return evaluator.state.metrics["bits"]


class Limit:
    """nn.LSTM alone."""

    def __init__(self, entries: np.ndarray, size: int, hidden: int, layers: int) -> None:
        self.model = CharRnn(size, hidden, layers)
        ((self.chunk,), *_) = TextStreams(entries[: STREAMS * (CHUNK + 1)], STREAMS, CHUNK)

    def step(self) -> None:
        """Train on one chunk."""
        self.model.zero_grad()
        logits, _ = self.model(self.chunk.inputs)
        functional.cross_entropy(logits.flatten(0, 1), self.chunk.targets.flatten()).backward()


def rate(step: Callable[[], None], seconds: float) -> float:
    """Return characters per second."""
    step()
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        step()
        steps += 1
    return steps * STREAMS * CHUNK / (time.perf_counter() - started)


def train(model: Package | Loop, minutes: float, write: Callable[[float], None]) -> None:
    """Train for this long. ``write`` is called with the minutes so far at each of ``SAMPLED_AT``."""
    seconds = 0.0
    for share in SAMPLED_AT:
        started = time.perf_counter() - seconds
        while (seconds := time.perf_counter() - started) < 60 * minutes * share:
            model.step()
        write(seconds / 60)


def written(model: LanguageModel, vocabulary: TextVocabulary, length: int) -> str:
    """Return a sample that starts a line."""
    generator = torch.Generator().manual_seed(0)
    model.eval()
    numbers = sample(model, torch.tensor(vocabulary.encode("\n")), length, generator=generator)
    text = vocabulary.decode(np.fromiter(numbers, np.int64))
    model.train()
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a round")
    parser.add_argument("--sample", type=int, default=200, help="characters of each sample")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    text = read_text(arguments.file)
    vocabulary = TextVocabulary.build(text, "characters")
    entries = vocabulary.encode(text)
    border = len(entries) - len(entries) // 20
    sizes = (len(vocabulary), arguments.hidden, arguments.layers)
    first, last = entries[:border], entries[border:]
    made = {"package": Package(first, *sizes), "loop": Loop(first, *sizes), "lstm": Limit(first, *sizes)}
    best = dict.fromkeys(made, 0.0)
    for _ in range(arguments.rounds):
        for name, each in made.items():
            best[name] = max(best[name], rate(each.step, arguments.seconds))
    result: dict[str, Any] = {f"{name}_characters_per_second": value for name, value in best.items()}
    result |= {"over_the_loop": best["package"] / best["loop"], "of_the_limit": best["package"] / best["lstm"]}
    samples: dict[str, str] = {}
    if arguments.minutes:
        package, loop = Package(first, *sizes), Loop(first, *sizes)

        def write(minutes: float) -> None:
            samples[f"{minutes:.1f} minutes"] = written(package.model, vocabulary, arguments.sample)

        train(package, arguments.minutes, write)
        train(loop, arguments.minutes, lambda minutes: None)
        result |= {"package_bits": package.bits(last), "loop_bits": loop.bits(last)}
    if arguments.json:
        print(json.dumps(result | {"samples": samples}))
    else:
        for name, value in result.items():
            print(f"{name:32} {value:12,.3f}")
        for when, text in samples.items():
            print(f"\nafter {when}:\n{text}")


if __name__ == "__main__":
    main()
