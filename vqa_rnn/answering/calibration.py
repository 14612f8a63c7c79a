"""Calibration: the temperature of a run's probabilities, and the threshold below which an answer counts as not sure."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

from vqa_rnn.checkpoint import Run
from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash, read_json

log = logging.getLogger("vqa_rnn")


@dataclass(frozen=True, slots=True)
class Calibration:
    """The result of ``vqa-rnn calibrate``.

    Attributes:
        temperature: Divisor of the logits.
        threshold: Answers with a lower probability count as not sure; 0 if all are sure, infinite if none is.
    """

    temperature: float = 1.0
    threshold: float = 0.0


def calibration_path(run: Run) -> Path:
    """Return the calibration file of a run.

    Args:
        run: The run.

    Returns:
        The file.
    """
    return run.path / "calibration.json"


def read_calibration(run: Run) -> Calibration:
    """Read a run's calibration.

    Args:
        run: The run.

    Returns:
        The calibration. If there is none, or the weights have changed since, temperature 1 and threshold 0.

    Raises:
        UserError: The file is damaged.
    """
    path = calibration_path(run)
    if not path.is_file():
        return Calibration()
    content = read_json(path, "calibration")
    try:
        sure = content["threshold"]
        found = Calibration(float(content["temperature"]), math.inf if sure is None else float(sure["threshold"]))
        weights = content["weights_sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: delete it, or run vqa-rnn calibrate {run.path} again") from error
    if not found.temperature > 0:
        raise UserError(f"{path} is damaged: the temperature is not above 0; run vqa-rnn calibrate {run.path} again")
    if weights != file_hash(run.model_path):
        log.warning("%s belongs to other weights and is not used: run vqa-rnn calibrate %s again", path, run.path)
        return Calibration()
    return found
