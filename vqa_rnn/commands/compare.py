"""``vqa-rnn compare``: runs that were evaluated on the same questions, side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash, read_json
from vqa_rnn.metrics.accuracy import Scores
from vqa_rnn.metrics.intervals import bootstrap_interval, paired_difference
from vqa_rnn.records import Split


def compare(paths: Sequence[Path], split: Split | None = None) -> dict[str, Any]:
    """Compare runs with the first one, question by question.

    Args:
        paths: Run folders that ``vqa-rnn evaluate`` measured.
        split: The split; by default the one on which most runs were evaluated, ``test`` before ``val``.

    Returns:
        ``signature``, ``split``, ``num_questions``, ``num_images``, ``baseline`` (the first run) and ``runs``: for each run by
        metric its ``value`` with an ``interval``, and for all but the first the ``difference`` to the first with a
        ``difference_interval`` and a two-sided ``p``. Both intervals are 95%, by bootstrap over images; ``p`` is from the same
        resamples, is not corrected for multiple comparisons, and is None with few images.

    Raises:
        UserError: There are fewer than two runs, a run is given twice, was not evaluated on the split or was trained since, or
            the runs have different signatures or answered different questions.
    """
    if len({path.resolve() for path in paths}) < max(len(paths), 2):
        raise UserError("compare needs at least two different runs")
    for path in paths:
        if not (path / "run.json").is_file():
            raise UserError(f"{path} is not a run folder: it has no run.json")
    split = split or _common_split(paths)
    evaluated = [_read(path, split) for path in paths]
    first_report, first_rows = evaluated[0]
    ids = [row["question_id"] for row in first_rows]
    for path, (report, rows) in zip(paths[1:], evaluated[1:], strict=True):
        if report["signature"] != first_report["signature"]:
            raise UserError(
                f"{path} and {paths[0]} do not measure the same: {report['signature']} is not {first_report['signature']}"
            )
        same_questions = report["questions_sha256"] == first_report["questions_sha256"]
        if not same_questions or [row["question_id"] for row in rows] != ids:
            raise UserError(f"{path} answered other questions than {paths[0]}")
    images = [row["image_id"] for row in first_rows]
    before: dict[str, Scores] = {}
    runs: dict[str, Any] = {}
    for path, (_, rows) in zip(paths, evaluated, strict=True):
        scores = {name: np.array([row["scores"][name] for row in rows], dtype=float) for name in rows[0]["scores"]}
        runs[str(path)] = {name: _compare(scores[name], before.get(name), images) for name in scores}
        before = before or scores
    return {
        "signature": first_report["signature"],
        "split": split,
        "num_questions": len(images),
        "num_images": len(set(images)),
        "baseline": str(paths[0]),
        "runs": runs,
    }


def _compare(scores: Scores, before: Scores | None, images: Sequence[str]) -> dict[str, Any]:
    if np.isnan(scores).all():
        return {"value": None}
    found: dict[str, Any] = {"value": float(np.nanmean(scores)), "interval": bootstrap_interval(scores, images)}
    difference = None if before is None else paired_difference(scores, before, images)
    if difference is not None:
        found |= {"difference": difference.mean, "difference_interval": list(difference.interval), "p": difference.p}
    return found


def _common_split(paths: Sequence[Path]) -> Split:
    """Return the split on which most runs were evaluated. ``_read`` reports the runs that were not evaluated on it."""
    common: dict[Split, int] = {split: sum(_report_path(path, split).is_file() for path in paths) for split in ("test", "val")}
    return max(common, key=lambda split: common[split])


def _report_path(path: Path, split: str) -> Path:
    return path / "evaluation" / f"{split}.json"


def _read(path: Path, split: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    files = _report_path(path, split), path / "evaluation" / f"{split}_predictions.json"
    for file in files:
        if not file.is_file():
            raise UserError(f"{path} was not evaluated on its {split} split: run vqa-rnn evaluate {path} --split {split}")
    report, rows = (read_json(file, "evaluation") for file in files)
    if (
        not {"signature", "questions_sha256", "weights_sha256"} <= set(report)
        or not rows
        or not all(isinstance(row, dict) and {"image_id", "scores"} <= set(row) for row in rows)
    ):
        raise UserError(f"{files[1]} is of an earlier version: run vqa-rnn evaluate {path} --split {split} again")
    weights = path / "model.safetensors"
    if not weights.is_file() or report["weights_sha256"] != file_hash(weights):
        raise UserError(f"{weights} changed since it was evaluated: run vqa-rnn evaluate {path} --split {split} again")
    return report, rows
