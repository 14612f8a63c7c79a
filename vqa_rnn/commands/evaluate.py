"""``vqa-rnn evaluate``: a run to figures, with intervals, by type, and the floors beside them."""

import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.benchmarks import BENCHMARKS, read_annotations
from vqa_rnn.checkpoint import Run, load_run
from vqa_rnn.commands.answers import all_answers, answer_questions, open_members
from vqa_rnn.commands.shared import check_questions, check_unchanged, move_run, open_runs
from vqa_rnn.engines import choose_device, is_first, processes
from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash, write_json
from vqa_rnn.metrics.accuracy import Scores, by_type, chance
from vqa_rnn.metrics.ceilings import ceilings
from vqa_rnn.metrics.floors import text_floors
from vqa_rnn.metrics.intervals import bootstrap_interval, paired_difference
from vqa_rnn.metrics.signature import signature
from vqa_rnn.records import Prediction, Question, Split

log = logging.getLogger("vqa_rnn")

SHUFFLE_SEED = 0
GAIN_SAMPLES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """How right a run is on each question of a split, and how right the floors are.

    Attributes:
        benchmark: The data set.
        split: The split.
        questions: Its questions whose answers are known.
        predictions: The run's answers by question id.
        metrics: (N,) scores of each question by metric, the headline first; NaN where a metric does not apply.
        floors: (N,) scores of each floor by metric, the headline among them; empty where they were not asked for.
        ceilings: (N,) the best headline scores that can be reached, where the benchmark scores answers one by one.
    """

    benchmark: str
    split: Split
    questions: tuple[Question, ...]
    predictions: Mapping[str, Prediction]
    metrics: Mapping[str, Scores]
    floors: Mapping[str, Mapping[str, Scores]]
    ceilings: Mapping[str, Scores]

    @property
    def headline(self) -> str:
        """The metric that is broken down by type and set beside the floors."""
        return next(iter(self.metrics))

    @property
    def scores(self) -> Scores:
        """(N,) the headline scores."""
        return self.metrics[self.headline]


