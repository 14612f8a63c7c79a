"""The pointing game (Zhang et al. 2016, https://arxiv.org/abs/1608.00507): does a model look at the thing that is asked about?

    python scripts/pointing_game.py runs/shapes_vqa-mac --scenes data/shapes_vqa/scenes/CLEVR_{split}_scenes.json

For runs on data in CLEVR's format with programs and known scenes. The questions are those that ask for an attribute of one
thing ("What colour is the cube left of the star?"). The region with the most attention is a hit if it is nearer to that thing
than to any other. The baselines are the share of regions that are hits (chance) and the attention for another question about
the same image (exchanged). There is a row for each look and one for the mean of the looks. Intervals are 95%, by bootstrap over
images.
"""

import vqa_rnn  # noqa: F401 - imported before torch, as it sets how threads wait

# isort: split

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from preprocessing.scenes import DIRECTIONS, MARGIN
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.checkpoint import load_model, load_run
from vqa_rnn.cli import print_error
from vqa_rnn.commands.shared import images_of, move_run, open_features, store_of_config
from vqa_rnn.data.encoding import encode_questions
from vqa_rnn.data.loader import build_loader
from vqa_rnn.data.sampler import QuestionSampler
from vqa_rnn.errors import UserError
from vqa_rnn.files import read_json
from vqa_rnn.metrics.intervals import bootstrap_interval
from vqa_rnn.models.layers import grid_side
from vqa_rnn.records import Question

