"""Write captions of CLEVR's scenes, in the file format of dataset.name=captions.

    python scripts/clevr_captions.py data/CLEVR_v1.0 data/clevr_captions [--scenes "scenes/CLEVR_{split}_scenes.json"]
        [--images "images/{split}"]

Writes OUTPUT/captions.jsonl, with up to five captions per image of the training and validation scenes. Images stay where they
are.
"""

import argparse
import json
import os
import random
import sys
from pathlib import Path

from preprocessing.scene_captions import RENDERED, write_captions
from vqa_rnn.cli import print_error
from vqa_rnn.errors import UserError
from vqa_rnn.files import read_json, write_text

MARGIN = 20  # pixels
CAPTIONS_AN_IMAGE = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--scenes", default="scenes/CLEVR_{split}_scenes.json", help="the scene file of a split, inside ROOT")
    parser.add_argument("--images", default="images/{split}", help="the image folder of a split, inside ROOT")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        count = write(arguments.root, arguments.output, arguments.scenes, arguments.images, arguments.seed)
    except UserError as error:
        return print_error(error, debug=False)
    print(f"{arguments.output / 'captions.jsonl'}: {count:,} images")
    return 0


def write(root: Path, output: Path, scenes: str, images: str, seed: int) -> int:
    """Write the file, and return the number of images."""
    lines = []
    for split in ("train", "val"):
        path = root / scenes.replace("{split}", split)
        content = read_json(path, "scene file")
        if not isinstance(content, dict) or "scenes" not in content:
            raise UserError(f"{path} is no CLEVR scene file: the key 'scenes' is missing")
        for scene in content["scenes"]:
            name = scene["image_filename"]
            captions = write_captions(
                scene["objects"], CAPTIONS_AN_IMAGE, MARGIN, RENDERED, random.Random(f"{seed}/captions of {name}")
            )
            if captions:
                image = os.path.relpath(root / images.replace("{split}", split) / name, output)
                lines.append(json.dumps({"image": image, "captions": captions, "split": split}))
    write_text(output / "captions.jsonl", "\n".join(lines) + "\n")
    return len(lines)


if __name__ == "__main__":
    sys.exit(main())
