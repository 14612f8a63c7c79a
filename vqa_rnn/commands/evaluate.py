"""``vqa-rnn evaluate``: the results of a run or of an ensemble, also compared with a Hugging Face model."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vqa_rnn.checkpoint import Run, load_run
from vqa_rnn.commands.huggingface import compare_with, open_model
from vqa_rnn.commands.measure import Measurement, measure, questions_hash, signature_of, summarise
from vqa_rnn.commands.shared import move_run, open_ensemble
from vqa_rnn.engines import is_first, on_first, processes
from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash, write_json
from vqa_rnn.metrics.accuracy import Scores
from vqa_rnn.metrics.intervals import paired_difference
from vqa_rnn.records import Split


def evaluate(
    path: str | Path,
    split: Split | None = None,
    question_only: str | Path | None = None,
    overrides: Sequence[str] = (),
    ceiling: str | None = None,
) -> dict[str, Any]:
    """Evaluate a run on a split, and write ``evaluation/SPLIT.json`` and ``evaluation/SPLIT_predictions.json`` into its folder.

    Args:
        path: The run folder.
        split: The split; by default ``test`` if it has answers, else ``val``.
        question_only: A run that was trained without images on the same data (``model.ablate`` is ``question_only`` or
            ``choices_only``). Adds ``image_gain``, how much better this run is, with a paired interval and ``p``.
        overrides: ``section.key=value`` each, of ``MAY_MOVE``, for both runs.
        ceiling: ``hf:OWNER/NAME``, a Hugging Face model that answers the same questions. Adds ``ceiling_model``: its ``name``,
            its score with an ``interval``, and the ``gain`` of this run over it, with a paired ``gain_interval``
            and ``gain_p``. Under torchrun, only the report of the first process has it.

    Returns:
        The report of ``summarise``, with ``signature``, ``questions_sha256`` and ``weights_sha256``, the hashes of the
        questions and of the weights.

    Raises:
        UserError: The split is empty or its answers are withheld, features are missing, an override is not in ``MAY_MOVE``, or
            the Hugging Face model cannot be opened or cannot answer the kind of questions in the data set.
    """
    run = move_run(load_run(path), overrides)
    weights = file_hash(run.model_path) if run.model_path.is_file() else None  # read first, as training may go on
    with processes(run.config.run.device) as device:
        other = None if ceiling is None else on_first(partial(open_model, ceiling))  # before the run is measured
        measured = measure(run, split, device)
        blind = None if question_only is None else _measure_blind(question_only, run, measured, device, overrides)
    report = summarise(measured, run.config.evaluation.bootstrap_samples, blind)
    if ceiling is not None and other is not None:
        report["ceiling_model"] = compare_with(ceiling, other, run.config, measured)
    report |= {
        "signature": signature_of(run.config, measured),
        "questions_sha256": questions_hash(measured.questions),
        "weights_sha256": weights,
    }
    if not is_first():
        return report
    folder = run.path / "evaluation"
    write_json(folder / f"{measured.split}.json", report)
    rows = [
        {
            "question_id": question.question_id,
            "image_id": question.image_id,
            "answer": measured.predictions[question.question_id].answer,
            "probability": measured.predictions[question.question_id].probability,
            "scores": {name: None if math.isnan(scores[n]) else float(scores[n]) for name, scores in measured.metrics.items()},
        }
        for n, question in enumerate(measured.questions)
    ]
    write_json(folder / f"{measured.split}_predictions.json", rows)
    return report


def evaluate_ensemble(paths: Sequence[Path], split: Split | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Evaluate runs that answer together with the mean of their probabilities. Nothing is written into their folders.

    Args:
        paths: At least two run folders.
        split: As in ``evaluate``.
        overrides: As in ``evaluate``, for all runs.

    Returns:
        The report of ``summarise``, with ``signature``, ``questions_sha256``; ``members``, the headline metric of each run; and
        ``ensemble_gain``, how much better the ensemble is than the mean of its members, with a paired interval and ``p``.

    Raises:
        UserError: As in ``evaluate``; or the runs do not answer the same questions, or one is not trained yet.
    """
    runs = open_ensemble(paths, overrides)
    with processes(runs[0].config.run.device) as device:
        measured = measure(runs[0], split, device, ensemble=runs[1:])
    report = summarise(measured, runs[0].config.evaluation.bootstrap_samples)
    image_ids = [question.image_id for question in measured.questions]
    gain = paired_difference(measured.scores, np.mean(measured.members, axis=0), image_ids)
    assert gain is not None, "the headline metric applies to some questions"
    return report | {
        "signature": signature_of(runs[0].config, measured, len(runs)),
        "questions_sha256": questions_hash(measured.questions),
        "members": {str(run.path): float(np.nanmean(scores)) for run, scores in zip(runs, measured.members, strict=True)},
        "ensemble_gain": {measured.headline: gain.mean, "interval": list(gain.interval), "p": gain.p},
    }


def _measure_blind(path: str | Path, run: Run, measured: Measurement, device: torch.device, overrides: Sequence[str]) -> Scores:
    other = move_run(load_run(path), overrides)
    if other.config.model.ablate not in ("question_only", "choices_only"):
        raise UserError(
            f"{path} sees images (model.ablate={other.config.model.ablate}): the image gain needs a run trained with "
            "model.ablate=question_only"
        )
    blind = measure(other, measured.split, device, with_floors=False)
    if questions_hash(blind.questions) != questions_hash(measured.questions):
        raise UserError(f"{path} was trained on other data: its {measured.split} split has other questions")
    ours, theirs = signature_of(run.config, measured), signature_of(other.config, blind)
    if theirs != ours:
        raise UserError(f"{path} and {run.path} do not measure the same: {theirs} is not {ours}")
    return blind.scores
