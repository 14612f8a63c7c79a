"""Check captions of generated scenes against the scenes: are the named things there, and does the model look at them?

    python scripts/caption_objects.py runs/shapes_captions --scenes data/shapes_captions/scenes/{split}_scenes.json
    python scripts/caption_objects.py runs/clevr_captions --scenes data/CLEVR_v1.0/scenes/CLEVR_{split}_scenes.json --split val

For runs on captions such as ``preprocessing.scene_captions`` writes. A caption is right if it names two things, each of them is
in the scene with all attributes that the caption gives, and the first lies on the named side of the second. The baselines
are the most frequent training caption, and the captions that the model writes if the images are exchanged.

With attention (``model.head.look``), a word that describes a thing is a hit if the region with the largest weight is nearer to
such a thing than to any other. When the first attribute is written, several things may still be meant: the row "by the words so
far" counts things with the attributes that were written until then. The baselines are the share of regions that are hits
(chance), and the weights for the other thing of the caption (exchanged). Intervals are 95%, by bootstrap over images.
"""

import vqa_rnn  # noqa: F401 - imported before torch, as it sets how threads wait

# isort: split

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pointing_game import nearest_thing
from rich.console import Console
from rich.table import Table

from preprocessing.scene_captions import ATTRIBUTES, SIDES, Named, Said, is_beside, matching, read_caption
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.checkpoint import load_run
from vqa_rnn.cli import print_error
from vqa_rnn.commands.answers import Member, open_members
from vqa_rnn.commands.shared import move_run
from vqa_rnn.data.loader import build_loader
from vqa_rnn.data.sampler import QuestionSampler
from vqa_rnn.errors import UserError
from vqa_rnn.files import read_json
from vqa_rnn.metrics.floors import caption_floors
from vqa_rnn.metrics.intervals import bootstrap_interval
from vqa_rnn.models.decoding import beam_search
from vqa_rnn.models.layers import grid_side
from vqa_rnn.records import Question

BEAM_WIDTH = 5
SO_FAR = "all words, by the words so far"
Things = Sequence[Mapping[str, Any]]


class Captions(NamedTuple):
    """The captions of some images.

    Attributes:
        texts: N captions.
        weights: For each, (words, K) the weights of the regions before each word; None without attention.
    """

    texts: list[str]
    weights: list[NDArray[np.float32]] | None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder on captions")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="where things are now: dataset.path=…")
    parser.add_argument("--scenes", required=True, metavar="FILE", help="the scenes; {split} stands for the split")
    parser.add_argument("--split", default="test", choices=["train", "val", "test"])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    try:
        report = check(
            arguments.run, arguments.overrides, arguments.scenes.replace("{split}", arguments.split), arguments.split
        )
    except UserError as error:
        return print_error(error, debug=False)
    if arguments.json:
        print(json.dumps(report))
        return 0
    table = Table("", "share", "95% interval", title=f"{arguments.run}, {arguments.split}, {report['num_images']:,} images")
    for name, row in report["rows"].items():
        table.add_row(name, f"{100 * row['share']:.1f}%", " to ".join(f"{100 * end:.1f}" for end in row["interval"]))
    Console().print(table)
    return 0


def check(path: Path, overrides: Sequence[str], scenes_path: str, split: Any) -> dict[str, Any]:
    """Write a caption for each image of a split and compare it with the scene."""
    run = move_run(load_run(path), overrides)
    if not run.config.dataset.has_captions:
        raise UserError(f"{path} answers questions: a run on captions is needed")
    annotations = read_annotations(run.config.dataset, ["train", split])
    scenes = {Path(scene["image_filename"]).name: scene for scene in read_json(Path(scenes_path), "scene file")["scenes"]}
    (member,), questions = open_members([run], annotations.split(split), annotations, split, torch.device("cpu"))
    missing = [q.image_id for q in questions if Path(q.image_id).name not in scenes]
    if missing:
        raise UserError(f"{scenes_path} has no scene of {missing[0]}")
    things = [scenes[Path(question.image_id).name]["objects"] for question in questions]
    every = [thing for scene in scenes.values() for thing in scene["objects"]]
    values = {name: sorted({thing[name] for thing in every if name in thing}) for name in ATTRIBUTES}
    images = [question.image_id for question in questions]
    rows: dict[str, tuple[NDArray[np.float64], Sequence[str]]] = {}

    captions = write(member)
    said = [read_caption(text, values) for text in captions.texts]
    rows["every named thing right"] = _each(said, things, _things_right), images
    rows["things and relation right"] = _each(said, things, _all_right), images
    exchanged = [read_caption(text, values) for text in write(member.with_shuffled_images(0)).texts]
    rows["every named thing right, images exchanged"] = _each(exchanged, things, _things_right), images
    frequent = caption_floors(annotations.split("train"), questions, 0)["most_frequent_caption"]
    floor = [read_caption(frequent[question.question_id].answer.lower(), values) for question in questions]
    rows["every named thing right, most frequent caption"] = _each(floor, things, _things_right), images
    if captions.weights is not None:
        rows |= pointing(
            said, captions.weights, things, questions, {q.image_id: annotations.images[q.image_id] for q in questions}
        )
    return {
        "num_images": len(set(images)),
        "rows": {
            name: {"share": float(scores.mean()), "interval": list(bootstrap_interval(scores, of_images))}
            for name, (scores, of_images) in rows.items()
        },
        "examples": captions.texts[:5],
    }


