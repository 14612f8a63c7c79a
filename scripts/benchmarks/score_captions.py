"""Measure the speed of the metrics of captions.

    python scripts/benchmarks/score_captions.py [--images 5000] [--references 5] [--rounds 3] [--json]

Makes captions of 8 to 14 words, as long as those of COCO, with words as frequent as Zipf's law has it; a candidate is a changed
reference. Times `vqa-rnn score captions` as a whole process, with its start, checks and intervals, and a step of self-critical
training: CIDEr-D of 320 captions, 5 for each of 64 images. If pycocoevalcap is installed, its BLEU, ROUGE-L and CIDEr-D are
timed in turn on the same captions, without its tokenisation, which needs Java. The exit code is 1 if the two give different
scores. Processor seconds do not depend on what else the machine does.
"""

import argparse
import importlib.util
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from vqa_rnn.metrics.captions import CaptionReferences, tokenize_caption

STEP_IMAGES, STEP_SAMPLES = 64, 5


def make_captions(num_images: int, num_references: int) -> tuple[list[list[str]], list[str]]:
    """Return the references of each image and one candidate each, always the same ones."""
    generator = random.Random(0)
    words = ["".join(generator.choices("abcdefghijklmnoprstuvwy", k=generator.randint(2, 9))) for _ in range(10_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]

    def changed(caption: list[str]) -> list[str]:
        return [generator.choices(words, weights)[0] if generator.random() < 0.3 else word for word in caption]

    references, candidates = [], []
    for _ in range(num_images):
        scene = generator.choices(words, weights, k=generator.randint(8, 14))
        captions = [changed(scene) for _ in range(num_references)]
        references.append([" ".join(caption).capitalize() + "." for caption in captions])
        candidates.append(" ".join(changed(generator.choice(captions))))
    return references, candidates


def write_files(folder: Path, references: list[list[str]], candidates: list[str]) -> list[Path]:
    """Write the captions in COCO's formats."""
    pairs = [(image, text) for image, texts in enumerate(references) for text in texts]
    contents: dict[str, Any] = {
        "results.json": [{"image_id": image, "caption": caption} for image, caption in enumerate(candidates)],
        "references.json": {
            "images": [{"id": image} for image in range(len(references))],
            "annotations": [{"id": number, "image_id": image, "caption": text} for number, (image, text) in enumerate(pairs)],
        },
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return [folder / name for name in contents]


def official_scores(references: list[list[str]], candidates: list[str]) -> dict[str, float]:
    """Compute the scores with the official code."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    truth = {image: [" ".join(tokenize_caption(text)) for text in texts] for image, texts in enumerate(references)}
    given = {image: [" ".join(tokenize_caption(text))] for image, text in enumerate(candidates)}
    scores = {f"bleu_{n}": value for n, value in enumerate(Bleu(4).compute_score(truth, given, verbose=0)[0], start=1)}
    return {
        **scores,
        "rouge_l": float(Rouge().compute_score(truth, given)[0]),
        "cider": float(Cider().compute_score(truth, given)[0]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--references", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    references, candidates = make_captions(arguments.images, arguments.references)
    official = importlib.util.find_spec("pycocoevalcap") is not None
    clock: dict[str, list[float]] = {"command": [], "official": []}
    processor: dict[str, list[float]] = {"command": [], "official": []}
    wanted: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(path) for path in write_files(Path(folder), references, candidates)]
        for _ in range(arguments.rounds):
            started, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-m", "vqa_rnn", "score", "captions", *paths, "--json"]
            found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            clock["command"].append(time.perf_counter() - started)
            now = resource.getrusage(resource.RUSAGE_CHILDREN)
            processor["command"].append(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)
            if official:
                started, begun = time.perf_counter(), time.process_time()
                wanted = official_scores(references, candidates)
                clock["official"].append(time.perf_counter() - started)
                processor["official"].append(time.process_time() - begun)
    prepared = CaptionReferences(references)
    images = [image % len(references) for image in range(STEP_IMAGES) for _ in range(STEP_SAMPLES)]
    steps = []
    for _ in range(arguments.rounds):
        begun = time.process_time()
        prepared.cider_of(images, [candidates[image] for image in images])
        steps.append(time.process_time() - begun)
    same = all(abs(found[name] - value) < 1e-9 for name, value in wanted.items())
    report: dict[str, Any] = {
        "num_images": arguments.images,
        "num_references": found["num_references"],
        **{name: found[name] for name in ("bleu_4", "rouge_l", "cider")},
        "seconds": statistics.median(clock["command"]),
        "processor_seconds": statistics.median(processor["command"]),
        "step_processor_seconds": statistics.median(steps),
    }
    if official:
        report["official_seconds"] = statistics.median(clock["official"])
        report["official_processor_seconds"] = statistics.median(processor["official"])
        report["same_scores"] = same
    if arguments.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:28} {value:12,.4f}" if isinstance(value, float) else f"{name:28} {value!s:>12}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