def evaluate(
    path: str | Path, split: Split | None = None, question_only: str | Path | None = None, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Measure a run on a split, and write ``evaluation/SPLIT.json`` and ``evaluation/SPLIT_predictions.json`` into it.

    Args:
        path: The run folder.
        split: Which split; by default ``test`` where there is one with answers, else ``val``.
        question_only: A run that was trained without images (``model.ablate=question_only``) on the same data; adds
            ``image_gain``, how much better this run is, with a paired interval.
        overrides: ``section.key=value`` each, of ``MAY_MOVE``, for both runs.

    Returns:
        The object of ``summarise``, with ``signature``, and the hashes of the questions and of the weights that were measured,
        ``questions_sha256`` and ``weights_sha256``.

    Raises:
        UserError: The split is empty or its answers are withheld, features are missing, or an override is not one of those.
    """
    run = move_run(load_run(path), overrides)
    weights = file_hash(run.model_path) if run.model_path.is_file() else None  # training may go on meanwhile
    with processes(run.config.run.device) as device:
        measured = measure(run, split, device)
        blind = None if question_only is None else _measure_blind(question_only, run, measured, device, overrides)
    report = summarise(measured, run.config.evaluation.bootstrap_samples, blind)
    report |= {"signature": _signature(run, measured), "questions_sha256": _hash(measured.questions), "weights_sha256": weights}
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
    """Measure runs that answer together, by the mean of their probabilities. Nothing is written into their folders.

    Args:
        paths: Their folders, two at least.
        split: As in ``evaluate``.
        overrides: As in ``evaluate``, for all runs.

    Returns:
        The object of ``summarise``, with ``signature``, ``questions_sha256``; ``members``, the headline metric of each run; and
        ``ensemble_gain``, how much better the ensemble is than its members are in the mean, with a paired interval and ``p``.

    Raises:
        UserError: As ``evaluate``; or the runs do not answer the same questions, or one was not trained yet.
    """
    runs = open_runs(paths, overrides)
    with processes(runs[0].config.run.device) as device:
        measured = measure(runs[0], split, device, ensemble=runs[1:])
        alone = [_score_alone(run, measured, device) for run in runs]
    report = summarise(measured, runs[0].config.evaluation.bootstrap_samples)
    image_ids = [question.image_id for question in measured.questions]
    gain = paired_difference(measured.scores, np.mean(alone, axis=0), image_ids, GAIN_SAMPLES)
    assert gain is not None, "the headline metric applies to some questions"
    return report | {
        "signature": _signature(runs[0], measured, len(runs)),
        "questions_sha256": _hash(measured.questions),
        "members": {str(run.path): float(np.nanmean(scores)) for run, scores in zip(runs, alone, strict=True)},
        "ensemble_gain": {measured.headline: gain.mean, "interval": list(gain.interval), "p": gain.p},
    }


def _score_alone(run: Run, measured: Measurement, device: torch.device) -> Scores:
    """The headline scores of one run on the questions of an ensemble."""
    annotations = read_annotations(run.config.dataset, [measured.split])
    members, _ = open_members([run], measured.questions, annotations, measured.split, device)
    predictions = answer_questions(members, measured.questions, device)
    return BENCHMARKS[measured.benchmark].metrics(measured.questions, predictions)[measured.headline]


def measure(
    run: Run,
    split: Split | None = None,
    device: torch.device | None = None,
    *,
    with_floors: bool = True,
    ensemble: Sequence[Run] = (),
) -> Measurement:
    """Answer a split's questions and score them.

    Args:
        run: The run.
        split: Which split; by default ``test`` where there is one with answers, else ``val``.
        device: Where to compute; by default where the run's config says.
        with_floors: Score the floors as well.
        ensemble: More runs that answer with it, by the mean of their probabilities.

    Returns:
        Scores of each question, by the run and by the floors.

    Raises:
        UserError: The split is empty, its answers are withheld, the run learned from them (``training.refit``), or features are
            missing.
    """
    config = run.config
    annotations = read_annotations(config.dataset, [split] if split else ["val", "test"])
    if split is None:
        split = "test" if any(question.human_answers for question in annotations.split("test")) else "val"
    for each in (run, *ensemble):
        if split == "val" and split in each.config.training.splits:
            raise UserError(
                f"{each.path} learned from the validation questions (training.refit): give --split test, or use vqa-rnn "
                "predict where its answers are withheld"
            )
        check_unchanged(each, annotations, split)
    every = annotations.split(split)
    questions = tuple(question for question in every if question.human_answers)
    if 0 < len(questions) < len(every):
        log.warning("%d of %d questions are left out: their answers are withheld", len(every) - len(questions), len(every))
    if not questions:
        raise UserError(f"{config.dataset.name} has no questions with answers in its {split} split")
    for each in (run, *ensemble):
        check_questions(each.config, questions)
    benchmark = config.dataset.name
    device = device or choose_device(config.run.device)
    members, questions = open_members([run, *ensemble], questions, annotations, split, device)
    predictions = answer_questions(members, questions, device)

    def score(answers: Mapping[str, Prediction]) -> dict[str, Scores]:
        return BENCHMARKS[benchmark].metrics(questions, answers)

    metrics = score(predictions)
    floors: dict[str, Mapping[str, Scores]] = {}
    if with_floors:
        if any(chance(question) for question in questions):
            floors["chance"] = {next(iter(metrics)): np.array([chance(question) for question in questions])}
        train = read_annotations(config.dataset, config.training.splits).questions
        if not questions[0].choice_regions:  # a box comes once: what was said of others tells nothing
            for name, answers in text_floors(train, questions, config.evaluation.prefix_words).items():
                floors[name] = score(answers)
        if any(member.model.sees_image for member in members):
            exchanged = [member.with_shuffled_images(SHUFFLE_SEED) for member in members]
            floors["images_shuffled"] = score(answer_questions(exchanged, questions, device))
    known = AnswerVocabulary(all_answers(members))
    return Measurement(
        benchmark=benchmark,
        split=split,
        questions=questions,
        predictions=predictions,
        metrics=metrics,
        floors=floors,
        ceilings=ceilings(questions, known if len(known) else None) if BENCHMARKS[benchmark].by_answer else {},
    )


def summarise(measured: Measurement, bootstrap_samples: int, blind: Scores | None = None) -> dict[str, Any]:
    """Means, 95% intervals by image, breakdowns and floors.

    Args:
        measured: What ``measure`` found.
        bootstrap_samples: Resamples of the images.
        blind: (N,) scores of a model without images on the same questions; adds ``image_gain``.

    Returns:
        ``benchmark``, ``split``, ``num_questions``, ``metrics``, ``intervals``, ``per_type``, ``floors`` and ``ceilings``.
        Fractions.
    """
    image_ids = [question.image_id for question in measured.questions]

    def interval(values: Scores) -> list[float]:
        return list(bootstrap_interval(values, image_ids, bootstrap_samples))

    metrics = _means(measured.metrics)
    headline = measured.headline
    report: dict[str, Any] = {
        "benchmark": measured.benchmark,
        "split": measured.split,
        "num_questions": len(measured.questions),
        "num_images": len(set(image_ids)),
        "metrics": metrics,
        "intervals": {name: interval(measured.metrics[name]) for name in metrics},
        "per_type": by_type(measured.questions, measured.metrics),
        "floors": {name: _means(scores) | {"interval": interval(scores[headline])} for name, scores in measured.floors.items()},
    }
    report["ceilings"] = {name: {headline: float(scores.mean())} for name, scores in measured.ceilings.items()}
    if blind is not None:
        gain = measured.scores - blind
        report["image_gain"] = {headline: float(gain.mean()), "interval": interval(gain)}
    return report


def _means(metrics: Mapping[str, Scores]) -> dict[str, Any]:
    """The mean of each metric over the questions to which it applies."""
    return {name: float(np.nanmean(scores)) for name, scores in metrics.items() if not np.isnan(scores).all()}


def _measure_blind(path: str | Path, run: Run, measured: Measurement, device: torch.device, overrides: Sequence[str]) -> Scores:
    other = move_run(load_run(path), overrides)
    if other.config.model.ablate not in ("question_only", "choices_only"):
        raise UserError(
            f"{path} sees images (model.ablate={other.config.model.ablate}): the image gain needs a run trained with "
            "model.ablate=question_only"
        )
    blind = measure(other, measured.split, device, with_floors=False)
    if _hash(blind.questions) != _hash(measured.questions):
        raise UserError(f"{path} was trained on other data: its {measured.split} split has other questions")
    if _signature(other, blind) != _signature(run, measured):
        raise UserError(
            f"{path} and {run.path} do not measure the same: {_signature(other, blind)} is not {_signature(run, measured)}"
        )
    return blind.scores


def _signature(run: Run, measured: Measurement, num_runs: int = 1) -> str:
    dataset = run.config.dataset
    several_people = any(len(question.human_answers) > 1 for question in measured.questions)
    choices = {len(question.choices) or len(question.choice_regions) for question in measured.questions}
    num_judged = int((~np.isnan(measured.metrics["ndcg"])).sum()) if "ndcg" in measured.metrics else None
    return signature(
        dataset.name,
        **dataset.variant,
        metric=measured.headline,
        rule="2021" if several_people else None,
        choices="-".join(map(str, sorted({min(choices), max(choices)}))) if any(choices) else None,
        dense=num_judged,
        # a head that chooses among a question's choices has the same task as any other that does
        head=None if any(choices) else run.config.model.head.name,
        ensemble=num_runs if num_runs > 1 else None,
        split=measured.split,
        fold=f"{dataset.fold}of{dataset.folds}" if dataset.folds else None,
        n=len(measured.questions),
    )


def _hash(questions: Sequence[Question]) -> str:
    """Tell questions of one set from those of another whose ids are the same numbers."""
    digest = hashlib.sha256()
    for question in questions:
        content = (question.question_id, question.image_id, question.question, *question.human_answers, *question.choices)
        digest.update("\0".join(content).encode() + b"\n")
    return digest.hexdigest()
