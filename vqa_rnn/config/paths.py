"""Paths of the feature store and the run folder of a config."""

import hashlib
import json
import re
from pathlib import Path

from vqa_rnn.config.features import REGION_OPTIONS, SUFFIXES
from vqa_rnn.config.whole import Config, TrainableConfig


def store_path(config: Config) -> Path:
    """Return the path of a config's feature store.

    Args:
        config: The config.

    Returns:
        ``features.store`` if it is set; else a file in ``features/``, named after data set, backbone and settings.
    """
    features = config.features
    if features.store is not None:
        return features.store
    how_kept = {"store", "format", "precision", "batch_rows", "compile", "skip_damaged"}  # not part of the name
    if features.output != "boxes":
        how_kept.add("box_method")
    if features.output != "regions":
        how_kept.update(REGION_OPTIONS)
    settings = json.dumps([_movable(config.dataset.source), features.model_dump(mode="json", exclude=how_kept)], sort_keys=True)
    digest = hashlib.sha256(settings.encode()).hexdigest()[:8]
    backbone = re.sub(r"[^\w.-]+", "-", features.backbone).strip("-")[-80:]
    return Path("features") / f"{config.dataset.name}-{backbone}-{digest}{SUFFIXES[features.format]}"


def _movable(place: str) -> str:
    """Return a path relative to the working directory if it is inside it, so that the directory can be moved."""
    here = Path.cwd().resolve()
    return Path(place).relative_to(here).as_posix() if place and Path(place).is_relative_to(here) else place


def run_path(config: TrainableConfig) -> Path:
    """Return the run folder of a config.

    Args:
        config: The config.

    Returns:
        ``run.folder`` / ``run.name``; the name ``unnamed`` is used if there is none.
    """
    return config.run.folder / (config.run.name or "unnamed")
