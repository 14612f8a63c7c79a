"""Search for the feature store of a config: by its name, else by its contents."""

import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import xxhash

from vqa_rnn.config import STORE_SUFFIXES, Config, store_path
from vqa_rnn.errors import UserError
from vqa_rnn.features.check import check_store
from vqa_rnn.features.store import FeatureStore, open_store, partial_path
from vqa_rnn.features.store.parts import JOINED, is_part, joined_path

log = logging.getLogger("vqa_rnn")

IMAGES_COMPARED = 16
_UNFINISHED = ".partial"


def find_store(
    config: Config, images: Mapping[str, Path | None], fingerprint: str | None = None, *, unfinished: bool = False
) -> Path:
    """Find the store with the features of some images.

    The default name of a store depends on the path of its data set. If there is no store of that name, for example because the
    data set was moved, the other stores of the folder are searched for one made with the same settings from the same images.

    Args:
        config: The config. If ``features.store`` is set, the folder is not searched.
        images: Image files by image id; None if a file is not available.
        fingerprint: Fingerprint of the wanted features, if known.
        unfinished: Also accept stores that are unfinished or lack some of the images.

    Returns:
        The path of the store, or the default path if there is none.

    Raises:
        UserError: Several stores match, and there are no image files to tell them apart.
    """
    default = store_path(config)
    if default.is_file() or (unfinished and partial_path(default).is_file()):
        return default
    if joined_path(default).is_file():
        return joined_path(default)
    if config.features.store is not None:
        return default
    found: dict[Path, int] = {}
    weights: dict[Path, str] = {}
    suffixes = {default.suffix, JOINED} if unfinished else {*STORE_SUFFIXES, JOINED}
    for path in sorted(default.parent.glob(f"{config.dataset.name}-*")):
        is_partial = path.stem.endswith(_UNFINISHED)
        if path.suffix not in suffixes or is_part(path) or (is_partial and not unfinished):
            continue
        try:
            store = open_store(path)
            check_store(store, config.features)
        except UserError:
            continue
        shared = store.row_of.keys() & images.keys()
        complete = unfinished or images.keys() <= shared | store.skipped
        fits = fingerprint in (None, store.fingerprint) and shared and complete
        if fits and _holds_the_same(store, {image_id: images[image_id] for image_id in sorted(shared)}, fingerprint):
            path = path.with_stem(path.stem.removesuffix(_UNFINISHED))
            found[path], weights[path] = len(shared), store.weights
    if not found:
        return default
    most = max(found.values())
    best = [path for path, count in found.items() if count == most]
    if len(best) > 1 and not any(path is not None and path.is_file() for path in images.values()):
        raise UserError(f"{best[0]} and {best[1]} both match: set features.store to one of them")
    _say(best[0], weights[best[0]])
    return best[0]


@cache
def _say(path: Path, weights: str) -> None:
    """Log which store is used. Cached, because a command looks for its store several times."""
    of = f" and weights ({weights})" if weights else ""
    log.info("features are taken from %s, which was made with the same settings%s", path, of)


def _holds_the_same(store: FeatureStore, images: Mapping[str, Path | None], fingerprint: str | None) -> bool:
    """Check a few image files, spread over all, against the hashes in the store. Without files, a fingerprint is enough."""
    at_hand = [(image_id, path) for image_id, path in images.items() if path is not None and path.is_file()]
    if not at_hand:
        return fingerprint is not None
    some = at_hand[:: max(1, -(-len(at_hand) // IMAGES_COMPARED))]
    return all(
        xxhash.xxh64_intdigest(path.read_bytes()) == store.source_hash[store.row_of[image_id]] for image_id, path in some
    )
