"""``vqa-rnn compare``: runs of one kind that were evaluated on the same data, side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vqa_rnn.commands.shared import counts_of
from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash, read_json
from vqa_rnn.metrics.accuracy import Scores
from vqa_rnn.metrics.intervals import bootstrap_interval, paired_difference
from vqa_rnn.records import Split

WITHOUT_EVALUATION = "vqa-rnn lm train"  # bits per character are no mean over examples


def compare(paths: Sequence[Path], split: Split | None = None) -> dict[str, Any]:
    """Compare runs with the first one, question by question.

    Args:
        paths: Run folders that ``vqa-rnn evaluate`` measured, or the ``evaluate`` of one kind of sequence models.
        split: The split; by default the one on which most runs were evaluated, ``test`` before ``val``.

    Returns:
        ``signature``, ``split``, ``counts`` (of questions and images, or of what a sequence model was scored on and of its
        groups), ``baseline`` (the first run) and ``runs``: for each run by metric its ``value`` with an ``interval``, and for
        all but the first the ``difference`` to the first with a ``difference_interval`` and a two-sided ``p``. Both intervals
        are 95%, by bootstrap over images or groups; ``p`` is from the same resamples, is not corrected for multiple
        comparisons, and is None with few images.

    Raises:
        UserError: There are fewer than two runs, a run is given twice, was not evaluated on the split or was trained since, or
            the runs are of different kinds, have different signatures or answered different questions.
    """
    if len({path.resolve() for path in paths}) < max(len(paths), 2):
        raise UserError("compare needs at least two different runs")
    for path in paths:
        if not (path / "run.json").is_file():
            raise UserError(f"{path} is not a run folder: it has no run.json")
    command = _evaluate_command(paths)
    split = split or _common_split(paths, command)
    evaluated = [_read(path, split, command) for path in paths]
    first_report, first_rows = evaluated[0]
    ids, images = ([row[name] for row in first_rows] for name in ("question_id", "image_id"))
    counts = first_report.get("counts") or counts_of(first_report)
    for path, (report, rows) in zip(paths[1:], evaluated[1:], strict=True):
        if report["signature"] != first_report["signature"]:
            raise UserError(
                f"{path} and {paths[0]} do not measure the same: {report['signature']} is not {first_report['signature']}"
            )
        same_questions = report["questions_sha256"] == first_report["questions_sha256"]
        if not same_questions or [row["question_id"] for row in rows] != ids:
            raise UserError(f"{path} was evaluated on other {next(iter(counts))} than {paths[0]}")
    before: dict[str, Scores] = {}
    runs: dict[str, Any] = {}
    for path, (_, rows) in zip(paths, evaluated, strict=True):
        scores = {name: np.array([row["scores"][name] for row in rows], dtype=float) for name in rows[0]["scores"]}
        runs[str(path)] = {name: _compare(scores[name], before.get(name), images) for name in scores}
        before = before or scores
    return {
        "signature": first_report["signature"],
        "split": split,
        "counts": counts,
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


def _evaluate_command(paths: Sequence[Path]) -> str:
    """Return the command that evaluates runs of their kind."""
    trained_by = [_trained_by(path) for path in paths]
    for path, command in zip(paths, trained_by, strict=True):
        if command == WITHOUT_EVALUATION:
            raise UserError(
                f"{path} is a run of {command}, which has no evaluation to compare: see val_bits in its metrics.jsonl"
            )
        if command != trained_by[0]:
            raise UserError(f"{path} is a run of {command}, and {paths[0]} of {trained_by[0]}: give runs of one kind")
    return trained_by[0].removesuffix("train") + "evaluate"


def _trained_by(path: Path) -> str:
    description = read_json(path / "run.json", "run description")
    command = description.get("command") if isinstance(description, dict) else None
    return "vqa-rnn train" if command is None else str(command)


def _common_split(paths: Sequence[Path], command: str) -> Split:
    """Return the split on which most runs were evaluated. ``_read`` reports the runs that were not evaluated on it."""
    common: dict[Split, int] = {split: sum(_report_path(path, split).is_file() for path in paths) for split in ("test", "val")}
    if not any(common.values()):
        raise UserError(f"{paths[0]} was not evaluated on its test or val split: run {command} {paths[0]}")
    return max(common, key=lambda split: common[split])


def _report_path(path: Path, split: str) -> Path:
    return path / "evaluation" / f"{split}.json"


def _read(path: Path, split: str, command: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    files = _report_path(path, split), path / "evaluation" / f"{split}_predictions.json"
    for file in files:
        if not file.is_file():
            raise UserError(f"{path} was not evaluated on its {split} split: run {command} {path} --split {split}")
    report, rows = (read_json(file, "evaluation") for file in files)
    if (
        not {"signature", "questions_sha256", "weights_sha256"} <= set(report)
        or not rows
        or not all(isinstance(row, dict) and {"image_id", "scores"} <= set(row) for row in rows)
    ):
        raise UserError(f"{files[1]} is of an earlier version: run {command} {path} --split {split} again")
    weights = path / "model.safetensors"
    if not weights.is_file() or report["weights_sha256"] != file_hash(weights):
        raise UserError(f"{weights} changed since it was evaluated: run {command} {path} --split {split} again")
    return report, rows