Maps = NDArray[np.float32]
Program = Sequence[Mapping[str, Any]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder on CLEVR's format")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="where things are now: dataset.root=…")
    parser.add_argument("--scenes", required=True, metavar="FILE", help="the scenes; {split} stands for the split")
    parser.add_argument("--split", default="test", choices=["train", "val", "test"])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    try:
        report = play(
            arguments.run, arguments.overrides, Path(arguments.scenes.replace("{split}", arguments.split)), arguments.split
        )
    except UserError as error:
        return print_error(error, debug=False)
    if arguments.json:
        print(json.dumps(report))
        return 0
    title = f"{arguments.run}, {arguments.split} split, {report['num_questions']:,} questions, {report['num_images']:,} images"
    table = Table("", "hits", "95% interval", "relational", "others", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, row in report["rows"].items():
        ends = " to ".join(f"{100 * end:.1f}" for end in row["interval"])
        kinds = ("-" if row[each] is None else f"{100 * row[each]:.1f}%" for each in ("relational", "others"))
        table.add_row(name, f"{100 * row['hits']:.1f}%", ends, *kinds)
    Console().print(table)
    return 0


def play(path: Path, overrides: Sequence[str], scenes_path: Path, split: Any) -> dict[str, Any]:
    """Play the game with every question of a split that asks for an attribute."""
    run = move_run(load_run(path), overrides)
    dataset = run.config.dataset
    if dataset.name != "clevr":
        raise UserError(f"{path} is of {dataset.name}: the pointing game is played on CLEVR's format, where scenes are known")
    scenes = {scene["image_filename"]: scene for scene in read_json(scenes_path, "scene file")["scenes"]}
    file = dataset.root / dataset.questions.replace("{split}", split)
    records = {f"{split}/{record['question_index']}": record for record in read_json(file, "question file")["questions"]}
    annotations = read_annotations(dataset, [split])
    asked, things = [], []
    for question in annotations.split(split):
        record = records[question.question_id]
        scene = scenes[record["image_filename"]]
        thing = asked_thing(record.get("program", ()), scene["objects"])
        if thing is not None:
            asked.append(question)
            things.append((thing, scene))
    if not asked:
        raise UserError(f"{file}: no question asks for an attribute of one thing, or none has a program")
    store = store_of_config(run.config, images_of(asked, annotations), run)
    maps_NLK = attention_maps(run, asked, store)
    try:
        side = grid_side(maps_NLK.shape[2])
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    sizes = {image_id: image_size(annotations.images[image_id]) for image_id in {question.image_id for question in asked}}
    is_hit_NK = np.stack(
        [
            nearest_thing(scene["objects"], sizes[q.image_id], side) == thing
            for q, (thing, scene) in zip(asked, things, strict=True)
        ]
    )
    looks = {f"look {look + 1}": maps_NLK[:, look] for look in range(maps_NLK.shape[1])} if maps_NLK.shape[1] > 1 else {}
    looks["mean of the looks" if looks else "attention"] = maps_NLK.mean(axis=1)
    other_N = exchange(asked)
    rows: dict[str, NDArray[np.float64]] = {}
    for name, maps_NK in looks.items():
        rows[name] = hits(maps_NK, is_hit_NK)
    best = max(rows, key=lambda name: rows[name].mean())
    rows[f"{best}, exchanged"] = hits(looks[best][other_N], is_hit_NK)
    rows["chance"] = is_hit_NK.mean(axis=1)
    images = [question.image_id for question in asked]
    relational = np.array(
        [any("relate" in kind(step) or "same" in kind(step) for step in records[q.question_id]["program"]) for q in asked]
    )
    return {
        "num_questions": len(asked),
        "num_images": len(set(images)),
        "rows": {
            name: {
                "hits": float(each.mean()),
                "interval": list(bootstrap_interval(each, images)),
                "relational": float(each[relational].mean()) if relational.any() else None,
                "others": float(each[~relational].mean()) if not relational.all() else None,
            }
            for name, each in rows.items()
        },
    }


def kind(step: Mapping[str, Any]) -> str:
    """Return what a step of a program does. Our generator and the released files store it under different keys."""
    return step.get("type") or step.get("function") or ""


def asked_thing(program: Program, things: Sequence[Mapping[str, Any]]) -> int | None:
    """Run a program and return the index of the thing whose attribute it asks for; None if it does not end that way."""
    if not program or not kind(program[-1]).startswith("query_"):
        return None
    results: list[Any] = []
    for step in program[:-1]:
        if "_output" in step:
            results.append(step["_output"])
            continue
        name, inputs = kind(step), [results[place] for place in step["inputs"]]
        value = (step["value_inputs"] or [None])[0]
        if name == "scene":
            results.append(list(range(len(things))))
        elif name.startswith("filter_"):
            results.append([place for place in inputs[0] if things[place][name.removeprefix("filter_")] == value])
        elif name == "unique":
            results.append(inputs[0][0])
        elif name == "relate":
            x, y = DIRECTIONS[value]
            (ax, ay), anchor = things[inputs[0]]["pixel_coords"][:2], inputs[0]
            results.append(
                [
                    place
                    for place, thing in enumerate(things)
                    if place != anchor and x * (thing["pixel_coords"][0] - ax) + y * (thing["pixel_coords"][1] - ay) >= MARGIN
                ]
            )
        else:
            raise UserError(f"a program has the step {name}, without _output: it is not known here")
    thing: int = results[program[-1]["inputs"][0]]
    return thing


def image_size(path: Path) -> tuple[int, int]:
    """Return width and height."""
    from PIL import Image

    with Image.open(path) as image:
        return image.size


def nearest_thing(things: Sequence[Mapping[str, Any]], size: tuple[int, int], side: int) -> NDArray[np.int64]:
    """Return (K,) the thing that is nearest to the centre of each cell, in pixels."""
    cell = np.arange(side**2)
    middle_K2 = (np.stack([cell % side, cell // side], axis=1) + 0.5) / side * np.array(size)
    places_O2 = np.array([thing["pixel_coords"][:2] for thing in things])
    nearest: NDArray[np.int64] = np.linalg.norm(middle_K2[:, None] - places_O2, axis=2).argmin(axis=1)
    return nearest


def attention_maps(run: Any, questions: Sequence[Question], store: Any) -> Maps:
    """Return (N, looks, K) the attention of the run."""
    encoded = encode_questions(questions, run.tokenizer, run.answers)
    model = load_model(run)
    batches = QuestionSampler(encoded.image, run.config.evaluation.batch_size, shuffle=False)
    found: Maps | None = None
    with torch.inference_mode():
        for (part,) in build_loader(encoded, open_features(store, encoded), batches):
            batch = part.to("cpu")
            maps = model.encode(batch).maps
            if maps is None:
                raise UserError(f"{run.path} does not weigh regions: there is nothing to point with")
            if found is None:
                found = np.zeros((len(questions), *maps.shape[1:]), dtype=np.float32)
            found[batch.question_index.numpy()] = maps.float().numpy()
    assert found is not None
    return found


def exchange(questions: Sequence[Question]) -> NDArray[np.int64]:
    """Return (N,) another question about the same image for each question, or the question itself if there is no other."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, question in enumerate(questions):
        places[question.image_id].append(place)
    other = np.empty(len(questions), dtype=np.int64)
    for each in places.values():
        other[each] = each[1:] + each[:1]
    return other


def hits(maps_NK: Maps, is_hit_NK: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (N,) whether the region with the most attention is a hit."""
    return np.take_along_axis(is_hit_NK, maps_NK.argmax(axis=1)[:, None], axis=1)[:, 0].astype(np.float64)


if __name__ == "__main__":
    sys.exit(main())
