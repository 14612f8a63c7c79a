"""Measure the speed of `vqa-rnn score vqa` against the official procedure without shortcuts.

    python scripts/benchmarks/score_vqa.py [--questions 214354] [--rounds 3] [--rule 2021] [--json]

Makes official files as large as VQA v2's validation set (214,354 questions about 40,504 images, ten answers each; about a third
of the questions have ten equal answers, as in the real set) and submits one person's answer to each. Times both as whole
processes, in turn: `literal_vqa.py`, which only needs Python's json, and the command with its start, checks and intervals.
Memory is the peak of each process. The exit code is 1 if the two give different accuracies.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

IMAGES = 40_504
QUESTION_TYPES = [
    "what is",
    "how many",
    "is the",
    "what color is the",
    "is there a",
    "none of the above",
    "where is the",
    "why",
]
QUIRKY = ["2", "two", "a dog", "t-shirt", "black and white", "black & white", "don't know", "1,000", "none", "yes, it is"]


def make_files(folder: Path, num_questions: int) -> list[Path]:
    """Write a question file, an annotation file and a submission, always the same ones."""
    generator = random.Random(0)
    words = ["".join(generator.choices("abcdefghijklmnoprstuvwy", k=generator.randint(3, 9))) for _ in range(10_000)]
    others = QUIRKY * 50 + words + [f"{a} {b}" for a, b in zip(words, reversed(words), strict=True)]
    questions, annotations, results = [], [], []
    for number in range(num_questions):
        image_id = 1 + 14 * (number % IMAGES)
        question_id = image_id * 1000 + number // IMAGES
        answer_type = generator.choices(["yes/no", "number", "other"], [38, 12, 50])[0]
        pool = {"yes/no": ["yes", "no"], "number": ["0", "1", "2", "3", "two", "10"], "other": others}[answer_type]
        answers = _answers(generator, pool)
        people = [
            {"answer": answer, "answer_confidence": generator.choice(["yes", "yes", "maybe", "no"]), "answer_id": i}
            for i, answer in enumerate(answers, start=1)
        ]
        asked = f"What is the {generator.choice(words)} near the {generator.choice(words)}?"
        questions.append({"image_id": image_id, "question": asked, "question_id": question_id})
        annotation = {
            "question_type": generator.choice(QUESTION_TYPES),
            "multiple_choice_answer": statistics.mode(answers),
            "answers": people,
            "image_id": image_id,
            "answer_type": answer_type,
            "question_id": question_id,
        }
        annotations.append(annotation)
        results.append({"question_id": question_id, "answer": generator.choice([*answers, generator.choice(pool)])})
    contents: dict[str, Any] = {
        "questions.json": {"task_type": "Open-Ended", "data_subtype": "val2014", "questions": questions},
        "annotations.json": {"data_subtype": "val2014", "annotations": annotations},
        "results.json": results,
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return [folder / name for name in contents]


def _answers(generator: random.Random, pool: list[str]) -> list[str]:
    main = generator.choice(pool)
    if generator.random() < 1 / 3:
        return [main] * 10
    few = [main, *generator.choices(pool, k=4)]
    return generator.choices(few, [6, 2, 1, 1, 1], k=10)


def measure(command: list[str]) -> tuple[dict[str, Any], dict[str, float]]:
    """Run a command; return its JSON output, and its seconds, processor seconds and peak memory in GB."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"{command} ended with exit code {process.returncode}")
        output.seek(0)
        unit = 1 if sys.platform == "darwin" else 1024
        costs = {
            "seconds": seconds,
            "processor_seconds": usage.ru_utime + usage.ru_stime,
            "peak_memory_gb": usage.ru_maxrss * unit / 1e9,
        }
        return json.loads(output.read()), costs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=214_354)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rule", choices=("2021", "2015"), default="2021")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(Path(folder), arguments.questions)
        paths = [str(path) for path in files]
        size = sum(path.stat().st_size for path in files) / 1e6
        literal = [sys.executable, str(Path(__file__).with_name("literal_vqa.py")), *paths, "--rule", arguments.rule]
        options = [f"--{path.stem}={path}" for path in files]
        ours = [sys.executable, "-m", "vqa_rnn", "score", "vqa", *options, "--rule", arguments.rule, "--json"]
        rounds = []
        for _ in range(arguments.rounds):
            found, own = measure(ours)
            wanted, reference = measure(literal)
            rounds.append((own, reference))
    same = abs(found["accuracy"] - wanted["accuracy"]) < 1e-9 and all(
        abs(found[key][kind] - value) < 1e-9
        for key in ("per_answer_type", "per_question_type")
        for kind, value in wanted[key].items()
    )
    report: dict[str, Any] = {
        "num_questions": arguments.questions,
        "file_megabytes": size,
        "accuracy": found["accuracy"],
        "same_scores": same,
    }
    for name in ("seconds", "processor_seconds"):
        report[name] = statistics.median(own[name] for own, _ in rounds)
        report[f"literal_{name}"] = statistics.median(reference[name] for _, reference in rounds)
        report[f"speedup_in_{name}"] = statistics.median(reference[name] / own[name] for own, reference in rounds)
    report["peak_memory_gb"] = max(own["peak_memory_gb"] for own, _ in rounds)
    report["literal_peak_memory_gb"] = max(reference["peak_memory_gb"] for _, reference in rounds)
    if arguments.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:28} {value:12,.4f}" if isinstance(value, float) else f"{name:28} {value!s:>12}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
