"""Check the package on a GPU in a few minutes: run the tests and measure speed, with one JSON object as the result.

    python scripts/gpu/check.py [--only tests training profile extraction] [--output check.json]

Needs one GPU and the package with its tests: pip install -e '.[test]'. Nothing is downloaded: features, weights and pictures
are random.

tests        ``pytest -m gpu``: every model gives the same as on a CPU, resume, precisions, where features are kept, ``ask``
training     questions per second of bottom-up top-down (36 regions x 2048, hidden 1024, batches of 512, bfloat16) with features
             on the GPU and from the host; compared with the same step on one batch that stays on the GPU, and with a plain
             loop: one h5py read per question in 8 processes, features repeated for each question, in float32 and with bfloat16
             autocast
profile      computing time and longest kernels of the same step on the GPU, and the step time with ``training.compile``
extraction   images per second of ``preprocess`` with ResNet-101 at 448 pixels from JPEG files; compared with the backbone alone
             on one batch on the GPU, and with only reading and scaling the files on all cores
"""

import vqa_rnn  # noqa: F401 - imported before torch, as it sets how threads wait

# isort: split

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from ignite.engine import Engine
from PIL import Image
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "benchmarks"))

from loader import OneReadEach, make_store  # noqa: E402
from made_up import ANSWERS, FEATURE, QUESTIONS_AN_IMAGE, VOCABULARY, make_questions  # noqa: E402

from preprocessing.extract_features import extract_features  # noqa: E402
from vqa_rnn.batch import Batch  # noqa: E402
from vqa_rnn.config import Config  # noqa: E402
from vqa_rnn.config.files import load_config  # noqa: E402
from vqa_rnn.data.collate import make_batch  # noqa: E402
from vqa_rnn.data.columns import EncodedQuestions  # noqa: E402
from vqa_rnn.data.device import DeviceLoader, NoFeatures, hold_on_device  # noqa: E402
from vqa_rnn.data.loader import build_loader  # noqa: E402
from vqa_rnn.data.question_file import open_questions, save_questions  # noqa: E402
from vqa_rnn.data.sampler import QuestionSampler  # noqa: E402
from vqa_rnn.data.sources import MemoryFeatures  # noqa: E402
from vqa_rnn.data.store_features import StoreFeatures  # noqa: E402
from vqa_rnn.engines import Examples, build_optimization, build_trainer, training_rate  # noqa: E402
from vqa_rnn.features.extractor import Extractor  # noqa: E402
from vqa_rnn.features.store import open_store  # noqa: E402
from vqa_rnn.features.transform import Transform  # noqa: E402
from vqa_rnn.models import ModelSizes, VqaModel  # noqa: E402
from vqa_rnn.precision import set_float32_products  # noqa: E402
from vqa_rnn.records import Annotations  # noqa: E402
from vqa_rnn.threads import num_cpus  # noqa: E402

GPU = torch.device("cuda")
IMAGES, BATCH, SECONDS = 4000, 512, 2.0
PLAIN_WARM_UP, PLAIN_STEPS, PLAIN_WORKERS = 10, 12, 8
JPEGS, SIZE = 12_288, 448
TEST_PROCESSES = 6  # each has its own context on the GPU
PROFILED_SECONDS, LONGEST = 0.5, 12
VQA_V2_QUESTIONS, EPOCHS = 443_757, 13  # the training split; the epochs of Teney et al. 2018


def machine() -> dict[str, Any]:
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0].split(", ")[-1]
    except (OSError, subprocess.CalledProcessError, IndexError):
        driver = "unknown"
    return {
        "gpu": torch.cuda.get_device_name(GPU),
        "driver": driver,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "processors": num_cpus(),
    }


