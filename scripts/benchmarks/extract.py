"""How fast features are extracted, against the limit and against the usual way, in one run with the same weights.

    python scripts/benchmarks/extract.py [FOLDER_OF_IMAGES] [--size 224] [--images 256] [--json]

limit      the backbone alone, on one batch in memory, in the precision and layout that the extractor chose
ours       ``preprocess``: files read, decoded, scaled, extracted, written to a store
reference  a loop as tutorials write it: float32, default layout, one image after the other, the same transform

Without a folder the images are those of easy-VQA.
"""

import vqa_rnn  # noqa: F401 - before torch is loaded, it settles how threads wait

# isort: split

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from preprocessing.extract_features import extract_features
from vqa_rnn.annotations import load_annotations
from vqa_rnn.config import EasyVqaDataset
from vqa_rnn.config_files import load_config
from vqa_rnn.features.extractor import Extractor
from vqa_rnn.records import Annotations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    if arguments.folder is None:
        images = load_annotations(EasyVqaDataset(), ["test"]).images
    else:
        images = {path.name: path for path in sorted(arguments.folder.iterdir()) if path.is_file()}
    images = dict(list(images.items())[: arguments.images])
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store.h5"
        config = load_config("easy_vqa", [f"features.store={store}", f"features.image_size={arguments.size}"])
        config = config.model_copy(update={"features": config.features.model_copy(update={"layers": ("bn2",)})})
        report = extract_features(config, Annotations(benchmark="benchmark", questions=(), images=images))
    extractor = Extractor(config.features)
    loaded = [extractor.load(path) for path in list(images.values())[: config.features.batch_rows]]
    limit = len(loaded) / _seconds(lambda: extractor.regions(loaded))

    plain = Extractor(config.features, precision="float32")
    backbone = plain.model.to(memory_format=torch.contiguous_format)
    few = list(images.values())[:32]

    def image_by_image() -> None:
        for path in few:
            pixels = torch.from_numpy(np.asarray(plain.load(path)).copy()).permute(2, 0, 1)[None]
            with torch.no_grad():
                backbone.forward_features((pixels.float() / 255 - 0.5) / 0.5)

    reference = len(few) / _seconds(image_by_image)
    ours = report.num_done / report.seconds
    result = {
        "images_per_second": ours,
        "limit": limit,
        "reference": reference,
        "share_of_limit": ours / limit,
        "speedup_over_reference": ours / reference,
        "precision": extractor.precision,
        "size": arguments.size,
    }
    if arguments.json:
        print(json.dumps(result))
    else:
        print(
            f"{ours:.0f} images a second ({extractor.precision}); the backbone alone {limit:.0f}, so {100 * ours / limit:.0f}% "
            f"of the limit; image by image in float32 {reference:.0f}, so {ours / reference:.1f} times that"
        )


def _seconds(work) -> float:  # type: ignore[no-untyped-def]
    work()
    times = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


if __name__ == "__main__":
    main()
