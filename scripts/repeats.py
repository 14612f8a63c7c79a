"""What the scripts that repeat a training share: each is done once, and repeats are averaged question by question."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vqa_rnn.checkpoint import Run, load_run
from vqa_rnn.commands.evaluate import Measurement, summarise
from vqa_rnn.commands.train import train
from vqa_rnn.config import Config, run_path
from vqa_rnn.metrics.accuracy import Scores
from vqa_rnn.metrics.intervals import bootstrap_interval

BOOTSTRAP_SAMPLES = 1000


def train_once(config: Config) -> Run:
    """Train, unless the run was finished before; one that was broken off begins anew.

    Args:
        config: With a name for the run.

    Returns:
        The finished run.
    """
    path = run_path(config)
    if not (path / "finished").exists():
        print(f"{path}", file=sys.stderr)
        train(config, overwrite=True)
        Path(path / "finished").touch()
    return load_run(path)


def mean_scores(repeats: Sequence[Measurement]) -> dict[str, Scores]:
    """Average repeats.

    Args:
        repeats: The same questions, measured again.

    Returns:
        (N,) scores of each question by metric.
    """
    return {metric: np.mean([measured.metrics[metric] for measured in repeats], axis=0) for metric in repeats[0].metrics}


def summarise_mean(repeats: Sequence[Measurement], mean: Mapping[str, Scores], signature: str) -> dict[str, Any]:
    """Say what repeats gave.

    Args:
        repeats: The same questions, measured again.
        mean: Their ``mean_scores``.
        signature: What was measured.

    Returns:
        The object of ``summarise`` for the mean, with the headline ``by_seed`` and the ``signature``.
    """
    result = summarise(dataclasses.replace(repeats[0], metrics=mean), BOOTSTRAP_SAMPLES)
    result["by_seed"] = [float(measured.scores.mean()) for measured in repeats]
    result["signature"] = signature
    return result


def paired_gain(scores: Scores, others: Scores, images: Sequence[str]) -> dict[str, Any]:
    """By how much the first are better than the others.

    Args:
        scores: (N,) scores of each question, NaN where the metric does not apply.
        others: (N,) scores of the same questions.
        images: Each question's image.

    Returns:
        ``gain``, the mean of the differences, and its 95% ``interval`` by bootstrap over images.
    """
    differences = scores - others
    applies = np.flatnonzero(~np.isnan(differences))
    values = differences[applies]
    return {"gain": float(values.mean()), "interval": bootstrap_interval(values, [images[i] for i in applies])}
