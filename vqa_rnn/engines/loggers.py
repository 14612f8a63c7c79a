"""MLflow and Weights & Biases, through Ignite's handlers.

They log the same values as ``metrics.jsonl`` and ``timings.jsonl``, at the same steps. The libraries' own environment variables
decide where the logs go. This module sets those in ``QUIET``, unless the user has set them.
"""

import importlib.util
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Literal, Protocol

from ignite.handlers.mlflow_logger import MLflowLogger
from ignite.handlers.wandb_logger import WandBLogger

from vqa_rnn.config import TrainableConfig, run_path
from vqa_rnn.config.files import flat_config
from vqa_rnn.engines.state import keep_random_state
from vqa_rnn.errors import Interrupted, UserError
from vqa_rnn.files import read_json, write_json

log = logging.getLogger("vqa_rnn")

Outcome = Literal["finished", "interrupted", "failed"]

LONGEST_VALUE = 500  # characters of a parameter value; the oldest MLflow servers accept no more
# Print nothing over the progress bar, send nothing that was not asked for, and do not wait endlessly for a server.
QUIET: Mapping[str, Mapping[str, str]] = {
    "mlflow": {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    },
    "wandb": {
        "WANDB_SILENT": "true",
        "WANDB_CONSOLE": "off",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_DISABLE_GIT": "true",
        "WANDB_DISABLE_CODE": "true",
        "WANDB_X_DISABLE_STATS": "true",
        "WANDB_X_DISABLE_META": "true",
        "WANDB_X_DISABLE_MACHINE_INFO": "true",
        "WANDB_X_SAVE_REQUIREMENTS": "false",
        "WANDB_FINISH_TIMEOUT": "300",
    },
}


