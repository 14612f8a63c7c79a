"""Helpers of several commands, which open the data of a config or a run."""

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vqa_rnn.annotations.unchanged import changed_files
from vqa_rnn.benchmarks import BENCHMARKS
from vqa_rnn.checkpoint import Run, load_run
from vqa_rnn.config import Config, ModelConfig, TextEncoderConfig
from vqa_rnn.config.files import change_config, config_changes
from vqa_rnn.data.columns import EncodedQuestions
from vqa_rnn.data.store_features import StoreFeatures
from vqa_rnn.errors import UserError
from vqa_rnn.features.check import check_store
from vqa_rnn.features.find import find_store
from vqa_rnn.features.store import FeatureStore, open_store
from vqa_rnn.progress import counted
from vqa_rnn.records import Annotations, Question, Split

log = logging.getLogger("vqa_rnn")

# Options that may differ from the training config whenever a run is used: locations, the device and how to measure.
MAY_MOVE = ("evaluation.", "run.device", "dataset.root", "dataset.path", "dataset.extra", "features.store")
_ENTERS = {
    "first_state": "{} sets the first state (first_state)",
    "first_word": "{} is read as a word before the others (first_word)",
    "first_step": "{} is read in the first step (first_step)",
    "every_step": "{} is read in every step (every_step)",
}
_LOOKS = {
    "none": "none",
    "soft": "attention over the regions before a word is read (soft)",
    "spatial": "attention over the regions after a word is read (spatial)",
}


def move_run(run: Run, overrides: Sequence[str]) -> Run:
    """Apply overrides to the config of a run, such as new locations of its data or other evaluation options.

    Args:
        run: The run.
        overrides: ``section.key=value`` each, of ``MAY_MOVE``.

    Returns:
        The run with the changed config.

    Raises:
        UserError: An override is invalid or not in ``MAY_MOVE``.
    """
    if not overrides:
        return run
    changed = change_config(run.config, overrides, MAY_MOVE, str(run.path))
    return dataclasses.replace(run, config=changed)


def open_runs(paths: Sequence[str | Path], overrides: Sequence[str]) -> list[Run]:
    """Open runs of one data set.

    Args:
        paths: The run folders.
        overrides: As in ``move_run``.

    Returns:
        The runs.

    Raises:
        UserError: A run is given twice, or its data set differs from that of the first run.
    """
    if len({Path(path).resolve() for path in paths}) < len(paths):
        raise UserError("a run comes twice: give each once")
    runs = [move_run(load_run(path), overrides) for path in paths]
    for run in runs[1:]:
        changes = config_changes(runs[0].config, run.config)
        differing = [key for key in changes if key.startswith("dataset.") and key != "dataset.extra"]
        if differing:
            raise UserError(f"{run.path} and {runs[0].path} do not answer the same questions: {', '.join(differing)} differ")
    return runs


def open_ensemble(paths: Sequence[str | Path], overrides: Sequence[str]) -> list[Run]:
    """Open a run, or the runs of an ensemble.

    Args:
        paths: The run folders.
        overrides: As in ``move_run``.

    Returns:
        The runs.

    Raises:
        UserError: As in ``open_runs``; or the head of a run differs from that of the first run, or several write captions.
    """
    runs = open_runs(paths, overrides)
    if len(runs) > 1 and runs[0].config.dataset.has_captions:
        raise UserError(f"{runs[0].path} writes captions, which cannot be averaged with those of another run: give one run")
    for run in runs[1:]:
        changes = config_changes(runs[0].config, run.config)
        heads = [key for key in ("model.head.name", "model.head.loss") if key in changes]
        if heads:
            raise UserError(f"{run.path} and {runs[0].path} cannot be averaged: {' and '.join(heads)} differ")
    return runs


