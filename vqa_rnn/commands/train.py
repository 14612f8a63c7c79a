"""``vqa-rnn train``: from a config to a run folder."""

import dataclasses
import json
import logging
import math
import os
import shutil
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vqa_rnn.annotations.mirrored import MIRRORED, with_mirrored
from vqa_rnn.annotations.unchanged import changed_files, hash_files
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.checkpoint import Run, create_run, load_run, load_start, open_start
from vqa_rnn.commands.computing import check_precision, choose_precision, prepare_torch
from vqa_rnn.commands.shared import MAY_MOVE, images_of, open_features, readable_questions, store_of_config
from vqa_rnn.commands.training_data import (
    SPLIT_NAMES,
    build_vocabularies,
    encode_splits,
    encoded_splits,
    find_questions,
    measure_sizes,
    read_vectors,
)
from vqa_rnn.config import (
    Config,
    TrainingConfig,
    run_path,
)
from vqa_rnn.config.files import check_changes, config_changes
from vqa_rnn.data.columns import EncodedQuestions
from vqa_rnn.data.device import DeviceLoader, NoFeatures, choose_place, hold_on_device
from vqa_rnn.data.loader import Loader, build_loader
from vqa_rnn.data.question_file import open_questions, save_questions
from vqa_rnn.data.sampler import QuestionSampler
from vqa_rnn.data.store_features import StoreFeatures
from vqa_rnn.engines import (
    ACCURACY,
    CIDER,
    Examples,
    Loggers,
    TokenCider,
    Training,
    build_caption_evaluator,
    build_evaluator,
    build_optimization,
    build_trainer,
    computing_with,
    copy_for_average,
    is_first,
    launched,
    manual_seed,
    on_first,
    processes,
    processes_here,
)
from vqa_rnn.errors import UserError
from vqa_rnn.features.statistics import channel_statistics
from vqa_rnn.features.store import FeatureStore
from vqa_rnn.files import append_line
from vqa_rnn.models import VqaModel, count_products
from vqa_rnn.models.generative import GenerativeHead
from vqa_rnn.pretrained_text import read_weights
from vqa_rnn.progress import counted
from vqa_rnn.records import Question, Split
from vqa_rnn.run_folder import check_new_run, load_checkpoint, lock_run, log_to_file
from vqa_rnn.threads import choose_threads, num_cpus
from vqa_rnn.word_vectors import WordVectors

log = logging.getLogger("vqa_rnn")

# Options that may differ when a run is resumed. They affect locations, speed and logging, but not what is learned.
MAY_CHANGE = (
    *MAY_MOVE,
    "training.num_workers",
    "training.features_on",
    "training.checkpoint_minutes",
    "training.keep_checkpoints",
    "training.loggers",
    "training.profile_steps",
)
NUM_EXAMPLES = 3  # number of example questions saved in a run
# Validation images. CIDEr prefers captions with 30% of the words exchanged to those with 40% in 73% of samples of 2 captions of
# VisDial, 82% of 5, 93% of 10 and 97% of 20.
FEWEST_FOR_CIDER = 20


def train(config: Config, *, resume: bool = False, overwrite: bool = False) -> Run:
    """Train a model on the training split and select its epoch by validation score.

    With ``training.refit``, train on both splits. Under torchrun or SLURM, every process calls this function and they train
    together. A job that was restarted by its launcher resumes the run that it began, as with ``resume``.

    Args:
        config: The config. Its feature store must exist.
        resume: Resume an existing run from its last checkpoint.
        overwrite: Replace an existing run.

    Returns:
        The finished run.

    Raises:
        UserError: The run folder exists (or, to resume, does not exist), another process trains in it, features are missing,
            the data do not fit the config, or the loss was not finite.
        Interrupted: Ctrl-C or SIGTERM; the state is saved.
    """
    with processes(config.run.device) as device, ExitStack() as stack, Loggers(config) as loggers:
        path = run_path(config)
        checkpoint = on_first(lambda: _prepare(config, device, stack, loggers, resume=resume, overwrite=overwrite))
        run = load_run(path)
        run = dataclasses.replace(run, config=config)
        if not is_first():
            checkpoint = load_checkpoint(run)
        with log_to_file(run) if is_first() else ExitStack(), computing_with(run.threads, device):
            _fit(run, device, checkpoint, loggers)
        if is_first():
            shutil.rmtree(run.path / "questions", ignore_errors=True)  # a network disk keeps files that are still mapped
    return run