class Logger(Protocol):
    """An open run of a logging library.

    Attributes:
        run_id: The library's id of the run.
        place: Where the run can be viewed, for a message.
    """

    run_id: str
    place: str

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Log values.

        Args:
            values: Values by name.
            step: The step after which they were measured.
        """
        ...

    def close(self, outcome: Outcome) -> None:
        """End the run.

        Args:
            outcome: How training ended.
        """
        ...


class _Mlflow:
    """MLflow. Without MLFLOW_TRACKING_URI it writes to ``mlflow.db`` (SQLite) in the folder that contains the run folders."""

    def __init__(self, config: TrainableConfig, run_id: str | None) -> None:
        self._library = _import("mlflow")
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        path = run_path(config).resolve()
        self._has_own_place = not self._library.is_tracking_uri_set()
        if self._has_own_place:
            self._library.set_tracking_uri(f"sqlite:///{path.parent / 'mlflow.db'}")
        try:
            # nested: the caller may have an MLflow run open
            run = self._library.start_run(run_id=run_id, run_name=path.name, nested=True)
        except BaseException:
            self._forget_place()
            raise
        self._logger = MLflowLogger()  # for the open run
        self.run_id, self.place = run.info.run_id, self._library.get_tracking_uri()
        try:
            if run_id is None:
                self._logger.log_params(_parameters(config))
        except BaseException:
            self.close("failed")
            raise

    def write(self, values: Mapping[str, float], step: int) -> None:
        self._logger.log_metrics(dict(values), step=step)

    def close(self, outcome: Outcome) -> None:
        status = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}[outcome]
        try:
            self._logger.end_run(status)
        finally:
            self._forget_place()

    def _forget_place(self) -> None:
        """Reset the tracking URI, because the next run of this process may be in another folder."""
        if self._has_own_place:
            self._library.set_tracking_uri(None)


class _Wandb:
    """Weights & Biases, as set up by its environment variables and login."""

    def __init__(self, config: TrainableConfig, run_id: str | None) -> None:
        _import("wandb")
        options = {"config": flat_config(config)} if run_id is None else {}
        with _no_terminal():
            self._logger = WandBLogger(name=run_path(config).name, id=run_id, resume="allow", **options)
        run = self._logger.run
        self.run_id, self.place = run.id, run.url or str(Path(run.dir).parent)

    def write(self, values: Mapping[str, float], step: int) -> None:
        self._logger.log(dict(values), step=step)

    def close(self, outcome: Outcome) -> None:
        self._logger.finish(exit_code=0 if outcome == "finished" else 1)


Begin = Callable[[TrainableConfig, str | None], Logger]
"""Opens a logger for a config; the second argument is the id of the run to continue, or None for a new run."""

LOGGERS: Mapping[str, Begin] = {"mlflow": _Mlflow, "wandb": _Wandb}
TITLES = {"mlflow": "MLflow", "wandb": "Weights & Biases"}
ADVICE = {"mlflow": "Is MLFLOW_TRACKING_URI right?", "wandb": "Run wandb login, or set WANDB_MODE=offline."}


class Loggers:
    """The loggers of a run other than TensorBoard. They are closed at the end of the block, with its outcome as their status.

    Only the first process opens loggers. A logger that cannot start is a ``UserError``, because nothing is computed yet. A
    logger that fails later, or cannot continue its run on a resume, is switched off with a warning, and training continues.
    """

    def __init__(self, config: TrainableConfig) -> None:
        """Prepare the loggers; none is opened yet.

        Args:
            config: The config of the training run.
        """
        self._config = config
        self._names = [name for name in config.training.loggers if name in LOGGERS]
        self._loggers: dict[str, Logger] = {}
        self._resumed: set[str] = set()

    def __enter__(self) -> "Loggers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        outcome: Outcome = "finished"
        if kind is not None:
            outcome = "interrupted" if issubclass(kind, Interrupted | KeyboardInterrupt) else "failed"
        while self._loggers:
            _close(*self._loggers.popitem(), outcome)

    def check(self) -> None:
        """Check that the libraries are installed.

        Raises:
            UserError: A library is missing.
        """
        for name in self._names:
            if importlib.util.find_spec(name) is None:
                raise UserError(f'training.loggers={name} needs {TITLES[name]}: pip install "vqa-rnn[loggers]"')

    def open(self, *, resume: bool) -> None:
        """Start a run with each logger, or continue the run whose id is in the run folder.

        Args:
            resume: Whether to continue earlier runs.

        Raises:
            UserError: A logger cannot start.
        """
        ids = self._ids if resume else {}
        for name in self._names:
            for variable, value in QUIET[name].items():
                os.environ.setdefault(variable, value)
            try:
                with _apart():
                    logger = LOGGERS[name](self._config, ids.get(name))
            except Exception as error:  # from the library, a server or the login
                why = _one_line(error)
                if name not in ids:
                    raise UserError(f"training.loggers={name}: {TITLES[name]} cannot start: {why}. {ADVICE[name]}") from error
                log.warning("%s cannot continue its run %s and is switched off: %s", TITLES[name], ids[name], why)
                continue
            self._loggers[name] = logger
            if name in ids:
                self._resumed.add(name)
            log.info("%s: %s, run %s", TITLES[name], _without_password(logger.place), logger.run_id)

    def save_ids(self) -> None:
        """Write the ids of the loggers' runs into the run folder, for a resume.

        Raises:
            UserError: The file cannot be written.
        """
        ids = self._ids | {name: logger.run_id for name, logger in self._loggers.items()}
        if ids:
            write_json(self._path, ids)

    def write(self, values: Mapping[str, float], step: int, *, again: bool) -> None:
        """Log values.

        Args:
            values: Values by name.
            step: The step after which they were measured.
            again: Whether they were logged before the training was stopped. Continued runs have them already.
        """
        for name, logger in list(self._loggers.items()):
            if again and name in self._resumed:
                continue
            try:
                with _apart():
                    logger.write(values, step)
            except Exception as error:
                del self._loggers[name]
                log.warning("%s is switched off from step %d on, training continues: %s", TITLES[name], step, _one_line(error))
                _close(name, logger, "failed")

    @property
    def _path(self) -> Path:
        return run_path(self._config) / "loggers.json"

    @property
    def _ids(self) -> dict[str, str]:
        return read_json(self._path, "run ids of loggers") if self._path.is_file() else {}


def _close(name: str, logger: Logger, outcome: Outcome) -> None:
    try:
        logger.close(outcome)
    except Exception as error:
        log.warning("%s could not close its run: %s", TITLES[name], _one_line(error))


def _import(name: str) -> ModuleType:
    return importlib.import_module(name)  # takes a second or more, and reads environment variables


def _parameters(config: TrainableConfig) -> dict[str, str]:
    """Return every option as text, by dotted key."""
    flat = flat_config(config)
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in flat.items()}
    return {key: text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…" for key, text in texts.items()}


@contextmanager
def _apart() -> Iterator[None]:
    """Keep a library's random draws and warnings apart from the training."""
    with keep_random_state(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _no_terminal() -> Iterator[None]:
    """Hide the terminal from W&B: without a login it would ask for one; without a terminal it raises an error."""
    before = sys.stdin
    with Path(os.devnull).open(encoding="utf-8") as nothing:
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.stdin = before


def _one_line(error: BaseException) -> str:
    return _without_password(" ".join(str(error).split()))[:300] or type(error).__name__


def _without_password(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", text)
