"""``vqa-rnn preprocess``: from images to a feature store."""

import logging
import os

from preprocessing.extract_features import ExtractionReport, extract_features
from vqa_rnn.annotations.mirrored import with_mirrored
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.config import Config
from vqa_rnn.engines import launched, launched_here, own_device
from vqa_rnn.features.store.parts import Share
from vqa_rnn.progress import counted
from vqa_rnn.records import SPLITS, Annotations
from vqa_rnn.threads import num_cpus

log = logging.getLogger("vqa_rnn")


def preprocess(config: Config, *, check_images: bool = False) -> ExtractionReport:
    """Create or complete the feature store of a config, for the images of all its splits.

    With ``training.mirror`` the store also has the mirrored images of the training and validation splits; with folds, of all
    splits. Under torchrun, ``srun`` or in a SLURM array, each process makes one part of the store.

    Args:
        config: The config.
        check_images: Check every image file for changes, as in ``extract_features``.

    Returns:
        The report of the extraction.
    """
    annotations = read_annotations(config.dataset.with_all_questions())
    _warn_of_shared_images(annotations)
    if config.training.mirror:
        # also val, and test if there are folds, because a refit or another fold trains on them
        annotations = with_mirrored(annotations, ("train", "val") if config.dataset.folds is None else SPLITS)
    return extract_features(
        config,
        annotations,
        device=str(own_device(config.run.device)),
        share=_own_share(),
        num_workers=max(1, num_cpus() // launched_here()),
        check_images=check_images,
    )


def _own_share() -> Share:
    """Return the share of this process: from its index in a SLURM job array, or from its rank among the processes of a job."""
    environment = os.environ
    if {"SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT"} <= set(environment):
        index = int(environment["SLURM_ARRAY_TASK_ID"]) - int(environment["SLURM_ARRAY_TASK_MIN"])
        step = int(environment.get("SLURM_ARRAY_TASK_STEP", 1))
        return Share(index // step, int(environment["SLURM_ARRAY_TASK_COUNT"]))
    return Share(*launched())


def _warn_of_shared_images(annotations: Annotations) -> None:
    """Log a warning if the validation or test split has training images."""
    images = {split: {question.image_id for question in annotations.split(split)} for split in SPLITS}
    for split in ("val", "test"):
        shared = sorted(images["train"] & images[split])
        if shared:
            log.warning(
                "%s in train and in %s, such as %s: results there are partly on training images",
                counted(len(shared), "images"),
                split,
                shared[0],
            )
