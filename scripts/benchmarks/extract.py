"""Measure the speed of feature extraction, against the limit of the cores and against a plain loop with the same weights.

    python scripts/benchmarks/extract.py [FOLDER_OF_IMAGES] [--size 224] [--images 512] [--compile] [--json]

backbone   the network's forward pass alone, on pixels in memory, in the precision that the extractor chose: the best of several
           batch sizes, with batch norms folded or not, and with --compile also compiled; bfloat16 is printed too
decode     reading, decoding and scaling files alone, on all cores
limit      1 / (1 / backbone + 1 / decode): the upper limit for the cores
ours       ``preprocess``: files are read, decoded, scaled, extracted and written to a store
reference  a loop as in tutorials: float32, default layout, one image at a time

The parts take turns, and the best round counts. Without a folder, the images are those of easy-VQA.
"""

import vqa_rnn  # noqa: F401 - imported before torch, as it sets how threads wait

# isort: split

import argparse
import functools
import json
import logging
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch._inductor import config as inductor

from preprocessing.extract_features import extract_features
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.config import Config, EasyVqaDataset, FeaturesConfig
from vqa_rnn.config.files import load_config
from vqa_rnn.features.backbones import load_backbone
from vqa_rnn.features.backbones.folding import fold_batch_norms
from vqa_rnn.features.extractor import Extractor
from vqa_rnn.records import Annotations
from vqa_rnn.threads import num_cpus

PASSES = (1, 2, 4, 8, 16, 32)
PASSES_COMPILED = (4, 8, 16)
FEW = 32  # images of the reference


def bare_backbones(config: FeaturesConfig, precision: str) -> list[Any]:
    """Return the network's forward functions: as loaded, with folded batch norms, and compiled with ``--compile``."""
    found = []
    for folded in (False, True):
        model = load_backbone(config).network.model.eval().requires_grad_(False)
        if folded:
            fold_batch_norms(model, torch.zeros(1, 3, config.image_size, config.image_size), set())
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        found.append(model.to(memory_format=torch.channels_last).to(dtype).forward_features)
    if config.compile:
        found.append(torch.compile(found[-1], dynamic=False))
    return found


def backbone_rate(run: Any, pixels: torch.Tensor, rows: int, precision: str, seconds: float) -> float:
    """Measure the images per second of forward passes alone."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    batch = pixels[:rows].to(dtype).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), inductor.patch(freezing=True):
        run(batch)
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            run(batch)
            done += rows
        return done / (time.perf_counter() - started)


def decode_rate(extractor: Extractor, paths: list[Path]) -> float:
    """Measure the images per second of reading, decoding and scaling alone, on all cores."""
    with ThreadPoolExecutor(num_cpus()) as pool:
        started = time.perf_counter()
        for _ in pool.map(lambda path: np.asarray(extractor.transform.load(path)), paths):
            pass
        return len(paths) / (time.perf_counter() - started)


def our_rate(config: Config, images: dict[str, Path]) -> float:
    """Measure the images per second of the whole job."""
    with tempfile.TemporaryDirectory() as folder:
        features = config.features.model_copy(update={"store": Path(folder) / "store.h5"})
        annotations = Annotations(questions=(), images=images)
        report = extract_features(config.model_copy(update={"features": features}), annotations)
        return report.num_done / report.seconds


def reference_rate(extractor: Extractor, model: Any, paths: list[Path]) -> float:
    """Measure the images per second of a loop as tutorials write it."""
    started = time.perf_counter()
    for path in paths:
        pixels = torch.from_numpy(np.asarray(extractor.transform.load(path)).copy()).permute(2, 0, 1)[None]
        with torch.no_grad():
            model.forward_features((pixels.float() / 255 - 0.5) / 0.5)
    return len(paths) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--precision", default="auto", help="auto, float32 or bfloat16")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)

    if arguments.folder is None:
        images = read_annotations(EasyVqaDataset(), ["test"]).images
    else:
        images = {path.name: path for path in sorted(arguments.folder.iterdir()) if path.is_file()}
    images = dict(list(images.items())[: arguments.images])
    paths = list(images.values())
    config = load_config(
        "easy_vqa",
        [
            f"features.image_size={arguments.size}",
            "features.layers=[bn2]",
            "features.grid_size=null",
            f"features.precision={arguments.precision}",
            f"features.compile={arguments.compile}",
        ],
    )
    extractor = Extractor(config.features)
    pixels = torch.from_numpy(np.stack([np.asarray(extractor.transform.load(path)) for path in paths[: PASSES[-1]]]))
    pixels = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
    bare = {precision: bare_backbones(config.features, precision) for precision in {extractor.precision, "bfloat16"}}
    plain = load_backbone(config.features).network.model.eval()

    best: dict[Any, float] = {}

    def note(name: Any, measure: Callable[[], float]) -> None:
        best[name] = max(best.get(name, 0.0), measure())

    for _ in range(arguments.rounds):
        for precision, models in bare.items():
            for number, model in enumerate(models):
                for rows in PASSES if number < 2 else PASSES_COMPILED:
                    seconds = max(0.3, 3 * rows / 100)
                    run = functools.partial(backbone_rate, model, pixels, rows, precision, seconds)
                    note((precision, number, rows), run)
        note("decode", lambda: decode_rate(extractor, paths))
        note("ours", lambda: our_rate(config, images))
        note("reference", lambda: reference_rate(extractor, plain, paths[:FEW]))
    backbones = {
        precision: max(rate for key, rate in best.items() if isinstance(key, tuple) and key[0] == precision)
        for precision in bare
    }
    limit = 1 / (1 / backbones[extractor.precision] + 1 / best["decode"])
    result = {
        "size": arguments.size,
        "images": len(images),
        "precision": extractor.precision,
        "compiled": extractor.compiled,
        "batch_rows": extractor.batch_rows,
        "backbone": backbones[extractor.precision],
        "backbone_bfloat16": backbones["bfloat16"],
        "decode": best["decode"],
        "limit": limit,
        "ours": best["ours"],
        "reference": best["reference"],
        "share_of_limit": best["ours"] / limit,
        "speedup_over_reference": best["ours"] / best["reference"],
    }
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:24} {value:10,.2f}" if isinstance(value, float) else f"{name:24} {value!s:>10}")


if __name__ == "__main__":
    main()
