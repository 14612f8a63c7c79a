"""``vqa-rnn glimpses evaluate``: how well a reader reads, with intervals and floors."""

from collections import Counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqa_rnn.metrics.intervals import bootstrap_interval
from vqa_rnn.sequences.digits import read_digits
from vqa_rnn.sequences.glimpses_data import END, IGNORED, SceneBatches, Scenes, val_scenes
from vqa_rnn.sequences.glimpses_run import GlimpsesRun, build_reader, read_scenes
from vqa_rnn.sequences.run import load_model

RANDOM_SEED = 0


def evaluate(run: GlimpsesRun) -> dict[str, Any]:
    """Measure a reader on the validation scenes.

    Args:
        run: The run.

    Returns:
        ``num_scenes``; ``metrics``: ``accuracy``, the share of scenes of which every digit and the end is right,
        ``digit_accuracy``, ``digit_1`` and so on from left to right, and ``end``; ``intervals``, 95% by bootstrap over the
        scenes; and ``floors``, the accuracy of the most frequent sequence of the training scenes, of the same reader at random
        places, and of the same reader if it keeps looking at the first place it chose.

    Raises:
        UserError: The digits cannot be read, or there are no weights yet.
    """
    scenes, model = val_scenes(run.config.data), load_model(run, build_reader(run.config, run.entries))
    found = read_scenes(model, scenes)
    random = torch.rand(found.places.shape, generator=torch.Generator().manual_seed(RANDOM_SEED)) * 2 - 1
    floors = {
        "most_frequent_sequence": _share_of_most_frequent(run, scenes),
        "random_places": _accuracy(read_scenes(model, scenes, random).right),
        "one_glimpse": _accuracy(read_scenes(model, scenes, found.places[:, :1].expand_as(found.places)).right),
    }
    right_NT = found.right.numpy().astype(np.float64)
    digits_NT = np.where((scenes.targets != IGNORED) & (scenes.targets != END), right_NT, np.nan)
    ends_N = right_NT[scenes.targets == END]
    metrics = {"accuracy": _accuracy(found.right), "digit_accuracy": float(np.nanmean(digits_NT))}
    metrics |= {f"digit_{place + 1}": float(np.nanmean(digits_NT[:, place])) for place in range(digits_NT.shape[1] - 1)}
    intervals = {
        "accuracy": _interval(right_NT.min(axis=1, keepdims=True)),
        "digit_accuracy": _interval(digits_NT),
    }
    return {
        "num_scenes": len(scenes.images),
        "metrics": metrics | {"end": float(ends_N.mean())},
        "intervals": intervals,
        "floors": floors,
    }


def lines_of(result: dict[str, Any]) -> list[str]:
    """Describe a result.

    Args:
        result: From ``evaluate``.

    Returns:
        Lines to print, in per cent.
    """
    metrics, intervals = result["metrics"], result["intervals"]
    names = {"accuracy": "whole scenes", "digit_accuracy": "digits"}
    lines = [f"{result['num_scenes']} validation scenes, read right, with 95% intervals:"]
    for name, value in metrics.items():
        between = "  ({:.2f} to {:.2f})".format(*(100 * end for end in intervals[name])) if name in intervals else ""
        lines.append(f"  {names.get(name, name.replace('_', ' ')):24s}{100 * value:6.2f}%{between}")
    lines.append("floors, whole scenes:")
    lines += [f"  {name.replace('_', ' '):24s}{100 * value:6.2f}%" for name, value in result["floors"].items()]
    return lines


def _accuracy(right_NT: Tensor) -> float:
    return float(right_NT.all(dim=1).double().mean())


def _interval(scores_NT: NDArray[np.float64]) -> list[float]:
    """Bootstrap over the scenes."""
    names = np.repeat(np.arange(len(scores_NT)), scores_NT.shape[1]).astype(str).tolist()
    return list(bootstrap_interval(scores_NT.ravel(), names))


def _share_of_most_frequent(run: GlimpsesRun, scenes: Scenes) -> float:
    """Return the share of scenes with the most frequent sequence of the first epoch of training."""
    options = run.config.data
    digits = read_digits(options.source, "train", options.folder)
    batches = SceneBatches(digits, options, run.config.training.batch_size, run.config.run.seed)
    batches.epoch = 1
    counts = Counter(tuple(targets) for (batch,) in batches for targets in batch.targets.tolist())
    most = max(counts, key=lambda sequence: (counts[sequence], sequence))
    return float((scenes.targets == np.array(most)).all(axis=1).mean())
