"""Handlers around the training steps: validation, the best model, checkpoints, logs and signals."""

import copy
import logging
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler
from torch import nn

from vqa_rnn.config import Optimisation
from vqa_rnn.engines.distributed import is_first, largest, on_first
from vqa_rnn.engines.interruption import Interruption
from vqa_rnn.engines.loggers import Loggers
from vqa_rnn.engines.logs import METRICS, TIMINGS, EpochLoss, RunLog, Timer, attach_progress
from vqa_rnn.engines.optimization import Optimization
from vqa_rnn.engines.profiling import ProfilerWindow
from vqa_rnn.engines.selection import KeepBest
from vqa_rnn.engines.state import Stateful, TrainingState
from vqa_rnn.engines.trainer import read_every
from vqa_rnn.errors import Interrupted
from vqa_rnn.run_folder import RunFolder, save_weights

log = logging.getLogger("vqa_rnn")

ModelT = TypeVar("ModelT", bound=nn.Module)


class Measure(NamedTuple):
    """The validation score that chooses the best weights.

    Attributes:
        name: Its name among the metrics of the evaluator; in ``metrics.jsonl`` it is called ``val_NAME``.
        show: Formats it for the log.
        sign: 1 if higher is better, -1 if lower is better.
        show_loss: Formats the training loss for the log.
    """

    name: str
    show: Callable[[float], str]
    sign: Literal[1, -1] = 1
    show_loss: Callable[[float], str] = "{:.4f}".format


ACCURACY = Measure("accuracy", lambda score: f"{100 * score:6.2f}%")
CIDER = Measure("cider", "CIDEr {:.3f}".format)


class Batches(Protocol):
    """The batches of an epoch, in an order that depends only on the epoch.

    Attributes:
        epoch: The next epoch.
        start: Number of batches of that epoch to skip, because they were done before an interruption.
    """

    epoch: int
    start: int

    def __len__(self) -> int: ...


