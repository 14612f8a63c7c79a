"""Photographs with captions: COCO, Flickr8k and Flickr30k.

COCO captions: Chen et al. 2015 (https://arxiv.org/abs/1504.00325). Flickr8k: Hodosh et al. 2013
(https://doi.org/10.1613/jair.3994). Flickr30k: Young et al. 2014 (https://aclanthology.org/Q14-1006).

    dataset_coco.json                      Karpathy's split file, also for Flickr: {"images": [{"filename", "filepath",
                                           "split", "cocoid", "sentences": [{"raw"}, …]}, …]}; ``restval`` is part of train
    annotations/captions_val2014.json      {"images": [{"id", "file_name"}, …], "annotations": [{"image_id", "caption"}, …]}
    Flickr8k.token.txt                     IMAGE.jpg#0<tab>caption, five lines per image
    Flickr_8k.trainImages.txt, …           an image file per line
    results_20130124.token                 as Flickr8k.token.txt, without splits

The id of an image is COCO's number, or the name of a Flickr file. Captions of images that are in no split are left out, such as
``2258277193_586949ec62.jpg.1`` in Flickr8k, whose file does not exist.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from vqa_rnn.annotations.caption_files import CaptionFile, Id
from vqa_rnn.annotations.captions import caption_question
from vqa_rnn.annotations.json_files import read_official
from vqa_rnn.config import CocoCaptionsDataset, Flickr8kDataset, Flickr30kDataset
from vqa_rnn.errors import UserError
from vqa_rnn.files import read_utf8
from vqa_rnn.records import Annotations, Question, Split

WHAT = "captions"
SPLIT_FILE = "split file of captions"
FLICKR8K_SPLITS: dict[Split, str] = {"train": "train", "val": "dev", "test": "test"}
_KARPATHY_SPLITS: dict[str, Split] = {"train": "train", "restval": "train", "val": "val", "test": "test"}


class _Sentence(msgspec.Struct, gc=False):
    raw: str


class _SplitImage(msgspec.Struct, gc=False):
    filename: str
    split: str
    sentences: list[_Sentence]
    filepath: str = ""
    cocoid: int | None = None


class _SplitFile(msgspec.Struct):
    images: list[_SplitImage]


def read_coco_captions(dataset: CocoCaptionsDataset, splits: Sequence[Split]) -> Annotations:
    """Read COCO's captions.

    Args:
        dataset: Options of the data set.
        splits: The splits to read. With the official files, ``test`` is empty if its file is missing.

    Returns:
        A question per image, with COCO's number as its id.

    Raises:
        UserError: A file is missing or invalid.
    """
    if dataset.split_file is not None:
        return _read_split_file(dataset.root, dataset.split_file, dataset.root, splits)
    questions: list[Question] = []
    images: dict[str, Path] = {}
    files: list[Path] = []
    for split in splits:
        path = dataset.root / dataset.annotations.replace("{split}", split)
        if split == "test" and not path.is_file():
            continue
        content = read_official(path, CaptionFile, WHAT)
        files.append(path)
        captions: dict[Id, list[str]] = {image.id: [] for image in content.images}
        for number, caption in enumerate(content.annotations):
            if caption.image_id not in captions:
                raise UserError(f"{path}: annotations[{number}].image_id: there is no image {caption.image_id} in this file")
            captions[caption.image_id].append(caption.caption)
        for image in content.images:
            image_id = str(image.id)
            if captions[image.id] or split == "test":
                images[image_id] = dataset.root / f"{split}2014" / image.file_name
                questions.append(caption_question(image_id, image_id, split, captions[image.id]))
    return Annotations(questions=tuple(questions), images=images, files=tuple(files))


def read_flickr8k(dataset: Flickr8kDataset, splits: Sequence[Split]) -> Annotations:
    """Read the captions of Flickr8k.

    Args:
        dataset: Options of the data set.
        splits: The splits to read.

    Returns:
        A question per image, with the name of the file as its id.

    Raises:
        UserError: A file is missing or invalid.
    """
    if dataset.split_file is not None:
        return _read_split_file(dataset.root, dataset.split_file, dataset.root / dataset.images, splits)
    path = dataset.root / "Flickr8k.token.txt"
    captions = _read_tokens(path)
    files = [path]
    questions = []
    for split in splits:
        listing = dataset.root / f"Flickr_8k.{FLICKR8K_SPLITS[split]}Images.txt"
        files.append(listing)
        for number, line in enumerate(_lines(listing), start=1):
            name = line.strip()
            if not name:
                continue
            if name not in captions:
                raise UserError(f"{listing}:{number}: {name} has no captions in {path.name}")
            questions.append(caption_question(name, name, split, captions[name]))
    return _flickr(questions, dataset.root / dataset.images, files)


def read_flickr30k(dataset: Flickr30kDataset, splits: Sequence[Split]) -> Annotations:
    """Read the captions of Flickr30k.

    Args:
        dataset: Options of the data set.
        splits: The splits to read; without a split file all images are in ``train``.

    Returns:
        A question per image, with the name of the file as its id.

    Raises:
        UserError: A file is missing or invalid.
    """
    if dataset.split_file is not None:
        return _read_split_file(dataset.root, dataset.split_file, dataset.root / dataset.images, splits)
    path = dataset.root / "results_20130124.token"
    read = _read_tokens(path) if "train" in splits else {}
    questions = [caption_question(name, name, "train", captions) for name, captions in read.items()]
    return _flickr(questions, dataset.root / dataset.images, [path])


def _flickr(questions: Sequence[Question], folder: Path, files: Sequence[Path]) -> Annotations:
    images = {question.image_id: folder / question.image_id for question in questions}
    return Annotations(questions=tuple(questions), images=images, files=tuple(files))


def _read_split_file(root: Path, name: str, folder: Path, splits: Sequence[Split]) -> Annotations:
    """Read Karpathy's split file; ``folder`` contains the images, or their folders."""
    path = root / name
    questions: list[Question] = []
    images: dict[str, Path] = {}
    for number, image in enumerate(read_official(path, _SplitFile, SPLIT_FILE).images):
        split = _KARPATHY_SPLITS.get(image.split)
        if split is None:
            known = ", ".join(_KARPATHY_SPLITS)
            raise UserError(f"{path}: images[{number}].split: '{image.split}' is unknown (known: {known})")
        if not image.sentences:
            raise UserError(f"{path}: images[{number}].sentences is empty: an image needs a caption")
        if split not in splits:
            continue
        image_id = image.filename if image.cocoid is None else str(image.cocoid)
        images[image_id] = folder / image.filepath / image.filename
        questions.append(caption_question(image_id, image_id, split, [sentence.raw for sentence in image.sentences]))
    return Annotations(questions=tuple(questions), images=images, files=(path,))


def _read_tokens(path: Path) -> dict[str, list[str]]:
    """Read a token file: the captions of each image, in order."""
    captions: dict[str, list[str]] = {}
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        place, tab, caption = line.partition("\t")
        name, mark, index = place.rpartition("#")
        if not tab or not mark or not index.isdigit() or not caption.strip():
            raise UserError(f"{path}:{number}: IMAGE.jpg#0, a tab and a caption are needed, not {line.strip()[:60]!r}")
        captions.setdefault(name, []).append(caption)
    if not captions:
        raise UserError(f"{path} is empty: lines such as IMAGE.jpg#0, a tab and a caption are needed")
    return captions


def _lines(path: Path) -> list[str]:
    return read_utf8(path, f"no {WHAT} at {path}: put the official file there, or set dataset.root").splitlines()
