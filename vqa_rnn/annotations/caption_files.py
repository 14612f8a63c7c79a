"""Captions in COCO's formats (https://cocodataset.org/#format-data and #format-results): references and results.

captions_val2014.json    {"images": [{"id"}, …], "annotations": [{"image_id", "id", "caption"}, …]}
results.json             [{"image_id", "caption"}, …]
"""

from collections import Counter
from collections.abc import Hashable, Iterable
from pathlib import Path

import msgspec

from vqa_rnn.annotations.json_files import read_official
from vqa_rnn.errors import UserError
from vqa_rnn.progress import counted

Id = int | str
MOST_NAMED = 3


class CaptionImage(msgspec.Struct, frozen=True, gc=False):
    """One image of a reference file.

    Attributes:
        id: Id of the image; numbers in COCO.
        file_name: Name of its file.
    """

    id: Id
    file_name: str = ""


class CaptionAnnotation(msgspec.Struct, frozen=True, gc=False):
    """One reference caption.

    Attributes:
        image_id: Id of its image.
        id: Id of the caption.
        caption: The text.
    """

    image_id: Id
    id: Id
    caption: str


class CaptionFile(msgspec.Struct, frozen=True):
    """A reference file.

    Attributes:
        images: The images.
        annotations: Their captions, in any order; empty if they are withheld.
    """

    images: list[CaptionImage]
    annotations: list[CaptionAnnotation] = []


class CaptionResult(msgspec.Struct, frozen=True, gc=False):
    """The caption that a model gave an image.

    Attributes:
        image_id: Id of the image.
        caption: The text; it may be empty.
    """

    image_id: Id
    caption: str


def read_references(path: Path) -> dict[Id, list[str]]:
    """Read the reference captions of a file.

    Args:
        path: A file in COCO's format of captions.

    Returns:
        The captions of each image, in the order of the file, at least one each.

    Raises:
        UserError: The file is missing or invalid, or has no images, an image without a caption, a caption of an unknown image,
            or an id twice.
    """
    content = read_official(path, CaptionFile, "caption annotation file")
    if not content.images:
        raise UserError(f"{path}: images: the list is empty; references are needed")
    captions: dict[Id, list[str]] = {image.id: [] for image in content.images}
    _refuse(_repeated(image.id for image in content.images), path, "image", "listed twice")
    _refuse(_repeated(annotation.id for annotation in content.annotations), path, "caption id", "used twice")
    _refuse(
        [annotation.id for annotation in content.annotations if annotation.image_id not in captions],
        path,
        "caption",
        "of an image that is not in the file",
    )
    for annotation in content.annotations:
        captions[annotation.image_id].append(annotation.caption)
    _refuse([image for image, texts in captions.items() if not texts], path, "image", "without a reference caption")
    return captions


def read_caption_results(path: Path) -> list[CaptionResult]:
    """Read the captions that a model gave.

    Args:
        path: A file in COCO's format of results.

    Returns:
        The captions in the order of the file.

    Raises:
        UserError: The file is missing, invalid or empty.
    """
    results = read_official(path, list[CaptionResult], "caption result file")
    if not results:
        raise UserError(
            f'{path}: the list is empty; a record such as {{"image_id": 1, "caption": "a cat"}} per image is needed'
        )
    return results


def _repeated(ids: Iterable[Hashable]) -> list[Hashable]:
    return [name for name, times in Counter(ids).items() if times > 1]


def _refuse(names: list[Hashable], path: Path, what: str, how: str) -> None:
    """Raise an error that names the first few of some records, if there are any."""
    if names:
        few = ", ".join(map(str, names[:MOST_NAMED])) + (", …" if len(names) > MOST_NAMED else "")
        raise UserError(f"{path}: {counted(len(names), f'{what}s')} {how} ({few})")