def tests() -> dict[str, Any]:
    """Run the tests marked gpu."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", "--tb=short", "--disable-warnings"]
    command += ["--numprocesses", str(min(TEST_PROCESSES, num_cpus())), "tests"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    summary = [line for line in result.stdout.splitlines() if re.search(r"\d+ passed|\d+ failed", line)]
    found = dict(re.findall(r"(\d+) (passed|failed|errors?)", summary[-1] if summary else ""))
    counts = {kind: int(number) for number, kind in found.items()}
    if result.returncode:
        print(result.stdout[-6000:], result.stderr[-2000:], file=sys.stderr)
    return {**counts, "ok": result.returncode == 0, "seconds": time.perf_counter() - started}


def _make_data(folder: Path) -> tuple[Path, Path]:
    """Create a store, and questions about its images."""
    store_path, questions_path = folder / "store.h5", folder / "questions.h5"
    make_store(store_path, IMAGES)
    save_questions(make_questions(IMAGES, int(IMAGES * QUESTIONS_AN_IMAGE)), questions_path)
    return store_path, questions_path


def training() -> dict[str, Any]:
    """Measure questions per second in each way."""
    with tempfile.TemporaryDirectory() as folder:
        store_path, questions_path = _make_data(Path(folder))
        encoded, store = open_questions(questions_path), open_store(store_path, check_rows=False)
        features = StoreFeatures(store, encoded.image_ids)
        (held,) = hold_on_device(store, [features.rows], GPU)
        one = next(iter(_ours(encoded, features, 0)))
        rates = {"resident": _our_rate(encoded, [one])}
        rates["device"] = _our_rate(encoded, _ours(encoded, NoFeatures(), 2, held))
        rates["host"] = _our_rate(encoded, _ours(encoded, features, 4))
        del held
        for name, bfloat16 in (("plain_float32", False), ("plain_bfloat16", True)):
            rates[name] = _plain_rate(store_path, questions_path, bfloat16=bfloat16)
    return {
        "questions_per_second": rates,
        "device_share_of_resident": rates["device"] / rates["resident"],
        "host_share_of_resident": rates["host"] / rates["resident"],
        "over_plain_float32": rates["device"] / rates["plain_float32"],
        "over_plain_bfloat16": rates["device"] / rates["plain_bfloat16"],
        "vqa_v2_minutes": EPOCHS * VQA_V2_QUESTIONS / rates["device"] / 60,
    }


def profile() -> dict[str, Any]:
    """Measure what the time of a step is spent on, for one batch that stays on the GPU."""
    with tempfile.TemporaryDirectory() as folder:
        store_path, questions_path = _make_data(Path(folder))
        encoded, store = open_questions(questions_path), open_store(store_path, check_rows=False)
        one = next(iter(_ours(encoded, StoreFeatures(store, encoded.image_ids), 0)))
    rate = training_rate(_our_trainer(encoded), [one], SECONDS, GPU)
    trainer = _our_trainer(encoded)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiled:
        training_rate(trainer, [one], PROFILED_SECONDS, GPU)
    steps = trainer.state.iteration
    kernels = sorted(profiled.key_averages(), key=lambda kernel: -kernel.self_device_time_total)
    started = time.perf_counter()
    compiled = _our_trainer(encoded, compile_parts=True)
    compiled_rate = training_rate(compiled, [one], SECONDS, GPU)
    return {
        "step_ms": 1000 * BATCH / rate,
        "computing_ms": sum(kernel.self_device_time_total for kernel in kernels) / 1000 / steps,
        "kernels_a_step": sum(kernel.count for kernel in kernels) / steps,
        "longest_ms": [
            [kernel.key[:90], round(kernel.self_device_time_total / 1000 / steps, 3)] for kernel in kernels[:LONGEST]
        ],
        "compiled_step_ms": 1000 * BATCH / compiled_rate,
        "seconds_to_compile": time.perf_counter() - started - SECONDS,
    }


def _config() -> Config:
    """Return bottom-up top-down with the sizes of Anderson et al. 2018; a batch has all questions of its images."""
    return load_config("vqa", ["model.question.hidden_size=1024", "model.attention.hidden_size=1024"])


def _model() -> VqaModel:
    torch.manual_seed(0)
    return VqaModel(_config().model, ModelSizes(VOCABULARY, FEATURE, ANSWERS)).to(GPU)


def _ours(encoded: EncodedQuestions, source: Any, num_workers: int, held: Any = None) -> Iterable[tuple[Batch, ...]]:
    batches = QuestionSampler(encoded.image, BATCH, shuffle=True)
    loader = build_loader(encoded, source, batches, num_workers=num_workers, pin_memory=True)
    return DeviceLoader(loader, GPU, held)


def _our_trainer(encoded: EncodedQuestions, *, compile_parts: bool = False) -> Engine:
    """Build the package's trainer in bfloat16."""
    set_float32_products("bfloat16")
    config, model = _config().training, _model()
    if compile_parts:
        model.compile_parts()
    return build_trainer(
        model,
        build_optimization(model, config, precision="bfloat16", device=GPU, steps_per_epoch=1000),
        config=config,
        precision="bfloat16",
        device=GPU,
        examples=Examples(encoded.question_ids),
    )


def _our_rate(encoded: EncodedQuestions, batches: Iterable[tuple[Batch, ...]]) -> float:
    """Measure its questions per second."""
    return training_rate(_our_trainer(encoded), batches, SECONDS, GPU)


