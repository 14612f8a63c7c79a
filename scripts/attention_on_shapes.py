"""How much of the attention is on the shape that the question asks about, in easy-VQA.

    python scripts/attention_on_shapes.py runs/demo

An image of easy-VQA has one shape on a plain background. The attention of a region is spread evenly over its pixels. The ratio
is the attention on the shape's pixels divided by their share of the image; it is 1 for uniform attention. The column
"exchanged" has the ratio of the same attention with the shape of another image. All looks have the same weight. Intervals are
95%, by bootstrap over images.
"""

import vqa_rnn  # imported before torch, as it sets how threads wait

# isort: split

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from vqa_rnn.answering.answer import Answer
from vqa_rnn.cli import print_error
from vqa_rnn.errors import UserError
from vqa_rnn.features.images import read_image
from vqa_rnn.metrics.intervals import bootstrap_interval

GROUND = 60  # a pixel of the shape differs from the first pixel by more than this, summed over the channels


def shape_of(path: Path) -> NDArray[np.bool_]:
    """Return (height, width) bool, where the shape is."""
    pixels = np.asarray(read_image(path)).astype(int)
    return np.abs(pixels - pixels[0, 0]).sum(axis=2) > GROUND


def density(answer: Answer) -> NDArray[np.float64]:
    """Return (height, width) attention of each pixel, which sums to 1."""
    assert answer.image is not None
    assert answer.maps is not None
    assert answer.boxes is not None
    width, height = read_image(answer.image).size
    spread = np.zeros((height, width))
    corners = np.rint(answer.boxes * np.array([width, height, width, height])).astype(int)
    for weight, (left, top, right, bottom) in zip(answer.maps.mean(axis=0), corners, strict=True):
        spread[top:bottom, left:right] += weight / ((bottom - top) * (right - left))
    return spread


def measure(run: str, split: str, samples: int) -> dict[str, Any]:
    """Compute the ratio for each type of answer and for all."""
    session = vqa_rnn.load(run)
    if not isinstance(session, vqa_rnn.Session) or session.run.config.dataset.name != "easy_vqa":
        raise UserError(f"{run} is no run on easy_vqa, whose images have one shape each")
    annotations = vqa_rnn.read_annotations(session.run.config.dataset)
    questions = [question for question in annotations.questions if question.split == split]
    answers = session.answer(questions, annotations.images)
    if answers[0].maps is None or answers[0].boxes is None:
        raise UserError(f"{run} has no attention over a grid of the image")
    shapes = {image_id: shape_of(path) for image_id, path in annotations.images.items()}
    image_ids = [question.image_id for question in questions]
    others = dict(zip(sorted(set(image_ids)), np.roll(sorted(set(image_ids)), 1).tolist(), strict=True))
    area = np.array([shapes[image_id].mean() for image_id in image_ids])
    spread = [density(answer) for answer in answers]
    on_shape = np.array([(each * shapes[image_id]).sum() for each, image_id in zip(spread, image_ids, strict=True)])
    exchanged = np.array([(each * shapes[others[image_id]]).sum() for each, image_id in zip(spread, image_ids, strict=True)])
    other_area = np.array([shapes[others[image_id]].mean() for image_id in image_ids])
    kinds = np.array([question.answer_type for question in questions])
    rows = {}
    for kind in [*sorted(set(kinds.tolist())), "all"]:
        chosen = np.ones(len(kinds), dtype=bool) if kind == "all" else kinds == kind
        ids = np.array(image_ids)[chosen].tolist()
        ratios = on_shape[chosen] / area[chosen]
        rows[kind] = {
            "num_questions": int(chosen.sum()),
            "area": float(area[chosen].mean()),
            "attention": float(on_shape[chosen].mean()),
            "ratio": float(ratios.mean()),
            "interval": list(bootstrap_interval(ratios, ids, samples)),
            "exchanged": float((exchanged[chosen] / other_area[chosen]).mean()),
        }
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run on easy_vqa, such as runs/demo")
    parser.add_argument("--split", default="test", choices=["val", "test"])
    parser.add_argument("--samples", type=int, default=1000, help="resamples of the bootstrap")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        rows = measure(options.run, options.split, options.samples)
    except UserError as error:
        return print_error(error)
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    table = Table("questions", "number", "shape's share of the image", "attention on it", "ratio", "95% interval", "exchanged")
    for kind, row in rows.items():
        low, high = row["interval"]
        shares = f"{row['area']:.1%}", f"{row['attention']:.1%}"
        table.add_row(
            kind,
            f"{row['num_questions']:,}",
            *shares,
            f"{row['ratio']:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{row['exchanged']:.2f}",
        )
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
