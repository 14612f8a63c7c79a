"""Measure time and memory of VisDial's training split, which is encoded once and opened by every process.

    python scripts/benchmarks/encode.py [--dialogs 123000] [--strings FILE] [--folder DIR] [--json]

Writes a training file in the official format, with 10 rounds per dialog and 100 answer options per round. It has 380,000
questions and 340,000 answers, about as many as the real one, or those of a VisDial file given with `--strings`. 30 options of a
round are popular answers, the others are drawn from the rest. One process reads and encodes the file and saves the columns; a
new process opens them and gathers batches of 32 dialogs. Peak memory is that of the whole process. Anonymous memory (RssAnon)
is counted from just before the file is opened, with all libraries loaded; mapped memory is page cache, which processes share.
Targets: words counted in 30 s; opened in 2 s, within 300 MB.
"""

import argparse
import json
import multiprocessing
import random
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from vqa_rnn.annotations.visdial import read_visdial
from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.config import TextConfig, VisdialDataset
from vqa_rnn.data.collate import make_batch
from vqa_rnn.data.encoding import encode_questions
from vqa_rnn.data.question_file import open_questions, save_questions
from vqa_rnn.data.sampler import QuestionSampler
from vqa_rnn.data.sources import MemoryFeatures
from vqa_rnn.data.vocabulary import build_tokenizer

ROUNDS, OPTIONS, POPULAR, NUM_POPULAR = 10, 100, 1000, 30
NUM_QUESTIONS, NUM_ANSWERS, NUM_WORDS = 380_000, 340_000, 10_000
DIALOGS_A_BATCH, BATCHES = 32, 20
FILE = "visdial_1.0_train.json"


def make_texts(count: int, words: int, generator: random.Random) -> list[str]:
    """Return distinct texts of made-up words."""
    texts: dict[str, None] = {}
    while len(texts) < count:
        length = generator.randint(1, 2 * words - 1)
        texts[" ".join(f"word{int(NUM_WORDS * generator.random() ** 3)}" for _ in range(length))] = None
    return list(texts)


def make_file(folder: Path, num_dialogs: int, strings: Path | None) -> None:
    """Write a file in the official format, dialog by dialog."""
    generator = random.Random(0)
    if strings is None:
        num_rounds = num_dialogs * ROUNDS  # a small file has fewer texts
        questions = make_texts(min(NUM_QUESTIONS, num_rounds), 6, generator)
        answers = make_texts(min(NUM_ANSWERS, POPULAR + num_rounds * OPTIONS), 4, generator)
    else:
        data = json.loads(strings.read_text(encoding="utf-8"))["data"]
        questions, answers = data["questions"], data["answers"]
    draws = np.random.default_rng(0)
    with (folder / FILE).open("w", encoding="utf-8") as file:
        file.write('{"version": "1.0", "split": "train", "data": {"questions": ')
        file.write(f'{json.dumps(questions)}, "answers": {json.dumps(answers)}, "dialogs": [')
        for number in range(num_dialogs):
            options = [_draw_options(draws, len(answers)) for _ in range(ROUNDS)]
            truth = draws.integers(OPTIONS, size=ROUNDS)
            rounds = [
                {"question": question, "answer": row[correct], "gt_index": correct, "answer_options": row}
                for question, row, correct in zip(
                    draws.integers(len(questions), size=ROUNDS).tolist(), options, truth.tolist(), strict=True
                )
            ]
            caption = f"{generator.choice(questions)} {generator.choice(answers)}"
            file.write(", " * (number > 0) + json.dumps({"image_id": number, "caption": caption, "dialog": rounds}))
        file.write("]}}")


def _draw_options(draws: np.random.Generator, num_answers: int) -> list[int]:
    """Draw some popular answers and some others, without repetition."""
    popular = draws.choice(POPULAR, NUM_POPULAR, replace=False)
    others = POPULAR + draws.choice(num_answers - POPULAR, OPTIONS - NUM_POPULAR, replace=False)
    return [*popular.tolist(), *others.tolist()]


def encode(folder: Path) -> dict[str, float]:
    """Read, encode and save the questions; return times and peak memory."""
    started = time.perf_counter()
    questions = read_visdial(VisdialDataset(root=folder), ["train"]).questions
    read = time.perf_counter()
    tokenizer = build_tokenizer(questions, TextConfig(max_tokens=20))
    built = time.perf_counter()
    encoded = encode_questions(questions, tokenizer, AnswerVocabulary([]))
    encoded_at = time.perf_counter()
    save_questions(encoded, folder / "train.h5")
    return {
        "num_questions": len(encoded),
        "num_choices": encoded.choices.values.size,
        "num_texts": len(encoded.tokens.offsets) - 1,
        "seconds_to_read": read - started,
        "seconds_to_count_words": built - read,
        "seconds_to_encode": encoded_at - built,
        "seconds_to_save": time.perf_counter() - encoded_at,
        "peak_gb_while_encoding": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


def open_and_gather(folder: Path) -> dict[str, float]:
    """Open the columns and gather some batches; return times and memory."""
    before, started = anonymous_mb(), time.perf_counter()
    encoded = open_questions(folder / "train.h5")
    seconds, opened = time.perf_counter() - started, anonymous_mb()
    source = MemoryFeatures(np.zeros((len(encoded.image_ids), 1, 1), dtype=np.float16))
    batches = iter(QuestionSampler(encoded.image, DIALOGS_A_BATCH * ROUNDS, shuffle=True))
    started = time.perf_counter()
    for _, (questions,) in zip(range(BATCHES), batches, strict=False):
        make_batch(encoded, questions, source)
    return {
        "seconds_to_open": seconds,
        "anonymous_mb_after_opening": opened - before,
        "anonymous_mb_after_batches": anonymous_mb() - before,
        "seconds_a_batch": (time.perf_counter() - started) / BATCHES,
    }


def anonymous_mb() -> float:
    """Return RssAnon of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("RssAnon"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogs", type=int, default=123_000)
    parser.add_argument("--strings", type=Path, help="a VisDial file whose questions and answers are used")
    parser.add_argument("--folder", type=Path, help="where the files are made and kept; by default a temporary folder")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / FILE).exists():
            make_file(folder, arguments.dialogs, arguments.strings)
        result: dict[str, Any] = {"annotation_gb": (folder / FILE).stat().st_size / 1e9}
        for step in (encode, open_and_gather):  # each in a new process, to measure its memory separately
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                result |= pool.apply(step, (folder,))
        result["columns_gb"] = (folder / "train.h5").stat().st_size / 1e9
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:28} {value:16,}" if isinstance(value, int) else f"{name:28} {value:16,.3f}")


if __name__ == "__main__":
    main()