def _plain_rate(store_path: Path, questions_path: Path, *, bfloat16: bool) -> float:
    """Measure the questions per second of the loop that public code has."""
    torch.set_float32_matmul_precision("highest")  # torch's defaults
    torch.backends.cudnn.allow_tf32 = True
    model, encoded = _model().train(), open_questions(questions_path)
    optimizer = torch.optim.Adamax(model.parameters(), lr=0.002)
    loader = DataLoader(
        OneReadEach(store_path, questions_path), batch_size=BATCH, shuffle=True, num_workers=PLAIN_WORKERS, pin_memory=True
    )
    like = make_batch(encoded, np.arange(BATCH), MemoryFeatures(np.zeros((IMAGES, 1, 1), dtype=np.float16))).to(GPU)

    started, done = 0.0, 0
    for number, item in enumerate(loader):
        features, tokens, targets = (tensor.to(GPU, non_blocking=True) for tensor in item)
        batch = _one_image_a_question(like, features.float(), tokens)
        with torch.autocast("cuda", torch.bfloat16, enabled=bfloat16):
            logits = model(batch)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(tokens)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()
        loss.item()
        if number == PLAIN_WARM_UP:
            started = time.perf_counter()
        elif number > PLAIN_WARM_UP:
            done += len(tokens)
        if number == PLAIN_WARM_UP + PLAIN_STEPS:
            break
    return done / (time.perf_counter() - started)


def _one_image_a_question(like: Batch, features: torch.Tensor, tokens: torch.Tensor) -> Batch:
    each = torch.arange(len(tokens), device=GPU)
    return replace(
        like,
        features=features,
        region_mask=torch.ones(features.shape[:2], dtype=torch.bool, device=GPU),
        image_index=each,
        question_tokens=tokens,
        question_lengths=torch.full((len(tokens),), tokens.shape[1]),
    )


def extraction() -> dict[str, Any]:
    """Measure images per second."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images = _draw_jpegs(folder)
        torch.manual_seed(0)
        network = torchvision.models.resnet101(weights=None, zero_init_residual=True)  # else values grow from block to block
        torch.save(network.state_dict(), folder / "weights.pth")
        overrides = [
            f"features.store={folder / 'store.h5'}",
            "features.library=torchvision",
            "features.backbone=resnet101",
            f"features.weights={folder / 'weights.pth'}",
            "features.layers=[layer4]",
            f"features.image_size={SIZE}",
            "features.batch_rows=64",
            "features.grid_size=7",
        ]
        config = load_config("easy_vqa", overrides)
        report = extract_features(config, Annotations(questions=(), images=images), device="cuda")
        transform = Extractor(config.features).transform
        with ProcessPoolExecutor(num_cpus()) as pool:
            list(pool.map(_decode, [transform] * num_cpus(), images.values()))  # starts all workers
            started = time.perf_counter()
            list(pool.map(_decode, [transform] * len(images), images.values(), chunksize=16))
            decoding = len(images) / (time.perf_counter() - started)
    backbone = torch.nn.Sequential(*list(network.children())[:-2]).eval().to(GPU, torch.bfloat16)
    backbone = backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = torch.randn(64, 3, SIZE, SIZE, device=GPU, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        for _ in range(3):
            backbone(batch)
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(10):
            backbone(batch)
        torch.cuda.synchronize()
    alone = 10 * len(batch) / (time.perf_counter() - started)
    ours = report.num_done / report.seconds
    return {
        "images_per_second": ours,
        "backbone_alone": alone,
        "decoding_alone": decoding,
        "share_of_the_lower": ours / min(alone, decoding),
    }


def _decode(transform: Transform, path: Path) -> None:
    np.asarray(transform.load(path))


def _draw_jpegs(folder: Path) -> dict[str, Path]:
    """Write JPEG files of 640 x 480 that resemble photographs, smooth with some detail: a few pictures under many names."""
    generator = np.random.default_rng(0)
    for number in range(16):
        coarse = Image.fromarray(generator.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize(
            (640, 480), Image.Resampling.BICUBIC
        )
        fine = np.asarray(coarse).astype(np.int16) + generator.integers(-12, 13, (480, 640, 3))
        Image.fromarray(fine.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.jpg", quality=90)
    images = {}
    for number in range(JPEGS):
        path = folder / f"image{number}.jpg"
        os.link(folder / f"{number % 16}.jpg", path)
        images[path.name] = path
    return images


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "tests": tests,
    "training": training,
    "profile": profile,
    "extraction": extraction,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--output", type=Path, help="write the JSON object here as well, after each part")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("torch finds no GPU here: this check needs one", file=sys.stderr)
        return 2
    result: dict[str, Any] = {"machine": machine()}
    for name in arguments.only:
        started = time.perf_counter()
        result[name] = PARTS[name]()
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        if arguments.output is not None:
            arguments.output.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(json.dumps(result, indent=1))
    return 0 if result.get("tests", {}).get("ok", True) else 1


if __name__ == "__main__":
    sys.exit(main())
