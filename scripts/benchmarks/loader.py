"""Measure how fast features and questions are loaded for a model that does nothing, and the memory this takes.

    python scripts/benchmarks/loader.py [--images 8000] [--workers 0 1 2] [--folder DIR] [--json]

Creates a store of random features (36 regions x 2048, float16, 147 KB per image) with 5.4 questions per image, and loads all
questions: cold, after the file was removed from the page cache, and warm. The reference is the loop of public code: one h5py
read per question, collated by torch, with as many workers. `--images 68000` makes 10 GB. Memory is the peak of the sum over the
main process and its workers: RssAnon and RssShmem are the program's own, RssFile is page cache that it has mapped.
"""

import vqa_rnn  # noqa: F401 - imported before torch, as it sets how threads wait

# isort: split

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from made_up import ANSWERS, FEATURE, QUESTIONS_AN_IMAGE, REGIONS, make_questions
from torch.utils.data import DataLoader, Dataset

from vqa_rnn.data.loader import build_loader
from vqa_rnn.data.question_file import open_questions, save_questions
from vqa_rnn.data.sampler import QuestionSampler
from vqa_rnn.data.store_features import StoreFeatures
from vqa_rnn.features.store import create_store, open_store

BATCH = 512


def make_store(path: Path, num_images: int) -> None:
    """Create a store of random features without zeros, in which no two of 2,048 consecutive images are equal."""
    attributes = {
        "backbone": "none",
        "weights_sha256": "",
        "layer": ["none"],
        "transform": {},
        "compute": {},
        "fingerprint": "none",
    }
    image_ids = [f"image{i}" for i in range(num_images)]
    writer = create_store(path, image_ids, num_regions=REGIONS, feature_size=FEATURE, dtype="float16", attributes=attributes)
    base = np.random.default_rng(0).uniform(1, 2, (REGIONS, FEATURE)).astype(np.float16)
    for row in range(num_images):
        writer.write([row], np.roll(base, row, axis=1)[None], [row])
    writer.finish()


class OneReadEach(Dataset[Any]):
    """A data set whose items are questions; each reads the features of its image from the HDF5 file."""

    def __init__(self, path: Path, questions: Path) -> None:
        self._path, self._file = path, None
        self._encoded = open_questions(questions)

    def __len__(self) -> int:
        return len(self._encoded)

    def __getitem__(self, question: int) -> Any:
        if self._file is None:
            self._file = h5py.File(self._path, "r")
        encoded = self._encoded
        features = self._file["features"][int(encoded.image[question])]
        one = np.array([question])
        target = np.zeros(ANSWERS, dtype=np.float32)
        target[encoded.answer_ids.padded(one, 0)[0]] = encoded.answer_scores.padded(one, 0)[0]
        return torch.from_numpy(features), torch.from_numpy(encoded.tokens.padded(one, 0)[0]), torch.from_numpy(target)


class Memory:
    """Records the highest memory of this process and its children together, ten times per second."""

    def __init__(self) -> None:
        self.most: dict[str, float] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            now = self._read()
            if now["own"] > self.most.get("own", 0):
                self.most = now

    def _read(self) -> dict[str, float]:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        kinds = {"RssAnon": 0.0, "RssShmem": 0.0, "RssFile": 0.0}
        for process in ["self", *children]:
            try:
                lines = Path(f"/proc/{process}/status").read_text().splitlines()
            except OSError:
                continue  # the process has just ended
            for line in lines:
                name, _, value = line.partition(":")
                if name in kinds:
                    kinds[name] += int(value.split()[0]) * 1024 / 1e9
        return {"own": kinds["RssAnon"] + kinds["RssShmem"], **kinds}


def one_pass(loader: DataLoader[Any], num_questions: int) -> dict[str, Any]:
    """Load everything without using it."""
    seen, started = 0, time.perf_counter()
    with Memory() as memory:
        for item in loader:
            seen += item[0].num_questions if isinstance(item, tuple) else len(item[0])
            if seen >= num_questions:
                break
        seconds = time.perf_counter() - started
    return {"pairs_per_second": seen / seconds, "memory_gb": memory.most}


def drop_from_page_cache(path: Path) -> None:
    """Remove a file from the page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, help="where the store is made and kept; by default a temporary folder")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        store_path = folder / f"loader-{arguments.images}.h5"
        questions_path = store_path.with_name(f"{store_path.stem}-questions.h5")
        num_questions = int(arguments.images * QUESTIONS_AN_IMAGE)
        if not questions_path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            make_store(store_path, arguments.images)
            save_questions(make_questions(arguments.images, num_questions), questions_path)
        encoded, store = open_questions(questions_path), open_store(store_path)
        features = StoreFeatures(store, encoded.image_ids)
        result: dict[str, Any] = {"store_gb": store_path.stat().st_size / 1e9, "num_questions": num_questions}
        for workers in arguments.workers:
            batches = QuestionSampler(encoded.image, BATCH, shuffle=True)
            loader = build_loader(encoded, features, batches, num_workers=workers)
            drop_from_page_cache(store_path)
            result[f"cold_{workers}_workers"] = one_pass(loader, num_questions)
            result[f"warm_{workers}_workers"] = max(
                (one_pass(loader, num_questions) for _ in range(2)), key=lambda found: found["pairs_per_second"]
            )
            plain = DataLoader(OneReadEach(store_path, questions_path), batch_size=BATCH, shuffle=True, num_workers=workers)
            result[f"reference_{workers}_workers"] = one_pass(plain, min(num_questions, 30 * BATCH))
        for kind in ("cold", "warm", "reference"):
            rates = [result[f"{kind}_{workers}_workers"]["pairs_per_second"] for workers in arguments.workers]
            result[f"{kind}_pairs_per_second"] = max(rates)
        result["speedup_over_reference"] = result["warm_pairs_per_second"] / result["reference_pairs_per_second"]
        passes = [result[f"{kind}_{workers}_workers"] for kind in ("cold", "warm") for workers in arguments.workers]
        own = [found["memory_gb"].get("own", 0) for found in passes]
        result["most_own_memory_gb"] = max(own)
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            if isinstance(value, dict):
                memory = "  ".join(f"{kind} {gigabytes:.2f}" for kind, gigabytes in value["memory_gb"].items())
                print(f"{name:28} {value['pairs_per_second']:10,.0f} pairs/s   GB: {memory}")
            else:
                print(f"{name:28} {value:10,.2f}")


if __name__ == "__main__":
    main()
