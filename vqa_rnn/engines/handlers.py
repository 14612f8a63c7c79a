"""What happens around the steps: validation, the best model, early stopping, checkpoints, logs, progress."""

import copy
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver, EMAHandler, TensorboardLogger
from ignite.metrics import Average
from rich.progress import Progress
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from vqa_rnn.batch import Batch
from vqa_rnn.checkpoint import Run, save_model
from vqa_rnn.data.sampler import ImageGroupedBatches
from vqa_rnn.models import VqaModel
from vqa_rnn.progress import progress_bar

log = logging.getLogger("vqa_rnn")


class KeepBest:
    """Writes the model whenever the validation score is the best so far, and stops when it has not risen for a while.

    Of equal scores the later counts as best: its learning rate is the lower one.

    Attributes:
        best_score: The best validation score, or None before the first.
        best_epoch: When it was, for the last time.
        risen_epoch: When it was first reached.
    """

    def __init__(self, run: Run, model: VqaModel, patience: int | None) -> None:
        """Keep nothing yet.

        Args:
            run: Where the model is written.
            model: The model to write.
            patience: Epochs without a higher score before training stops, or None.
        """
        self._run = run
        self._model = model
        self._patience = patience
        self.best_score: float | None = None
        self.best_epoch = 0
        self.risen_epoch = 0

    def update(self, trainer: Engine, score: float) -> bool:
        """Take in the score of an epoch.

        Args:
            trainer: Stopped when patience is over.
            score: Validation score, higher is better.

        Returns:
            Whether it is the best so far.
        """
        epoch = trainer.state.epoch
        if self.best_score is None or score > self.best_score:
            self.best_score, self.risen_epoch = score, epoch
        is_best = score == self.best_score
        if is_best:
            self.best_epoch = epoch
            save_model(self._run, self._model)
        if self.is_over(epoch):
            log.info("no better validation score in %d epochs: stopping", self._patience)
            trainer.terminate()
        return is_best

    def is_over(self, epoch: int) -> bool:
        """Whether patience has run out.

        Args:
            epoch: The last finished epoch.

        Returns:
            Always False without patience.
        """
        return self._patience is not None and epoch - self.risen_epoch >= self._patience

    def state_dict(self) -> dict[str, Any]:
        """What a resume needs.

        Returns:
            Plain values.
        """
        return {"best_score": self.best_score, "best_epoch": self.best_epoch, "risen_epoch": self.risen_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``.

        Args:
            state: What it gave.
        """
        self.best_score, self.best_epoch = state["best_score"], state["best_epoch"]
        self.risen_epoch = state["risen_epoch"]


class RandomState:
    """The random number generators as an object with a state, so that dropout goes on as it would have."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The state of torch's generators.

        Returns:
            The CPU's, and each GPU's.
        """
        state = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            state |= {f"cuda{i}": s for i, s in enumerate(torch.cuda.get_rng_state_all())}
        return state

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Put the generators back.

        Args:
            state: From ``state_dict``.
        """
        torch.set_rng_state(state["cpu"])
        gpus = [value for name, value in state.items() if name != "cpu"]
        if gpus and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(gpus)


def attach_handlers(
    trainer: Engine,
    evaluator: Engine,
    run: Run,
    model: VqaModel,
    optimizer: torch.optim.Optimizer,
    schedule: LambdaLR,
    train_batches: ImageGroupedBatches,
    val_loader: DataLoader[Batch],
    evaluated: VqaModel,
    *,
    checkpoint: Mapping[str, Any] | None,
) -> KeepBest:
    """Wire everything around the training steps.

    Args:
        trainer: From ``build_trainer``.
        evaluator: From ``build_evaluator``, over ``evaluated``.
        run: Where results go.
        model: The model being trained.
        optimizer: Its optimizer.
        schedule: Its schedule.
        train_batches: Told the epoch before each pass.
        val_loader: Validation batches.
        evaluated: The weights that are validated and kept: ``model``, or a copy that becomes its moving average.
        checkpoint: The state to go on from, from ``load_checkpoint``; None starts anew.

    Returns:
        The keeper of the best score.
    """
    config = run.config.training
    keeper = KeepBest(run, evaluated, config.patience)
    to_save: dict[str, Any] = {
        "model": model,
        "optimizer": optimizer,
        "schedule": schedule,
        "trainer": trainer,
        "keeper": keeper,
        "random": RandomState(),
    }
    if config.ema_decay is not None:
        average = EMAHandler(model, momentum=1 - config.ema_decay, handle_buffers="copy")
        average.ema_model = evaluated
        average.attach(trainer)
        to_save["average"] = evaluated
    Average(output_transform=lambda output: output[0]).attach(trainer, "loss")

    @trainer.on(Events.EPOCH_STARTED)
    def start_epoch(engine: Engine) -> None:
        train_batches.epoch = engine.state.epoch

    timer = _attach_timer(trainer)
    tensorboard = TensorboardLogger(log_dir=str(run.path / "tensorboard"))
    saver = Checkpoint(to_save, DiskSaver(str(run.checkpoint_path.parent), require_empty=False), filename_pattern="last.pt")
    progress = _attach_progress(trainer)

    @trainer.on(Events.EPOCH_COMPLETED)
    def finish_epoch(engine: Engine) -> None:
        seconds, waiting, num_questions = timer.read()
        evaluator.run(val_loader)
        score = evaluator.state.metrics["accuracy"]
        is_best = keeper.update(engine, score)
        line = {
            "epoch": engine.state.epoch,
            "step": engine.state.iteration,
            "train_loss": engine.state.metrics["loss"],
            "learning_rate": optimizer.param_groups[0]["lr"],
            "val_accuracy": score,
        }
        rate = num_questions / seconds
        timing = {"epoch": engine.state.epoch, "seconds": seconds, "questions_per_second": rate}
        timing["waiting_share"] = waiting / seconds
        _append(run, "metrics.jsonl", line)
        _append(run, "timings.jsonl", timing)
        for key in ("train_loss", "val_accuracy", "learning_rate"):
            tensorboard.writer.add_scalar(key, line[key], engine.state.epoch)
        log.info(
            f"epoch {engine.state.epoch:3d}/{engine.state.max_epochs}  loss {line['train_loss']:.4f}  "
            f"val {100 * score:6.2f}%{' *' if is_best else '  '}  {rate:7,.0f} questions/s  "
            f"waiting {100 * timing['waiting_share']:.1f}%"
        )
        saver(engine)

    trainer.add_event_handler(Events.COMPLETED | Events.EXCEPTION_RAISED, _close(tensorboard, progress))
    if checkpoint is not None:
        Checkpoint.load_objects(to_load=to_save, checkpoint=checkpoint)
        for name in ("metrics.jsonl", "timings.jsonl"):
            _cut_back(run, name, trainer.state.epoch)
    return keeper


def copy_for_average(model: VqaModel) -> VqaModel:
    """A copy of a model that will hold its moving average.

    Args:
        model: The model.

    Returns:
        The copy, without gradients.
    """
    return copy.deepcopy(model).requires_grad_(False)


class _Timer:
    """Seconds of an epoch, how many of them the step waited for its batch, and questions."""

    def __init__(self) -> None:
        self._started = self._asked = time.perf_counter()
        self._waiting = 0.0
        self._num_questions = 0

    def start(self) -> None:
        self._started = time.perf_counter()
        self._waiting = 0.0
        self._num_questions = 0

    def ask(self) -> None:
        self._asked = time.perf_counter()

    def get(self) -> None:
        self._waiting += time.perf_counter() - self._asked

    def count(self, engine: Engine) -> None:
        _, num_questions = engine.state.output  # type: ignore[misc]
        self._num_questions += num_questions

    def read(self) -> tuple[float, float, int]:
        return time.perf_counter() - self._started, self._waiting, self._num_questions


def _attach_timer(trainer: Engine) -> _Timer:
    timer = _Timer()
    trainer.add_event_handler(Events.EPOCH_STARTED, timer.start)
    trainer.add_event_handler(Events.GET_BATCH_STARTED, timer.ask)
    trainer.add_event_handler(Events.GET_BATCH_COMPLETED, timer.get)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, timer.count)
    return timer


def _attach_progress(trainer: Engine) -> Progress:
    progress = progress_bar()
    task = progress.add_task("training", total=None, rate="")

    @trainer.on(Events.STARTED)
    def start(engine: Engine) -> None:
        total = (engine.state.max_epochs or 0) * (engine.state.epoch_length or 0)
        progress.update(task, total=total, completed=engine.state.iteration)
        progress.start()

    @trainer.on(Events.ITERATION_COMPLETED)
    def advance(engine: Engine) -> None:
        progress.update(task, completed=engine.state.iteration)

    return progress


def _close(tensorboard: TensorboardLogger, progress: Progress) -> Any:
    def close(engine: Engine, error: BaseException | None = None) -> None:
        tensorboard.close()
        progress.stop()
        if isinstance(error, KeyboardInterrupt):
            log.info("stopped; the same command with --resume goes on after the last finished epoch")
        if error is not None:
            raise error

    return close


def _append(run: Run, name: str, line: Mapping[str, Any]) -> None:
    with (run.path / name).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _cut_back(run: Run, name: str, epoch: int) -> None:
    """Drop log lines of epochs after the checkpoint's."""
    path = run.path / name
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    kept = [line for line in lines if json.loads(line)["epoch"] <= epoch]
    path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
