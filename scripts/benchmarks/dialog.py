"""Measure what is saved by reading each distinct answer option once, per batch in training and per split in evaluation.

    python scripts/benchmarks/dialog.py [--dialogs 2064] [--strings FILE] [--history none] [--hidden 512] [--json]

Rounds have 100 options, as in VisDial: some are popular, the others are drawn from all answers. With `--strings`, questions and
answers are those of a VisDial file, and a round has the options of one of its rounds, with each option that occurs only once in
the file replaced by a random answer; the training step uses the file's first dialogs unchanged. Otherwise words are made up and
40 options are popular. Questions and options are read by LSTMs of the sizes of Das et al. 2017, with one random vector per
image; `--history hierarchical` adds the cost of the history, which is the same for all ways. All have the same weights, in
float32.

Training, in steps of 32 dialogs with the package's trainer:

* ours: each distinct option of the step once;
* padded: every option of every round, padded to 20 tokens; in four parts, as all at once needs too much memory;
* unpadded: every option of every round, at its length; in four parts.

Evaluation of all dialogs:

* ours: the evaluator, which reads each distinct option of the split once;
* a batch: each distinct option once in each batch of 1,024 rounds, on a tenth of the dialogs and scaled;
* an occurrence: every option of every round, at its length and padded to 20 tokens, on 20 dialogs and scaled.
"""

import vqa_rnn  # noqa: F401 - imported before torch, as it sets how threads wait

# isort: split

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from encode import make_texts
from ignite.engine import Events

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.batch import Batch
from vqa_rnn.config import ModelConfig, TrainingConfig
from vqa_rnn.data.collate import make_batch
from vqa_rnn.data.columns import EncodedQuestions
from vqa_rnn.data.encoding import encode_questions
from vqa_rnn.data.loader import build_loader
from vqa_rnn.data.sampler import QuestionSampler
from vqa_rnn.data.sources import MemoryFeatures
from vqa_rnn.engines import Examples, build_evaluator, build_optimization, build_trainer
from vqa_rnn.memory import keep_freed_memory
from vqa_rnn.models import ModelSizes, VqaModel
from vqa_rnn.records import Question, Round
from vqa_rnn.text import WordTokenizer

ROUNDS, OPTIONS, TOKENS, FEATURE = 10, 100, 20, 2048
DIALOGS_A_STEP, PARTS = 32, 4
ROUNDS_A_BATCH, SLOW_DIALOGS = 1024, 20
NUM_QUESTIONS, NUM_ANSWERS, POPULAR = 45_000, 34_800, 300
CPU = torch.device("cpu")
TRAINING = TrainingConfig.model_validate({"batch_size": DIALOGS_A_STEP * ROUNDS, "optimizer": {"name": "adam"}})


class Strings:
    """Questions, answers, and the options of rounds."""

    def __init__(self, path: Path | None) -> None:
        self.dialogs: list[dict[str, Any]] = []
        if path is None:
            generator = random.Random(0)
            self.questions, self.answers = make_texts(NUM_QUESTIONS, 6, generator), make_texts(NUM_ANSWERS, 6, generator)
            rounds = [generator.sample(range(POPULAR), 40) + [-1] * 60 for _ in range(1000)]
        else:
            data = json.loads(path.read_text(encoding="utf-8"))["data"]
            self.questions, self.answers = data["questions"], data["answers"]
            self.dialogs = data["dialogs"]
            rounds = [turn["answer_options"] for dialog in self.dialogs for turn in dialog["dialog"]]
            times = Counter(option for options in rounds for option in options)
            rounds = [[option if times[option] > 1 else -1 for option in options] for options in rounds]
        self.rounds = np.array(rounds)  # -1: any answer

    def draw(self, generator: np.random.Generator) -> dict[str, Any]:
        """Draw a round: the popular options of a random round, the other options from all answers, in random order."""
        options = self.rounds[generator.integers(len(self.rounds))]
        drawn = generator.integers(len(self.answers), size=OPTIONS)
        return {
            "question": int(generator.integers(len(self.questions))),
            "answer_options": generator.permutation(np.where(options < 0, drawn, options)).tolist(),
            "gt_index": int(generator.integers(OPTIONS)),
        }


def make_dialogs(strings: Strings, count: int) -> list[Question]:
    """Return dialogs of ten rounds with options as in VisDial."""
    generator = np.random.default_rng(0)
    return as_questions(strings, [[strings.draw(generator) for _ in range(ROUNDS)] for _ in range(count)])


