"""``vqa-rnn lm train``: a text file to a run folder."""

import logging
from contextlib import ExitStack

import numpy as np
import torch
from numpy.typing import NDArray

from vqa_rnn.commands.computing import check_precision, choose_precision, prepare_torch
from vqa_rnn.commands.lm.sample import continue_text
from vqa_rnn.config import run_path
from vqa_rnn.config.files import check_changes
from vqa_rnn.config.language import LanguageConfig
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
from vqa_rnn.engines.language import BITS, build_language_evaluator
from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash, write_text
from vqa_rnn.run_folder import check_new_run, load_checkpoint, lock_run, log_to_file
from vqa_rnn.sequences.language_model import Carried, LanguageModel
from vqa_rnn.sequences.run import LanguageRun, build_model, create_run, load_run
from vqa_rnn.sequences.text_streams import TextStreams
from vqa_rnn.sequences.text_vocabulary import TextVocabulary, read_text
from vqa_rnn.threads import choose_threads

log = logging.getLogger("vqa_rnn")

MAY_CHANGE = (
    "text.path",
    "run.folder",
    "run.name",
    "run.device",
    "training.checkpoint_minutes",
    "training.keep_checkpoints",
    "training.loggers",
    "training.profile_steps",
)


def train(config: LanguageConfig, *, resume: bool = False, overwrite: bool = False) -> LanguageRun:
    """Train a language model on the first part of a text, and choose the best epoch on the rest.

    Args:
        config: The config, with ``text.path``.
        resume: Continue an existing run from its last checkpoint.
        overwrite: Replace an existing run.

    Returns:
        The trained run.

    Raises:
        UserError: The text cannot be read or is too short, the run folder exists (or, to resume, does not), or the loss was
            not finite.
        Interrupted: A signal was received; the state is saved.
    """
    if launched()[1] > 1:
        raise UserError("vqa-rnn lm train runs in one process: start it without torchrun or srun")
    if config.text.path is None:
        raise UserError("text.path is missing: give the text file")
    with processes(config.run.device) as device, ExitStack() as stack, Loggers(config) as loggers:
        loggers.check()
        check_precision(config.training, device)
        path = run_path(config)
        if not resume:
            check_new_run(path, overwrite=overwrite)
        text = read_text(config.text.path)
        stack.callback(lock_run(path).release)
        run = _resumed(config) if resume else _new_run(config, text, device)
        train_entries, val_entries = (run.vocabulary.encode(part) for part in split_text(text, config.text.validation_share))
        if 1 in (len(train_entries), len(val_entries)):
            raise UserError(f"{config.text.path} is too short: a part of it has only one of its {config.text.unit}")
        if not resume:
            create_run(run, device)
        loggers.open(resume=resume)
        loggers.save_ids()
        with log_to_file(run), computing_with(run.threads, device):
            _fit(run, train_entries, val_entries, device, loggers, resume=resume)
    return run


def split_text(text: str, validation_share: float) -> tuple[str, str]:
    """Split a text into a training part and a validation part.

    Args:
        text: The text.
        validation_share: Share of its characters in the validation part, at the end.

    Returns:
        Both parts; the validation part is empty if the share is 0.

    Raises:
        UserError: One part has only one character.
    """
    length = len(text) - round(validation_share * len(text))
    train, val = text[:length], text[length:]
    if len(train) < 2 or (validation_share > 0 and len(val) < 2):
        raise UserError(
            f"text.validation_share={validation_share} splits {len(text)} characters into {len(train)} and {len(val)}: each "
            "part needs at least two; set it to 0 to train on the whole text"
        )
    return train, val


def _new_run(config: LanguageConfig, text: str, device: torch.device) -> LanguageRun:
    options = config.text
    assert options.path is not None
    train, _ = split_text(text, options.validation_share)
    # all characters of the file have an entry, so that every text of its kind can be read; words only of the training part
    vocabulary = TextVocabulary.build(text if options.unit == "characters" else train, options.unit, options.min_count)
    weights = sum(parameter.numel() for parameter in build_model(config.model, len(vocabulary)).parameters())
    products = weights * config.training.batch_size * config.training.chunk_length
    return LanguageRun(
        path=run_path(config),
        config=config,
        vocabulary=vocabulary,
        text_sha256=file_hash(options.path),
        precision=choose_precision(config.training, device, products),
        threads=config.training.num_threads or choose_threads(products),
    )


def _resumed(config: LanguageConfig) -> LanguageRun:
    run = load_run(run_path(config))
    check_changes(run.config, config, MAY_CHANGE, str(run.path), "a resume")
    assert config.text.path is not None
    if file_hash(config.text.path) != run.text_sha256:
        raise UserError(f"{config.text.path} has changed since {run.path} began: restore it, or train again with --overwrite")
    return run


def _fit(
    run: LanguageRun,
    train: NDArray[np.int32],
    val: NDArray[np.int32],
    device: torch.device,
    loggers: Loggers,
    *,
    resume: bool,
) -> None:
    config = run.config.training
    streams = TextStreams(train, config.batch_size, config.chunk_length)
    val_streams = TextStreams(val, config.batch_size, config.chunk_length) if len(val) else None

    prepare_torch(run.config.run, run.precision, device)
    model = build_model(run.config.model, len(run.vocabulary)).to(
        device, torch.float64 if run.precision == "float64" else torch.float32
    )
    evaluated = model if config.ema_decay is None else copy_for_average(model)
    carried = Carried(model)
    optimization = build_optimization(model, config, precision=run.precision, device=device, steps_per_epoch=len(streams))
    trainer = build_trainer(
        carried,
        optimization,
        config=config,
        precision=run.precision,
        device=device,
        examples=Examples([str(number) for number in range(streams.num_streams)], "streams", "check the text"),
    )
    training = Training(
        run,
        config,
        trainer,
        None if val_streams is None else build_language_evaluator(evaluated, device),
        model,
        evaluated,
        optimization,
        streams,
        streams,
        val_streams,
        device,
        loggers,
        measure=BITS,
        unit=run.config.text.unit,
        more_state={"carried": carried.state},
        after_epoch=lambda epoch: _write_sample(run, evaluated, epoch),
    )
    checkpoint = load_checkpoint(run) if resume else None
    training.restore(checkpoint)
    if training.is_done:
        log.info("%s: all epochs are done, there is nothing to resume", run.path)
        return
    if checkpoint is not None:
        log.info("%s continues after step %d", run.path, trainer.state.iteration)
    else:
        _write_sample(run, evaluated, 0)
    log.info(
        "%s: %s training and %s validation %s, %s different, %s weights, %s on %s%s",
        run.path,
        f"{len(train):,}",
        f"{len(val):,}",
        run.config.text.unit,
        f"{len(run.vocabulary):,}",
        f"{sum(parameter.numel() for parameter in model.parameters()):,}",
        run.precision,
        device,
        "" if val_streams is None else "; * marks the best validation score so far",
    )
    training.run()
    best = training.keeper.best_score
    if best is not None:
        log.info("best validation: %.4f bits in epoch %d", BITS.sign * best, training.keeper.best_epoch)


def _write_sample(run: LanguageRun, model: LanguageModel, epoch: int) -> None:
    """Write a sample to ``samples/``, if one is wanted. Its random numbers depend only on the seed and the epoch."""
    if not run.config.training.sample_length:
        return
    seed = int(np.random.SeedSequence([run.config.run.seed, epoch]).generate_state(1)[0])
    text = continue_text(run, model, "", run.config.training.sample_length, seed=seed)
    write_text(run.path / "samples" / f"epoch-{epoch:03d}.txt", text + "\n")
