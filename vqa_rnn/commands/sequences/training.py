"""Training of a sequence model of any kind: from a config to a run folder."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vqa_rnn.commands.computing import check_precision, choose_precision, prepare_torch
from vqa_rnn.config import TrainableConfig, run_path
from vqa_rnn.config.files import check_changes
from vqa_rnn.engines import (
    Examples,
    Loggers,
    Training,
    build_optimization,
    build_trainer,
    computing_with,
    copy_for_average,
    launched,
    processes,
)
from vqa_rnn.engines.handlers import Batches, Measure
from vqa_rnn.engines.state import Stateful
from vqa_rnn.engines.sums import build_sums_evaluator
from vqa_rnn.errors import UserError
from vqa_rnn.run_folder import check_new_run, load_checkpoint, lock_run, log_to_file
from vqa_rnn.sequences.run import Kind, SequenceRun, create_run, load_run
from vqa_rnn.threads import choose_threads

log = logging.getLogger("vqa_rnn")

MAY_CHANGE = (
    "run.folder",
    "run.name",
    "run.device",
    "training.checkpoint_minutes",
    "training.keep_checkpoints",
    "training.loggers",
    "training.profile_steps",
)


class SequenceData(NamedTuple):
    """The data of a training.

    Attributes:
        train: The training batches; an iterable of tuples of one batch.
        val: The validation batches; None without validation.
        entries: What the numbers that the model reads or predicts stand for.
        examples: The names of the examples, for messages.
        steps_per_batch: Sequence steps in a batch, which decides how many threads pay off.
        description: The data in a few words, for the log.
        file: The data file; None if the data are generated.
        sha256: Hash of the data file.
    """

    train: Batches
    val: Batches | None
    entries: tuple[str, ...]
    examples: Examples
    steps_per_batch: int
    description: str
    file: object | None = None
    sha256: str | None = None


class Trained(NamedTuple):
    """The model as the training engine sees it.

    Attributes:
        model: Takes a batch and has ``losses``, as ``build_trainer`` describes.
        state: What belongs to a checkpoint besides the weights, by name.
    """

    model: nn.Module
    state: Mapping[str, Stateful] = MappingProxyType({})


class Task(NamedTuple):
    """What differs between the kinds of sequence models.

    Attributes:
        kind: The kind.
        read: Reads or generates the data of a config.
        build_model: Builds the model with random weights from a config and the entries.
        measure: The validation score that chooses the best epoch.
        sums: Returns a function that computes the (S,) sums of a batch with a model, for ``build_sums_evaluator``.
        metrics: Computes the validation metrics from the S sums over the split.
        trained: Wraps the model for the training engine.
        after_epoch: Called with the run, the model and the number of each epoch; with 0 before training.
    """

    kind: Kind
    read: Callable[[Any], SequenceData]
    build_model: Callable[[Any, Sequence[str]], nn.Module]
    measure: Measure
    sums: Callable[[Any], Callable[[Any], Tensor]]
    metrics: Callable[[Sequence[float]], Mapping[str, float]]
    trained: Callable[[Any], Trained] = Trained
    after_epoch: Callable[[SequenceRun[Any], Any, int], None] = lambda run, model, epoch: None


def train_sequences(task: Task, config: TrainableConfig, *, resume: bool = False, overwrite: bool = False) -> SequenceRun[Any]:
    """Train a sequence model.

    Args:
        task: What is trained.
        config: The config.
        resume: Continue an existing run from its last checkpoint.
        overwrite: Replace an existing run.

    Returns:
        The trained run.

    Raises:
        UserError: The data cannot be read, the run folder exists (or, to resume, does not), or the loss was not finite.
        Interrupted: A signal was received; the state is saved.
    """
    if launched()[1] > 1:
        raise UserError(f"{task.kind.command} runs in one process: start it without torchrun or srun")
    with processes(config.run.device) as device, ExitStack() as stack, Loggers(config) as loggers:
        loggers.check()
        check_precision(config.training, device)
        path = run_path(config)
        if not resume:
            check_new_run(path, overwrite=overwrite)
        data = task.read(config)
        stack.callback(lock_run(path).release)
        run = _resumed(task, config, data) if resume else _new_run(task, config, data, device)
        if not resume:
            create_run(run, task.kind, device)
        loggers.open(resume=resume)
        loggers.save_ids()
        with log_to_file(run), computing_with(run.threads, device):
            _fit(task, run, data, device, loggers, resume=resume)
    return run


def _new_run(task: Task, config: TrainableConfig, data: SequenceData, device: torch.device) -> SequenceRun[Any]:
    products = _num_weights(task.build_model(config, data.entries)) * data.steps_per_batch
    return SequenceRun(
        path=run_path(config),
        config=config,
        entries=data.entries,
        data_sha256=data.sha256,
        precision=choose_precision(config.training, device, products),
        threads=config.training.num_threads or choose_threads(products),
    )


def _resumed(task: Task, config: TrainableConfig, data: SequenceData) -> SequenceRun[Any]:
    run = load_run(run_path(config), task.kind)
    check_changes(run.config, config, (*task.kind.may_move, *MAY_CHANGE), str(run.path), "a resume")  # type: ignore[arg-type]
    if data.sha256 != run.data_sha256:
        raise UserError(f"{data.file} has changed since {run.path} began: restore it, or train again with --overwrite")
    return run


def _fit(
    task: Task, run: SequenceRun[Any], data: SequenceData, device: torch.device, loggers: Loggers, *, resume: bool
) -> None:
    config = run.config.training
    prepare_torch(run.config.run, run.precision, device)
    model = task.build_model(run.config, run.entries).to(device, torch.float64 if run.precision == "float64" else torch.float32)
    evaluated = model if config.ema_decay is None else copy_for_average(model)
    trained = task.trained(model)
    optimization = build_optimization(model, config, precision=run.precision, device=device, steps_per_epoch=len(data.train))
    trainer = build_trainer(
        trained.model, optimization, config=config, precision=run.precision, device=device, examples=data.examples
    )
    evaluator = None
    if data.val is not None:
        evaluator = build_sums_evaluator(evaluated, task.sums(evaluated), task.metrics, device)
    training = Training(
        run,
        config,
        trainer,
        evaluator,
        model,
        evaluated,
        optimization,
        data.train,
        data.train,  # type: ignore[arg-type]
        data.val,  # type: ignore[arg-type]
        device,
        loggers,
        measure=task.measure,
        unit=data.examples.unit,
        resume=f"to continue, run the same {task.kind.command} command with --resume",
        more_state=trained.state,
        after_epoch=lambda epoch: task.after_epoch(run, evaluated, epoch),
    )
    checkpoint = load_checkpoint(run) if resume else None
    training.restore(checkpoint)
    if training.is_done:
        log.info("%s: all epochs are done, there is nothing to resume", run.path)
        return
    if checkpoint is not None:
        log.info("%s continues after step %d", run.path, trainer.state.iteration)
    else:
        task.after_epoch(run, evaluated, 0)
    log.info(
        "%s: %s, %s weights, %s on %s%s",
        run.path,
        data.description,
        f"{_num_weights(model):,}",
        run.precision,
        device,
        "" if data.val is None else "; * marks the best validation score so far",
    )
    training.run()
    best = training.keeper.best_score
    if best is not None:
        shown = task.measure.show(task.measure.sign * best)
        log.info("best validation: %s in epoch %d", shown.strip(), training.keeper.best_epoch)


def _num_weights(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