def as_questions(strings: Strings, dialogs: list[list[dict[str, Any]]]) -> list[Question]:
    """Convert rounds in the format of the file to questions with their history."""
    found = []
    for number, rounds in enumerate(dialogs):
        history: list[Round] = []
        for i, turn_of_file in enumerate(rounds):
            options, correct = turn_of_file["answer_options"], turn_of_file["gt_index"]
            turn = Round(strings.questions[turn_of_file["question"]], strings.answers[options[correct]])
            found.append(
                Question(
                    question_id=f"{number}-{i}",
                    image_id=str(number),
                    question=turn.question,
                    split="val",
                    human_answers=(turn.answer,),
                    choices=tuple(strings.answers[option] for option in options),
                    correct_choice=correct,
                    caption=strings.questions[number],
                    history=tuple(history),
                    dialog_id=str(number),
                )
            )
            history.append(turn)
    return found


def new_model(vocabulary_size: int, hidden: int, history: str) -> VqaModel:
    """Build a model, with the same weights each time."""
    torch.manual_seed(0)
    config = {
        "question": {"embedding_size": 300, "hidden_size": hidden},
        "history": {"name": history},
        "fusion": {"name": "concat", "hidden_size": hidden},
        "head": {"name": "choice"},
    }
    return VqaModel(ModelConfig.model_validate(config), ModelSizes(vocabulary_size, FEATURE, 0))


def every_option(batch: Batch, *, padded: bool) -> Batch:
    """Return the batch with every option of every round as a text of its own."""
    texts = batch.choice_index.flatten()
    tokens = torch.nn.functional.pad(batch.choice_tokens, (0, TOKENS))[:, :TOKENS][texts]
    lengths = torch.full_like(texts, TOKENS) if padded else batch.choice_lengths[texts].clamp(max=TOKENS)
    return replace(
        batch, choice_tokens=tokens, choice_lengths=lengths, choice_index=torch.arange(len(texts)).view_as(batch.choice_index)
    )


def as_it_is(batch: Batch) -> Batch:
    """Return the batch with its distinct options."""
    return batch


def padded(batch: Batch) -> Batch:
    """Return the batch with every option of every round, as 20 tokens."""
    return every_option(batch, padded=True)


def unpadded(batch: Batch) -> Batch:
    """Return the batch with every option of every round, at its length."""
    return every_option(batch, padded=False)


def training_step(
    encoded: EncodedQuestions, source: MemoryFeatures, model: VqaModel, parts: int, change: Callable[[Batch], Batch]
) -> Callable[[], float]:
    """Return a function that makes a training step over all questions in several parts, and returns the seconds it took."""
    trainer = build_trainer(
        model,
        build_optimization(model, TRAINING, precision="float32", device=CPU, steps_per_epoch=1000),
        config=TRAINING,
        precision="float32",
        device=CPU,
        examples=Examples(encoded.question_ids),
    )
    batches = QuestionSampler(encoded.image, len(encoded), shuffle=False, accumulation=parts)
    loader = build_loader(encoded, source, batches)

    def step() -> float:
        started = time.perf_counter()
        trainer.run([tuple(change(part) for part in parts) for parts in loader], max_epochs=trainer.state.epoch + 1)
        return time.perf_counter() - started

    return step


def measure_training(
    encoded: EncodedQuestions, source: MemoryFeatures, make_model: Callable[[], VqaModel], rounds: int
) -> dict[str, float]:
    """Measure rounds per second. The ways take turns, and the best time of each counts; ours warms up for one step."""
    steps = {
        "ours": training_step(encoded, source, make_model(), 1, as_it_is),
        "padded": training_step(encoded, source, make_model(), PARTS, padded),
        "unpadded": training_step(encoded, source, make_model(), PARTS, unpadded),
    }
    steps["ours"]()
    seconds = dict.fromkeys(steps, float("inf"))
    for _ in range(rounds):
        for name, step in steps.items():
            seconds[name] = min(seconds[name], step())
    distinct = np.unique(encoded.choices.values)
    found: dict[str, float] = {
        "train_options_a_step": encoded.choices.values.size,
        "train_distinct_options_a_step": len(distinct),
        "train_tokens_of_distinct_options": int(encoded.tokens.lengths(distinct).sum()),
    }
    found |= {f"train_rounds_per_second_{name}": len(encoded) / each for name, each in seconds.items()}
    return found | {f"train_speedup_over_{name}": seconds[name] / seconds["ours"] for name in ("padded", "unpadded")}