class Training:
    """A trainer with all handlers attached, which can be restored and run.

    Attributes:
        trainer: The training engine.
        keeper: The best validation score so far, for early stopping.
    """

    def __init__(
        self,
        run: RunFolder,
        config: Optimisation,
        trainer: Engine,
        evaluator: Engine | None,
        model: nn.Module,
        evaluated: nn.Module,
        optimization: Optimization,
        train_batches: Batches,
        train_loader: Iterable[Any],
        val_loader: Iterable[Any] | None,
        device: torch.device,
        loggers: Loggers,
        *,
        measure: Measure = ACCURACY,
        unit: str = "questions",
        resume: str = "run the same command again to continue (for train, add --resume)",
        more_state: Mapping[str, Stateful] = MappingProxyType({}),
        after_epoch: Callable[[int], None] = lambda epoch: None,
    ) -> None:
        """Attach the handlers.

        Args:
            run: The run that results are written to.
            config: Number of epochs, checkpoints, logs and early stopping.
            trainer: From ``build_trainer``.
            evaluator: An engine that validates ``evaluated``, with ``measure`` among its metrics; None without validation.
            model: The model that is trained.
            evaluated: The model that is validated and saved: ``model``, or a copy that holds its moving average.
            optimization: From ``build_optimization`` for ``model``.
            train_batches: What ``train_loader`` loads; its epoch and first batch are set before each pass.
            train_loader: Training batches.
            val_loader: Validation batches; None without validation.
            device: Device of the computation.
            loggers: The loggers, open in the first process.
            measure: The validation score.
            unit: What is counted in the throughput.
            resume: How to continue, for the message after an interruption.
            more_state: More objects that belong to a checkpoint, by name.
            after_epoch: Called with the number of each epoch after its validation. A resumed run may call it again.
        """
        self._config = config
        self._measure = measure
        self._after_epoch = after_epoch
        self.trainer = trainer
        self.keeper = KeepBest(config.patience)
        self._run = run
        self._evaluator = evaluator
        self._evaluated = evaluated
        self._optimizer = optimization.optimizer
        self._batches = train_batches
        self._train_loader, self._val_loader = train_loader, val_loader
        self._read_every = read_every(device, config.log_steps)
        self._loss = EpochLoss()
        self._log = RunLog(run, config.loggers, loggers)
        self._unit = unit
        self._resume = resume
        self._timer = Timer(unit)
        self._interruption = Interruption()
        self._stop = 0  # the signal to stop for; agreed on by all processes, which may receive it at different times
        objects: dict[str, Any] = {
            "model": model,
            **optimization._asdict(),
            "trainer": trainer,
            "keeper": self.keeper,
            "loss": self._loss,
            "log": self._log,
            **more_state,
        }
        if config.ema_decay is not None:
            average = EMAHandler(model, momentum=1 - config.ema_decay, handle_buffers="copy")
            average.ema_model = evaluated
            average.attach(trainer)
            objects["average"] = evaluated
        self._state = TrainingState(run, objects, device, config)
        self._timer.attach(trainer)
        trainer.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._finish_step)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._finish_epoch)
        if evaluator is not None:
            evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._look_for_signals)
        self._progress = attach_progress(trainer, unit)
        self._profiler: ProfilerWindow | None = None
        if config.profile_steps is not None and is_first():
            self._profiler = ProfilerWindow(config.profile_steps, run.path / "profile", device)
            self._profiler.attach(trainer)

    def restore(self, checkpoint: Mapping[str, Any] | None) -> None:
        """Restore a checkpoint, or prepare to start from the first step.

        Args:
            checkpoint: From ``load_checkpoint``; None if there is none.
        """
        if checkpoint is None:
            on_first(self._log.cut_back)
        elif not self._state.restore(checkpoint):
            log.info(
                "the number of processes or the device has changed: the batches are the same as before, but dropout is not"
            )

    @property
    def is_done(self) -> bool:
        """Whether all epochs are done or patience has run out."""
        return self.keeper.epoch >= self._config.num_epochs or self.keeper.is_over

    def run(self) -> None:
        """Train until all epochs are done or patience runs out.

        Raises:
            Interrupted: A signal was received; the state is saved.
            UserError: The loss or the gradient was not finite, or a file could not be written.
        """
        with self._interruption:
            try:
                if self.keeper.epoch < self.trainer.state.epoch:  # stopped after an epoch's last step, before its end
                    self._finish_epoch(self.trainer)
                if not (self.is_done or self._stop):
                    self.trainer.run(self._train_loader, max_epochs=self._config.num_epochs)
            finally:
                if self._profiler is not None:
                    self._profiler.close(self.trainer.state.iteration)
                self._log.close()
                self._progress.stop()
        if self._stop:
            step = self.trainer.state.iteration
            log.info("stopped after step %d and saved: %s", step, self._resume)
            raise Interrupted(f"stopped after step {step}", self._stop)

    def _start_epoch(self, engine: Engine) -> None:
        self._batches.epoch = engine.state.epoch
        self._batches.start = engine.state.iteration - (engine.state.epoch - 1) * len(self._batches)

    def _finish_step(self, engine: Engine) -> None:
        step, output = engine.state.iteration, engine.state.output
        self._loss.add(output.loss_sum, output.num_counted)  # type: ignore[union-attr]
        if step % self._read_every:
            return
        if step % self._config.log_steps == 0:
            line = {
                "epoch": engine.state.epoch,
                "step": step,
                "loss": self._loss.read("window"),
                "gradient_norm": float(output.gradient_norm),  # type: ignore[union-attr]
                "learning_rate": self._learning_rate,
            }
            on_first(lambda: self._log.write(METRICS, line))
        self._stop, is_due = map(int, largest([self._interruption.number, is_first() and self._state.is_due]))
        if self._stop or is_due:
            self._state.save(step)
        if self._stop:
            engine.terminate()

    def _finish_epoch(self, engine: Engine) -> None:
        timing = self._timer.read()
        epoch, step = engine.state.epoch, engine.state.iteration
        score = None
        if self._evaluator is not None:
            self._evaluator.run(self._val_loader)
            if self._stop:  # a resumed run validates again
                self._state.save(step)
                engine.terminate()
                return
            score = self._evaluator.state.metrics[self._measure.name]
        is_best = self.keeper.update(epoch, None if score is None else self._measure.sign * score)
        if is_best or self._config.keep == "last":
            on_first(lambda: save_weights(self._run, self._evaluated))
        train_loss = self._loss.read("epoch")
        line = {"epoch": epoch, "step": step, "train_loss": train_loss, "learning_rate": self._learning_rate}
        validation = ""
        if score is not None:
            line[f"val_{self._measure.name}"] = score
            validation = f"val {self._measure.show(score)}{' *' if is_best else '  '}  "
        on_first(lambda: self._log.write(METRICS, line))
        on_first(lambda: self._log.write(TIMINGS, {"epoch": epoch, "step": step, **timing}))
        log.info(
            f"epoch {epoch:3d}/{self._config.num_epochs}  loss {self._measure.show_loss(train_loss)}  {validation}"
            f"{timing[f'{self._unit}_per_second']:7,.0f} {self._unit}/s  waiting {100 * timing['waiting_share']:.1f}%"
        )
        self._after_epoch(epoch)
        self._state.save(step)
        if self.keeper.is_over:
            log.info("no better validation score in %d epochs: stopping", epoch - self.keeper.risen_epoch)
            engine.terminate()

    def _look_for_signals(self, evaluator: Engine) -> None:
        self._stop = int(largest([self._interruption.number])[0])
        if self._stop:
            evaluator.terminate()

    @property
    def _learning_rate(self) -> float:
        return float(self._optimizer.param_groups[0]["lr"])


def copy_for_average(model: ModelT) -> ModelT:
    """Copy a model, to hold its moving average.

    Args:
        model: The model.

    Returns:
        The copy; its parameters require no gradients.
    """
    return copy.deepcopy(model).requires_grad_(False)
