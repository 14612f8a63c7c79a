"""``shapes_captions``: captions of drawn scenes, in the file format of your own captions.

FOLDER/captions.jsonl              {"image": "images/train/000000.png", "captions": [five texts], "split": "train"}, …
FOLDER/scenes/SPLIT_scenes.json    the things of each image, as in CLEVR's scene files
FOLDER/images/SPLIT/000000.png
"""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preprocessing.scene_captions import DRAWN, write_captions
from preprocessing.scenes import MARGIN, describe_scene, draw_scene, sample_scene
from vqa_rnn.files import write_text
from vqa_rnn.progress import progress_bar
from vqa_rnn.records import Split

CAPTIONS_AN_IMAGE = 5


def write_shapes_captions(folder: Path, images: Mapping[Split, int], seed: int) -> dict[str, int]:
    """Write the data set.

    Args:
        folder: An empty folder.
        images: Number of images of each split.
        seed: Seed of all random draws.

    Returns:
        Numbers of images and captions by split: ``train_images``, ``train_captions``, ….
    """
    counts: dict[str, int] = {}
    lines: list[str] = []
    with progress_bar() as progress:
        for split, number_of_images in images.items():
            task = progress.add_task(split, total=number_of_images, rate="")
            scenes: list[dict[str, Any]] = []
            num_captions = 0
            (folder / "images" / split).mkdir(parents=True)
            for number in range(number_of_images):
                scene = sample_scene(seed, f"captions_{split}", number)
                name = f"images/{split}/{number:06d}.png"
                draw_scene(scene).save(folder / name)
                things = describe_scene(scene)
                generator = random.Random(f"captions of {scene.key}")
                captions = write_captions(things, CAPTIONS_AN_IMAGE, MARGIN, DRAWN, generator)
                scenes.append({"image_index": number, "image_filename": name, "split": split, "objects": things})
                lines.append(json.dumps({"image": name, "captions": captions, "split": split}))
                num_captions += len(captions)
                progress.update(task, advance=1)
            content = json.dumps({"info": {"split": split, "seed": seed}, "scenes": scenes})
            write_text(folder / "scenes" / f"{split}_scenes.json", content)
            counts |= {f"{split}_images": number_of_images, f"{split}_captions": num_captions}
    write_text(folder / "captions.jsonl", "\n".join(lines) + "\n")
    return counts