def measure_evaluation(
    encoded: EncodedQuestions, source: MemoryFeatures, make_model: Callable[[], VqaModel]
) -> dict[str, float]:
    """Measure the seconds for the whole split, and the largest difference between the scores of two ways."""
    model = make_model().eval()
    dialogs = len(encoded) // ROUNDS
    evaluator = build_evaluator(model, encoded, device=CPU)
    first: list[torch.Tensor] = []
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: first or first.append(engine.state.output[0]))

    def ours() -> float:
        started = time.perf_counter()
        evaluator.run(build_loader(encoded, source, QuestionSampler(encoded.image, ROUNDS_A_BATCH, shuffle=False)))
        return time.perf_counter() - started

    def scaled(count: int, change: Callable[[Batch], Batch]) -> tuple[float, torch.Tensor]:
        started = time.perf_counter()
        scores = []
        with torch.inference_mode():
            for start in range(0, count * ROUNDS, ROUNDS_A_BATCH):
                rows = np.arange(start, min(start + ROUNDS_A_BATCH, count * ROUNDS))
                scores.append(model(change(make_batch(encoded, rows, source))))
        return (time.perf_counter() - started) * dialogs / count, torch.cat(scores)

    few, some = min(SLOW_DIALOGS, dialogs), max(1, dialogs // 10)
    scaled(1, as_it_is)
    unpadded_seconds, scores = scaled(few, unpadded)
    seconds = {
        "ours": ours(),
        f"a_batch_scaled_from_{some}_dialogs": scaled(some, as_it_is)[0],
        f"an_occurrence_scaled_from_{few}_dialogs": unpadded_seconds,
        f"an_occurrence_padded_scaled_from_{few}_dialogs": scaled(few, padded)[0],
    }
    found: dict[str, float] = {
        "evaluation_dialogs": dialogs,
        "evaluation_options": encoded.choices.values.size,
        "evaluation_distinct_options": len(np.unique(encoded.choices.values)),
    }
    found |= {f"evaluation_seconds_{name}": each for name, each in seconds.items()}
    for name, each in list(seconds.items())[1:]:
        found[f"evaluation_speedup_over_{name.partition('_scaled')[0]}"] = each / seconds["ours"]
    compared = min(len(scores), len(first[0]))
    return found | {"largest_difference_of_a_score": float((scores[:compared] - first[0][:compared]).abs().max())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogs", type=int, default=2064, help="dialogs of evaluation")
    parser.add_argument("--strings", type=Path, help="a VisDial file whose dialogs, questions and answers are used")
    parser.add_argument("--history", default="none", help="history encoder of the model")
    parser.add_argument("--hidden", type=int, default=512, help="size of the recurrent states")
    parser.add_argument("--rounds", type=int, default=1, help="training steps of each way, of which the best counts")
    parser.add_argument("--only", choices=["training", "evaluation"], help="leave the other out")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    keep_freed_memory()
    strings = Strings(arguments.strings)
    tokenizer = WordTokenizer.build([*strings.questions, *strings.answers], min_count=1, max_tokens=TOKENS)
    number = max(arguments.dialogs, DIALOGS_A_STEP)
    source = MemoryFeatures(np.random.default_rng(1).standard_normal((number, 1, FEATURE), dtype=np.float32))

    def encode(questions: list[Question]) -> EncodedQuestions:
        return encode_questions(questions, tokenizer, AnswerVocabulary([]))

    def make_model() -> VqaModel:
        return new_model(tokenizer.vocabulary_size, arguments.hidden, arguments.history)

    result: dict[str, Any] = {"threads": torch.get_num_threads()}
    result |= {"hidden": arguments.hidden, "history": arguments.history}
    if arguments.only != "evaluation":
        rounds_of_file = [dialog["dialog"] for dialog in strings.dialogs[:DIALOGS_A_STEP]]
        questions = as_questions(strings, rounds_of_file) if rounds_of_file else make_dialogs(strings, DIALOGS_A_STEP)
        result |= measure_training(encode(questions), source, make_model, arguments.rounds)
    if arguments.only != "training":
        result |= measure_evaluation(encode(make_dialogs(strings, arguments.dialogs)), source, make_model)
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:66} {value:14,.6g}" if isinstance(value, float) else f"{name:66} {value!s:>14}")


if __name__ == "__main__":
    main()
