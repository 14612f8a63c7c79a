"""``vqa-rnn train``: a config to a run folder."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import torch

from vqa_rnn.annotations import load_annotations
from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.checkpoint import Run, check_new_run, create_run, load_checkpoint, load_run
from vqa_rnn.commands.shared import SplitData, check_questions, choose_device, open_store, prepare_split
from vqa_rnn.config import Config, run_path
from vqa_rnn.config_files import config_changes
from vqa_rnn.data.collate import make_batch
from vqa_rnn.data.loader import build_loader
from vqa_rnn.data.sampler import ImageGroupedBatches
from vqa_rnn.engines import (
    attach_handlers,
    build_evaluator,
    build_optimizer,
    build_schedule,
    build_trainer,
    copy_for_average,
    faster_precision,
)
from vqa_rnn.errors import UserError
from vqa_rnn.features.store import FeatureStore
from vqa_rnn.models import ModelSizes, VqaModel
from vqa_rnn.records import Question
from vqa_rnn.text import WordTokenizer

log = logging.getLogger("vqa_rnn")

# What may differ when a run is resumed: where things are and how fast they go, not what is learned.
MAY_CHANGE = ("evaluation.", "run.device", "training.num_workers", "dataset.root", "dataset.path", "features.store")


def train(config: Config, *, resume: bool = False, overwrite: bool = False) -> Run:
    """Train a model on the training split, choosing by the validation split.

    Args:
        config: The config. Its feature store must exist.
        resume: Go on from the last finished epoch of an existing run.
        overwrite: Replace an existing run.

    Returns:
        The finished run.

    Raises:
        UserError: The run folder exists (or, to resume, does not), features are missing, or the data do not fit the config.
    """
    run, checkpoint = None, None
    if resume:
        run = _run_to_resume(config)
        checkpoint = load_checkpoint(run.checkpoint_path)
    else:
        check_new_run(config, overwrite=overwrite)
    device = choose_device(config.run.device)
    annotations = load_annotations(config.dataset, ["train", "val"])
    train_questions, val_questions = annotations.split("train"), annotations.split("val")
    for name, questions in (("training", train_questions), ("validation", val_questions)):
        if not questions:
            raise UserError(f"{config.dataset.name}: there are no {name} questions (two images at least are needed)")
        check_questions(config, questions)
    store = open_store(config, run)
    tokenizer, answers = (run.tokenizer, run.answers) if run else _build_vocabularies(config, train_questions)
    train_data = prepare_split(train_questions, tokenizer, answers, store)
    val_data = prepare_split(val_questions, tokenizer, answers, store)

    torch.manual_seed(config.run.seed)
    sizes = ModelSizes(tokenizer.vocabulary_size, store.feature_size, len(answers))
    model = VqaModel(config.model, sizes)
    if run is None:
        model.set_feature_statistics(*_feature_statistics(store, train_data))  # a checkpoint has them
    model.to(device)
    batches = ImageGroupedBatches(train_data.encoded.image, config.training.batch_size, shuffle=True, seed=config.run.seed)
    if run is None:
        precision = config.training.precision
        if precision == "auto":
            first = make_batch(train_data.encoded, next(iter(batches)), train_data.features)
            precision = faster_precision(model, first, device)
        description = {**store.description, "fingerprint": store.fingerprint, "compute": store.attributes["compute"]}
        run = create_run(config, tokenizer, answers, sizes, description, precision, overwrite=overwrite)
    else:
        _record_resume(run, config)
    with _log_file(run):
        _fit(run, model, batches, train_data, val_data, device, checkpoint)
    return run


def _fit(
    run: Run,
    model: VqaModel,
    batches: ImageGroupedBatches,
    train_data: SplitData,
    val_data: SplitData,
    device: torch.device,
    checkpoint: Mapping[str, Any] | None,
) -> None:
    config = run.config.training
    optimizer = build_optimizer(model, config)
    schedule = build_schedule(optimizer, config, config.max_epochs * len(batches))
    trainer = build_trainer(model, optimizer, schedule, device=device, precision=run.precision, clip_norm=config.clip_norm)
    evaluated = model if config.ema_decay is None else copy_for_average(model)
    evaluator = build_evaluator(evaluated, device=device)
    pin_memory = device.type == "cuda"
    train_loader = build_loader(
        train_data.encoded, train_data.features, batches, num_workers=config.num_workers, pin_memory=pin_memory
    )
    val_batches = ImageGroupedBatches(val_data.encoded.image, run.config.evaluation.batch_size, shuffle=False)
    val_loader = build_loader(val_data.encoded, val_data.features, val_batches, pin_memory=pin_memory)
    keeper = attach_handlers(
        trainer,
        evaluator,
        run,
        model,
        optimizer,
        schedule,
        batches,
        val_loader,
        evaluated,
        checkpoint=checkpoint,
    )
    if trainer.state.epoch >= config.max_epochs or keeper.is_over(trainer.state.epoch):
        log.info("%s: all epochs are done, there is nothing to go on with", run.path)
        return
    log.info(
        "%s: %d training and %d validation questions, %s weights, %s on %s; * marks the best validation score so far",
        run.path,
        len(train_data.questions),
        len(val_data.questions),
        f"{sum(parameter.numel() for parameter in model.parameters()):,}",
        run.precision,
        device,
    )
    trainer.run(train_loader, max_epochs=config.max_epochs)
    log.info("best validation accuracy %.2f%% in epoch %d", 100 * (keeper.best_score or 0), keeper.best_epoch)


@contextmanager
def _log_file(run: Run) -> Iterator[None]:
    """Write what is logged to the run's ``log.txt`` as well."""
    handler = logging.FileHandler(run.path / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()


def _build_vocabularies(config: Config, questions: Sequence[Question]) -> tuple[WordTokenizer, AnswerVocabulary]:
    """Words and answers, from the training split alone."""
    texts = [text for q in questions for text in (q.question, *q.choices, *q.facts)]
    tokenizer = WordTokenizer.build(texts, config.text.min_count, config.text.max_tokens)
    if config.model.head.name == "choice":
        return tokenizer, AnswerVocabulary([])
    answers = AnswerVocabulary.build(
        (question.human_answers for question in questions), config.text.min_answer_count, config.text.max_answers
    )
    if len(answers) < 2:
        raise UserError(
            f"{config.dataset.name}: the training questions have {len(answers)} distinct answers that are frequent "
            "enough; a classifier needs two"
        )
    return tokenizer, answers


def _feature_statistics(store: FeatureStore, data: SplitData) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each channel over the regions of the training images."""
    total = torch.zeros(store.feature_size, dtype=torch.float64)
    squares = torch.zeros(store.feature_size, dtype=torch.float64)
    count = 0
    for start in range(0, len(data.features.rows), 64):
        rows = data.features.rows[start : start + 64]
        features = torch.from_numpy(store.features[rows]).double()
        mask = torch.arange(store.num_regions_max) < torch.from_numpy(store.num_regions[rows])[:, None]
        regions = features[mask]
        total += regions.sum(dim=0)
        squares += regions.square().sum(dim=0)
        count += regions.shape[0]
    mean = total / count
    return mean.float(), (squares / count - mean.square()).clamp(min=0).sqrt().float()


def _run_to_resume(config: Config) -> Run:
    """Open the run to go on with; refuse changes to what is learned."""
    run = load_run(run_path(config))
    for key, (old, new) in config_changes(run.config, config).items():
        if not key.startswith(MAY_CHANGE):
            raise UserError(
                f"{run.path} was trained with {key}={old}, not {new}: a resume may only change "
                f"{', '.join(name.rstrip('.') for name in MAY_CHANGE)}"
            )
    return run


def _record_resume(run: Run, config: Config) -> None:
    changes = config_changes(run.config, config)
    record: dict[str, Any] = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "changes": changes}
    with (run.path / "resumes.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