def check_unchanged(run: Run, annotations: Annotations, split: Split) -> None:
    """Check that a split has no images that the run learned from because an annotation file has changed.

    Other changes of the annotation files are only logged.

    Args:
        run: The run.
        annotations: The annotations as they are now.
        split: The split to measure.

    Raises:
        UserError: A file has changed since the run began, and the split is cut from the same images as the training split.
    """
    changed, _ = changed_files(run.config.dataset, run.annotations)
    if not changed:
        return
    if split in annotations.cut_splits:
        raise UserError(
            f"{changed[0]} has changed since {run.path} was trained: its {split} split is now drawn from other images "
            "and may contain training images of this run. Restore the file, train again, or set the split of each record in "
            "the data."
        )
    log.warning("%s has changed since %s was trained: the current data and floors are used", changed[0], run.path)


def describe_model(model: ModelConfig) -> dict[str, str]:
    """Describe the parts of a model in a few words each.

    Args:
        model: Its options.

    Returns:
        Text by part, such as ``{"Head": "classifier"}``. A question that the model does not see has no encoder.
    """
    sees_question = model.ablate in ("none", "question_only")
    attention = "mean of the regions" if model.attention.name == "none" else model.attention.name
    joins = model.reasoning.name if model.reasoning.name != "none" else f"{attention}, {model.fusion.name}"
    parts = {"Question encoder": describe_question_encoder(model.question)} if sees_question else {}
    parts["Attention and fusion"] = joins
    head = model.head
    if head.name != "generative":
        return parts | {"Head": head.name}
    layers = f" and {head.num_layers} layers" if head.num_layers > 1 else ""
    enters = _ENTERS[head.conditioning].format("the image" if model.ablate == "image_only" else "the joint vector")
    return parts | {
        "Decoder": f"{head.cell} of size {head.hidden_size}{layers}",
        "Conditioning": enters,
        "Look": _LOOKS[head.look],
    }


def describe_question_encoder(question: TextEncoderConfig) -> str:
    """Describe a question encoder in a few words.

    Args:
        question: Its options.

    Returns:
        Text such as ``lstm of size 256 over word vectors``.
    """
    words = "transformer states" if question.name == "transformer" else "word vectors"
    if question.alone:
        return f"{words} pooled by {question.pooling}"
    cell = f"bidirectional {question.cell}" if question.bidirectional else question.cell
    return f"{cell} of size {question.hidden_size} over {words}"


def counts_of(report: Mapping[str, Any]) -> dict[str, int]:
    """Return the numbers of what was evaluated.

    Args:
        report: The report of an evaluation.

    Returns:
        Such as ``{"questions": 12, "images": 4}``; of captions ``{"images": 4}``, as each image has one record.
    """
    records = BENCHMARKS[report["benchmark"]].options.nouns().records
    return {records: report["num_questions"], "images": report["num_images"]}


def images_of(questions: Sequence[Question], annotations: Annotations) -> dict[str, Path]:
    """Return the image files of some questions.

    Args:
        questions: The questions.
        annotations: The annotations that the questions are from.

    Returns:
        Path by image id.
    """
    return {question.image_id: annotations.images[question.image_id] for question in questions}


def store_of_config(config: Config, images: Mapping[str, Path | None], run: Run | None = None) -> FeatureStore:
    """Open and check the feature store of a config.

    Args:
        config: The config.
        images: The images wanted: their files by id, None for files that are not available.
        run: A run that was trained on the store.

    Returns:
        The store.

    Raises:
        UserError: The store was made with other options than the config has, is not the one that the run was trained on, has no
            region positions although ``model.geometry`` needs them, or has no grid although ``model.reasoning`` needs one.
    """
    store = open_store(find_store(config, images, run.features["fingerprint"] if run else None))
    check_store(store, config.features)
    if config.model.geometry and not store.has_boxes and not _is_grid(store):
        raise UserError(
            f"{store.path} has {counted(store.num_regions_max, 'regions')} without boxes, which do not form a grid: make "
            "features with features.output=grid or boxes, or set model.geometry=false"
        )
    kernel_size = getattr(config.model.reasoning, "kernel_size", 1)
    if kernel_size > 1 and not _is_grid(store):
        raise UserError(
            f"model.reasoning.name={config.model.reasoning.name} has kernels of {kernel_size} x {kernel_size}, and "
            f"{store.path} has no square grid of regions: make features with features.output=grid, or set "
            "model.reasoning.kernel_size=1"
        )
    if run is not None and store.fingerprint != run.features["fingerprint"]:
        raise UserError(
            f"{store.path} holds other features than {run.path} was trained on (fingerprint {store.fingerprint}, not "
            f"{run.features['fingerprint']}): were other weights used?"
        )
    return store