def _prepare(
    config: Config, device: torch.device, stack: ExitStack, loggers: Loggers, *, resume: bool, overwrite: bool
) -> Mapping[str, Any] | None:
    """Lock the run folder, write what all processes need, and return the checkpoint; only the first process does this."""
    loggers.check()
    path = run_path(config)
    resume = resume or _was_restarted(config)
    if not resume:
        check_new_run(path, overwrite=overwrite)
    check_precision(config.training, device)
    run = _run_to_resume(config) if resume else None
    checkpoint = load_checkpoint(run) if run else None
    is_encoded = run is not None and all(run.questions_path(split).is_file() for split in encoded_splits(config))
    annotations = None if is_encoded else read_annotations(config.dataset, list(SPLIT_NAMES))
    if annotations is not None and config.training.mirror:
        annotations = with_mirrored(annotations, config.training.splits)
    questions = {} if annotations is None else find_questions(config, annotations)
    start = None if run else open_start(config)
    if start is not None and start.path.resolve() == path.resolve():
        raise UserError(f"training.start_from={start.path} is the run that would be replaced: set run.name to another name")
    if start is not None and start.config.training.refit is not None and config.training.refit is None:
        raise UserError(
            f"training.start_from={start.path} learned from the validation split (training.refit), which cannot choose an "
            "epoch any more: set training.refit here too"
        )
    known = run or start
    if annotations is None:
        assert run is not None, "only a run that is resumed has encoded questions"
        images: Mapping[str, Path | None] = _images_of_encoded(run)
    else:
        images = images_of([question for each in questions.values() for question in each], annotations)
    store = store_of_config(config, images, known)
    questions = {split: readable_questions(config, store, each, SPLIT_NAMES[split]) for split, each in questions.items()}
    tokenizer, answers = (known.tokenizer, known.answers) if known else build_vocabularies(config, questions["train"])
    vectors = read_vectors(config, tokenizer) if checkpoint is None else None
    encoded = encode_splits(config, questions, tokenizer, answers)
    for split in encoded:
        open_features(store, encoded[split])  # checks that every image has the features that its questions need
    if run is None:
        assert annotations is not None, "only a run that is resumed has encoded questions"
        sizes = measure_sizes(config, tokenizer, store, answers)
        questions_a_part = -(-config.training.batch_size // (config.training.accumulation * launched()[1]))
        products = count_products(config.model, sizes, questions_a_part)
        precision = choose_precision(config.training, device, products)
        threads = config.training.num_threads or choose_threads(products, processes_here())
        description = {
            **store.description,
            "weights": store.weights,
            "fingerprint": store.fingerprint,
            "compute": store.attributes["compute"],
        }
        stack.callback(lock_run(path).release)
        loggers.open(resume=False)
        run = create_run(
            config,
            tokenizer,
            answers,
            sizes,
            description,
            precision,
            threads * processes_here(),
            annotations=hash_files(config.dataset, annotations.files),
            device=device,
            launcher=_launcher(),
            examples=_examples(questions["train"]),
            start=start,
            overwrite=overwrite,
        )
    else:
        stack.callback(lock_run(path).release)
        loggers.open(resume=True)
        _record_resume(run, config, checkpoint)
    loggers.save_ids()
    for split, columns in encoded.items():
        save_questions(columns, run.questions_path(split))
    if vectors is not None:
        np.savez(_vectors_path(run), **vectors._asdict())
    return checkpoint


def _examples(questions: Sequence[Question]) -> list[str]:
    """Return the most frequent questions; captions have none."""
    return [text for text, _ in Counter(question.question for question in questions).most_common(NUM_EXAMPLES)]


def _vectors_path(run: Run) -> Path:
    """Return the path of the word vectors that the first process saves for all, next to the encoded questions."""
    return run.questions_path("train").with_name("word_vectors.npz")


def _images_of_encoded(run: Run) -> dict[str, Path | None]:
    """Return the image ids of a run's encoded questions. The image files are unknown (None)."""
    return {
        image_id: None
        for split in encoded_splits(run.config)
        for image_id in open_questions(run.questions_path(split)).image_ids
    }


def _fit(run: Run, device: torch.device, checkpoint: Mapping[str, Any] | None, loggers: Loggers) -> None:
    config, nouns = run.config.training, run.config.dataset.nouns()
    rank, world_size = launched()
    splits = encoded_splits(run.config)
    data = {split: open_questions(run.questions_path(split)) for split in splits}
    store = store_of_config(run.config, _images_of_encoded(run), run)
    features = {split: StoreFeatures(store, data[split].image_ids) for split in splits}

    prepare_torch(run.config.run, run.precision, device)
    model = _start_model(run, store, features["train"].rows, is_new=checkpoint is None)
    model.to(device, torch.float64 if run.precision == "float64" else torch.float32)
    evaluated = model if config.ema_decay is None else copy_for_average(model)
    if config.compile:
        model.compile_parts()

    batches = _samplers(run, data, rank, world_size)
    loaders = _loaders(config, device, store, data, features, batches)
    optimization = build_optimization(
        model, config, precision=run.precision, device=device, steps_per_epoch=len(batches["train"])
    )
    trainer = build_trainer(
        model,
        optimization,
        config=config,
        precision=run.precision,
        device=device,
        examples=Examples(data["train"].question_ids, nouns.examples),
        find_unused_parameters=not _uses_all_parameters(run.config, batches["train"].num_questions, world_size),
    )
    training = Training(
        run,
        config,
        trainer,
        _evaluator(run, evaluated, data["val"], device) if "val" in data else None,
        model,
        evaluated,
        optimization,
        batches["train"],
        loaders["train"],
        loaders.get("val"),
        device,
        loggers,
        measure=CIDER if run.config.dataset.has_captions else ACCURACY,
        unit=nouns.examples,
    )
    if isinstance(model.head, GenerativeHead) and model.head.objective == "self_critical":
        model.head.reward = TokenCider(data["train"])
    if rank > 0:
        manual_seed(run.config.run.seed + rank)  # the same weights, but different dropout
    training.restore(checkpoint)
    if training.is_done:
        log.info("%s: all epochs are done, there is nothing to resume", run.path)
        return
    if run.config.model.question.name == "transformer":
        texts = [text.tolist() for split in splits for text in _question_texts(data[split])]
        model.question_encoder.hold_states(texts)
        evaluated.question_encoder.share_states(model.question_encoder)
    if checkpoint is not None:
        log.info("%s continues after step %d", run.path, trainer.state.iteration)
    elif (run.path / "resumes.jsonl").is_file():
        log.info("%s has no checkpoint yet: it starts from the first step", run.path)
    _log_start(run, model, batches, device if world_size == 1 else f"{world_size} processes, {device.type}")
    training.run()
    keeper = training.keeper
    if keeper.best_score is None:
        log.info("the weights of epoch %d are kept (training.refit)", keeper.epoch)
        return
    if config.keep == "last":
        log.info("the weights of the last epoch are kept (training.keep=last)")
    shown = f"CIDEr {keeper.best_score:.3f}" if run.config.dataset.has_captions else f"accuracy {100 * keeper.best_score:.2f}%"
    log.info("best validation %s in epoch %d", shown, keeper.best_epoch)


def _evaluator(run: Run, model: VqaModel, encoded: EncodedQuestions, device: torch.device) -> Any:
    """Return the engine that chooses the best epoch."""
    build = build_caption_evaluator if run.config.dataset.has_captions else build_evaluator
    return build(model, encoded, device=device)


def _start_model(run: Run, store: FeatureStore, train_rows: NDArray[np.int64], *, is_new: bool) -> VqaModel:
    """Build the model with its initial weights; those of a resumed run are loaded later."""
    model = VqaModel(run.config.model, run.sizes)
    if not is_new:
        return model
    start = open_start(run.config)
    if start is not None:
        load_start(run, start, model)
    if not is_first():  # build_trainer copies the weights and the statistics of the first process to the others
        return model
    reader = run.config.model.question
    if start is None and model.standardises and run.config.features.library != "none":
        model.set_feature_statistics(*map(torch.from_numpy, channel_statistics(store, train_rows)))
    if start is None and reader.name == "transformer":
        model.question_encoder.load_pretrained(read_weights(reader.weights))
    if _vectors_path(run).is_file():
        with np.load(_vectors_path(run)) as vectors:
            model.question_encoder.set_word_vectors(*(torch.from_numpy(vectors[name]) for name in WordVectors._fields))
    return model


def _samplers(run: Run, data: Mapping[Split, EncodedQuestions], rank: int, world_size: int) -> dict[Split, QuestionSampler]:
    """Return the batches of each split."""
    config = run.config.training
    if config.mirror:
        _check_mirrored(data["train"])
    batches: dict[Split, QuestionSampler] = {
        "train": QuestionSampler(
            data["train"].image,
            config.batch_size,
            shuffle=True,
            group_by_image=config.group_by_image,
            mirror=config.mirror,
            seed=run.config.run.seed,
            accumulation=config.accumulation,
            rank=rank,
            world_size=world_size,
        )
    }
    if "val" in data:
        batches["val"] = QuestionSampler(
            data["val"].image, run.config.evaluation.batch_size, shuffle=False, rank=rank, world_size=world_size
        )
    return batches


def _log_start(run: Run, model: VqaModel, batches: Mapping[Split, QuestionSampler], device: torch.device | str) -> None:
    """Log what is trained, on what and where."""
    config, nouns = run.config.training, run.config.dataset.nouns()
    num_validated = batches["val"].num_questions if "val" in batches else 0
    if config.schedule.name == "steps" and min(config.schedule.milestones, default=math.inf) >= config.max_epochs:
        log.warning(
            "no milestone of training.schedule lies before training.max_epochs=%d: the learning rate never drops",
            config.max_epochs,
        )
    if run.config.dataset.has_captions and 0 < num_validated < FEWEST_FOR_CIDER and (config.keep == "best" or config.patience):
        log.warning(
            "%s: CIDEr hardly tells which epoch is best with fewer than %d, and with one it is always 0: put more images into "
            "val, or keep the last epoch with training.keep=last training.patience=null",
            counted(num_validated, "validation images"),
            FEWEST_FOR_CIDER,
        )
    log.info(
        "%s: %s and %s, %s weights, %s on %s%s",
        run.path,
        counted(batches["train"].num_questions, f"training {nouns.examples}"),
        counted(num_validated, f"validation {nouns.records}"),
        f"{sum(parameter.numel() for parameter in model.parameters()):,}",
        run.precision,
        device,
        "; * marks the best validation score so far" if "val" in batches else "",
    )


def _loaders(
    config: TrainingConfig,
    device: torch.device,
    store: FeatureStore,
    data: Mapping[Split, EncodedQuestions],
    features: Mapping[Split, StoreFeatures],
    batches: Mapping[Split, QuestionSampler],
) -> dict[Split, Loader | DeviceLoader]:
    """Return a loader for each split. On a GPU, features are kept on the GPU or read from the store."""
    is_gpu = device.type == "cuda"
    rows = [features[split].rows for split in features]
    place = choose_place(config.features_on, store, len(np.unique(np.concatenate(rows))), device)
    if is_gpu:
        log.info("features are %s", "on the GPU" if place == "device" else "read from the store, batch by batch")
    held = hold_on_device(store, rows, device) if place == "device" else [None] * len(features)
    num_workers = config.num_workers
    if num_workers is None:
        num_workers = min({"device": 2, "host": 4}[place], num_cpus() // processes_here()) if is_gpu else 0
    loaders: dict[Split, Loader | DeviceLoader] = {}
    for split, on_device in zip(features, held, strict=True):
        source = features[split] if on_device is None else NoFeatures()
        loader = build_loader(data[split], source, batches[split], num_workers=num_workers, pin_memory=is_gpu)
        loaders[split] = DeviceLoader(loader, device, on_device) if is_gpu else loader
    return loaders


def _check_mirrored(data: EncodedQuestions) -> None:
    """Check that the second half of the questions are those of the first half, about mirrored images."""
    half = len(data) // 2
    first, last = data.question_ids[0], data.question_ids[len(data) - 1]
    assert data.question_ids[half] == first + MIRRORED, f"{first} has no mirrored question {half} places behind it"
    assert last == data.question_ids[half - 1] + MIRRORED, f"{last} is not the mirrored question {half} places before it"


def _question_texts(data: EncodedQuestions) -> Iterator[NDArray[np.int32]]:
    """Yield the tokens of each distinct question."""
    for text in np.unique(data.question).tolist():
        yield data.tokens.values[data.tokens.offsets[text] : data.tokens.offsets[text + 1]]


def _uses_all_parameters(config: Config, num_questions: int, world_size: int) -> bool:
    """Return whether every part of every step uses all parameters, so that DDP need not search for unused ones."""
    training, model = config.training, config.model
    smallest_batch = num_questions % training.batch_size or training.batch_size
    has_no_empty_part = smallest_batch >= world_size * training.accumulation
    return has_no_empty_part and model.head.name == "classifier" and model.history.name == "none" and model.ablate == "none"


def _launcher() -> str:
    """Return an identifier of what started this process, which stays the same when the same launcher restarts a job."""
    return os.environ.get("SLURM_JOB_ID") or f"{socket.gethostname()}/{os.getppid()}"


def _was_restarted(config: Config) -> bool:
    """Return whether torchrun or SLURM restarted this job after it had begun the run."""
    restarts = [os.environ.get(name, "0") for name in ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")]
    path = run_path(config)
    return (
        any(int(count) > 0 for count in restarts) and (path / "run.json").is_file() and load_run(path).launcher == _launcher()
    )


def _run_to_resume(config: Config) -> Run:
    """Open the run to resume, and refuse changes to options that affect what is learned."""
    run = load_run(run_path(config))
    check_changes(run.config, config, MAY_CHANGE, str(run.path), "a resume")
    changed, gone = changed_files(config.dataset, run.annotations)
    if changed:
        raise UserError(
            f"{changed[0]} has changed since {run.path} began: put it back as it was, or train anew with --overwrite"
        )
    if gone:
        log.warning("%s is gone: continuing with the questions saved in %s", gone[0], run.path)
    return run


def _record_resume(run: Run, config: Config, checkpoint: Mapping[str, Any] | None) -> None:
    record: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "step": checkpoint["trainer"]["iteration"] if checkpoint else 0,
        "processes": launched()[1],
        "changes": config_changes(run.config, config),
    }
    append_line(run.path / "resumes.jsonl", json.dumps(record))