def write(member: Member) -> Captions:
    """Write a caption for each image."""
    model, encoded = member.model, member.encoded
    batches = QuestionSampler(encoded.image, member.run.config.evaluation.batch_size, shuffle=False)
    texts: list[str] = [""] * len(encoded)
    weights: list[NDArray[np.float32]] | None = None
    with torch.inference_mode():
        for (part,) in build_loader(encoded, member.features, batches):
            batch = part.to("cpu")
            before_head = model.encode(batch)
            written = model.write(batch, partial(beam_search, width=BEAM_WIDTH), before_head)
            looks = model.looks(batch, written, before_head)
            for row, place in enumerate(batch.question_index.tolist()):
                length = int(written.lengths[row])
                texts[place] = member.run.tokenizer.decode(written.tokens[row, :length].tolist())
                if looks is not None:
                    weights = weights or [np.zeros((0, 0), dtype=np.float32)] * len(encoded)
                    weights[place] = looks[row, :length].float().numpy()
    return Captions(texts, weights)


def _each(said: Sequence[Said], scenes: Sequence[Things], is_right: Any) -> NDArray[np.float64]:
    return np.array([float(is_right(caption, things)) for caption, things in zip(said, scenes, strict=True)])


def _things_right(said: Said, things: Things) -> bool:
    return len(said.things) == 2 and all(matching(named, things) for named in said.things)


def _all_right(said: Said, things: Things) -> bool:
    if len(said.things) != 2 or said.side not in SIDES:
        return False
    first, second = (matching(named, things) for named in said.things)
    return any(one != other and is_beside(things[one], things[other], said.side) for one in first for other in second)


def pointing(
    said: Sequence[Said],
    weights: Sequence[NDArray[np.float32]],
    scenes: Sequence[Things],
    questions: Sequence[Question],
    paths: Mapping[str, Path],
) -> dict[str, tuple[NDArray[np.float64], Sequence[str]]]:
    """Return the hits of each describing word, with the image of each: a row per kind of word, all of them, and baselines."""
    hits: dict[str, list[float]] = {name: [] for name in ("all words", *ATTRIBUTES, SO_FAR, "exchanged", "chance")}
    images: dict[str, list[str]] = {name: [] for name in hits}

    def count(name: str, hit: float, image_id: str) -> None:
        hits[name].append(hit)
        images[name].append(image_id)

    for caption, maps_TK, things, question in zip(said, weights, scenes, questions, strict=True):
        try:
            side = grid_side(maps_TK.shape[1])
        except ValueError as error:
            raise UserError(str(error)) from error
        with Image.open(paths[question.image_id]) as image:
            nearest_K = nearest_thing(things, image.size, side)
        for number, named in enumerate(caption.things):
            found = matching(named, things)
            if not found:
                continue
            is_hit_K = np.isin(nearest_K, found)
            others = caption.things[1 - number].words if len(caption.things) == 2 else ()
            for count_said, (word, attribute) in enumerate(zip(named.words, named.values, strict=True), start=1):
                hit = float(is_hit_K[maps_TK[word].argmax()])
                said_so_far = Named(dict(list(named.values.items())[:count_said]), named.words[:count_said])
                meant = matching(said_so_far, things)
                count(SO_FAR, float(nearest_K[maps_TK[word].argmax()] in meant), question.image_id)
                count("all words", hit, question.image_id)
                count(attribute, hit, question.image_id)
                count("chance", float(is_hit_K.mean()), question.image_id)
            for word in others:
                count("exchanged", float(is_hit_K[maps_TK[word].argmax()]), question.image_id)
    return {f"looks at the thing: {name}": (np.array(each), images[name]) for name, each in hits.items() if each}


if __name__ == "__main__":
    sys.exit(main())
