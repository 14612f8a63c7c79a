"""``vqa-rnn preprocess``: images to a feature store."""

import logging

from preprocessing.extract_features import ExtractionReport, extract_features
from vqa_rnn.annotations import load_annotations
from vqa_rnn.commands.shared import with_all_questions
from vqa_rnn.config import Config
from vqa_rnn.engines import choose_device
from vqa_rnn.records import SPLITS, Annotations

log = logging.getLogger("vqa_rnn")


def preprocess(config: Config) -> ExtractionReport:
    """Make or finish the feature store of a config, for the images of all its splits.

    Args:
        config: The config.

    Returns:
        What was done.
    """
    annotations = load_annotations(with_all_questions(config.dataset))
    _warn_of_shared_images(annotations)
    return extract_features(config, annotations, device=str(choose_device(config.run.device)))


def _warn_of_shared_images(annotations: Annotations) -> None:
    """Say so where an image is both learned from and measured on."""
    images = {split: {question.image_id for question in annotations.split(split)} for split in SPLITS}
    for split in ("val", "test"):
        shared = sorted(images["train"] & images[split])
        if shared:
            log.warning(
                "%d images, such as %s, have questions in train and in %s: what is measured there was partly learned",
                len(shared),
                shared[0],
                split,
            )