def _is_grid(store: FeatureStore) -> bool:
    """Return whether the regions are the cells of a square grid. A store of ``features.library=none`` has no grid."""
    has_cells = store.attributes["transform"].get("output") == "grid" and not store.attributes["backbone"].startswith("none/")
    return has_cells and math.isqrt(store.num_regions_max) ** 2 == store.num_regions_max


def readable_questions(config: Config, store: FeatureStore, questions: Sequence[Question], what: str) -> tuple[Question, ...]:
    """Leave out questions whose images could not be read, if ``features.skip_damaged`` is set.

    Args:
        config: The config.
        store: The feature store of the config.
        questions: The questions.
        what: The kind of questions for messages, such as ``training``.

    Returns:
        The remaining questions. The number of questions that are left out is logged.

    Raises:
        UserError: No question remains.
    """
    if not config.features.skip_damaged:
        return tuple(questions)
    kept = tuple(question for question in questions if question.image_id not in store.skipped)
    if len(kept) < len(questions):
        count, records = len(questions) - len(kept), config.dataset.nouns().records
        if not kept:
            raise UserError(f"{store.path}: none of the image files of the {what} {records} could be read when it was made")
        log.warning(
            "%d of %s are left out: the image files could not be read", count, counted(len(questions), f"{what} {records}")
        )
    return kept


def open_features(store: FeatureStore, encoded: EncodedQuestions) -> StoreFeatures:
    """Open the features of a set of questions.

    Args:
        store: From ``store_of_config``.
        encoded: The questions.

    Returns:
        The features of their images.

    Raises:
        UserError: An image has no features, or the store lacks a region that a question has as a choice.
    """
    features = StoreFeatures(store, encoded.image_ids)
    lengths = encoded.choice_regions.lengths(np.arange(len(encoded)))
    if lengths.any():
        num_regions = store.num_regions[features.rows[encoded.image]]
        beyond = encoded.choice_regions.values >= np.repeat(num_regions, lengths)
        if not store.has_boxes or beyond.any():
            question = int(np.repeat(np.arange(len(encoded)), lengths)[beyond.argmax()])
            raise UserError(
                f"{store.path} does not hold the boxes that question {encoded.question_ids[question]} chooses among: run "
                "vqa-rnn preprocess with features.output=boxes and this data set"
            )
    return features


def check_questions(config: Config, questions: Sequence[Question]) -> None:
    """Check that questions suit the model's head.

    Args:
        config: The config.
        questions: The questions.

    Raises:
        UserError: The answers are captions and the head does not write; the head is a classifier and the choices are regions;
            or it is another head (a generative one is measured by how it ranks choices) and a question has fewer than two
            choices of the kind that the head needs.
    """
    head = config.model.head
    if config.dataset.has_captions:
        if head.name != "generative":
            raise UserError(
                f"{config.dataset.name} has captions, which a model writes: set model.head.name=generative (given: {head.name})"
            )
        return
    if head.name == "classifier":
        if questions and questions[0].choice_regions:
            raise UserError(
                f"question {questions[0].question_id} chooses among regions of the image: set model.head.name=choice and "
                "model.head.choices=regions"
            )
        return
    regions = head.name != "generative" and head.choices == "regions"
    which = "" if head.name == "generative" else f" with model.head.choices={head.choices}"
    for question in questions:
        choices = question.choice_regions if regions else question.choices
        if len(choices) < 2:
            raise UserError(
                f"question {question.question_id} has {len(choices)} choices, but model.head.name={head.name}{which} "
                "needs at least two for every question"
            )
