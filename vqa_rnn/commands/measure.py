"""Scores of a model on a split, with intervals, scores by type, and floors."""

import dataclasses
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.benchmarks import BENCHMARKS, read_annotations
from vqa_rnn.checkpoint import Run
from vqa_rnn.commands.answers import all_answers, answer_questions, answer_with_members, open_members
from vqa_rnn.commands.shared import check_questions, check_unchanged
from vqa_rnn.config import Config
from vqa_rnn.engines import choose_device
from vqa_rnn.errors import UserError
from vqa_rnn.metrics.accuracy import Scores, by_type, chance
from vqa_rnn.metrics.ceilings import ceilings
from vqa_rnn.metrics.intervals import bootstrap_interval, corpus_intervals, paired_difference
from vqa_rnn.metrics.official import Corpus
from vqa_rnn.metrics.signature import signature
from vqa_rnn.progress import counted
from vqa_rnn.records import Annotations, Prediction, Question, Split

log = logging.getLogger("vqa_rnn")

SHUFFLE_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The scores of a run and of the floors on each question of a split.

    Attributes:
        benchmark: Name of the data set.
        split: The split.
        questions: The questions of the split with known answers.
        predictions: The run's predictions by question id.
        metrics: (N,) scores of each question by metric, the headline metric first; NaN where a metric does not apply.
        floors: (N,) scores of each floor by metric, including the headline metric; empty if floors were not requested.
        corpus: Metrics of the whole split, such as BLEU; None if the benchmark has none.
        floor_corpus: The same of each floor.
        ceilings: (N,) the highest possible headline scores, if the benchmark scores answers one by one; else empty.
        members: (N,) headline scores of each member of an ensemble alone; empty for a single run.
    """

    benchmark: str
    split: Split
    questions: tuple[Question, ...]
    predictions: Mapping[str, Prediction]
    metrics: Mapping[str, Scores]
    floors: Mapping[str, Mapping[str, Scores]]
    ceilings: Mapping[str, Scores]
    members: Sequence[Scores] = ()
    corpus: Corpus | None = None
    floor_corpus: Mapping[str, Corpus] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        """The metric that is broken down by type and compared with the floors."""
        return next(iter(self.metrics))

    @property
    def scores(self) -> Scores:
        """(N,) the headline scores."""
        return self.metrics[self.headline]


def measure(
    run: Run,
    split: Split | None = None,
    device: torch.device | None = None,
    *,
    with_floors: bool = True,
    ensemble: Sequence[Run] = (),
) -> Measurement:
    """Answer the questions of a split and score them.

    Args:
        run: The run.
        split: The split; by default ``test`` if it has answers, else ``val``.
        device: Where to compute; defaults to the device in the run's config.
        with_floors: Also score the floors.
        ensemble: More runs that answer together with it, with the mean of their probabilities.

    Returns:
        The scores of each question, by the run and by the floors.

    Raises:
        UserError: The split is empty, its answers are withheld, the run learned from them (``training.refit``), or features are
            missing.
    """
    config = run.config
    annotations, split, questions = questions_of(config, split)
    for each in (run, *ensemble):
        if split == "val" and split in each.config.training.splits:
            raise UserError(
                f"{each.path} learned from the validation split (training.refit): give --split test, or use vqa-rnn "
                "predict where its answers are withheld"
            )
        check_unchanged(each, annotations, split)
        check_questions(each.config, questions)
    device = device or choose_device(config.run.device)
    members, questions = open_members([run, *ensemble], questions, annotations, split, device)
    alone: list[dict[str, Prediction]] = []
    if ensemble:
        predictions, alone = answer_with_members(members, questions, device)
    else:
        predictions = answer_questions(members, questions, device)
    known = AnswerVocabulary(all_answers(members))
    measured = score(config, split, questions, predictions, known if len(known) else None, with_floors=with_floors)
    metrics = BENCHMARKS[measured.benchmark].metrics
    measured = dataclasses.replace(measured, members=[metrics(questions, each)[measured.headline] for each in alone])
    if not with_floors or not any(member.model.sees_image for member in members):
        return measured
    exchanged = [member.with_shuffled_images(SHUFFLE_SEED) for member in members]
    shuffled = answer_questions(exchanged, questions, device)
    floors = {**measured.floors, "images_shuffled": metrics(questions, shuffled)}
    corpus = BENCHMARKS[measured.benchmark].corpus
    if corpus is None:
        return dataclasses.replace(measured, floors=floors)
    return dataclasses.replace(
        measured, floors=floors, floor_corpus={**measured.floor_corpus, "images_shuffled": corpus(questions, shuffled)}
    )


def questions_of(config: Config, split: Split | None) -> tuple[Annotations, Split, tuple[Question, ...]]:
    """Read the questions to measure on.

    Args:
        config: The config with the data set.
        split: The split; by default ``test`` if it has answers, else ``val``.

    Returns:
        The annotations, the split, and its questions with known answers.

    Raises:
        UserError: There are no such questions.
    """
    annotations = read_annotations(config.dataset, [split] if split else ["val", "test"])
    if split is None:
        split = "test" if any(question.human_answers for question in annotations.split("test")) else "val"
    every, nouns = annotations.split(split), config.dataset.nouns()
    questions = tuple(question for question in every if question.human_answers)
    if 0 < len(questions) < len(every):
        log.warning(
            "%d of %s are left out: their %s are withheld",
            len(every) - len(questions),
            counted(len(every), nouns.records),
            nouns.answers,
        )
    if not questions:
        raise UserError(f"{config.dataset.name} has no {nouns.records} with {nouns.answers} in its {split} split")
    return annotations, split, questions


def score(
    config: Config,
    split: Split,
    questions: tuple[Question, ...],
    predictions: Mapping[str, Prediction],
    known: AnswerVocabulary | None = None,
    *,
    with_floors: bool = True,
) -> Measurement:
    """Score predictions of any model, and the floors that use text only.

    Args:
        config: The config with the data set.
        split: The split.
        questions: From ``questions_of``.
        predictions: The predictions by question id.
        known: The answers that the model can give, for its highest possible score; None if it can write any answer.
        with_floors: Also score the floors.

    Returns:
        The scores of each question.
    """
    benchmark = BENCHMARKS[config.dataset.name]
    metrics = benchmark.metrics(questions, predictions)
    floors: dict[str, Mapping[str, Scores]] = {}
    floor_corpus: dict[str, Corpus] = {}
    if with_floors:
        if any(chance(question) for question in questions):
            floors["chance"] = {next(iter(metrics)): np.array([chance(question) for question in questions])}
        train = read_annotations(config.dataset, config.training.splits).questions
        if not questions[0].choice_regions:  # each box occurs only once, so training answers say nothing about it
            for name, answers in benchmark.floors(train, questions, config.evaluation.prefix_words).items():
                floors[name] = benchmark.metrics(questions, answers)
                if benchmark.corpus is not None:
                    floor_corpus[name] = benchmark.corpus(questions, answers)
    return Measurement(
        benchmark=config.dataset.name,
        split=split,
        questions=questions,
        predictions=predictions,
        metrics=metrics,
        floors=floors,
        ceilings=ceilings(questions, known) if benchmark.by_answer else {},
        corpus=None if benchmark.corpus is None else benchmark.corpus(questions, predictions),
        floor_corpus=floor_corpus,
    )


def summarise(measured: Measurement, bootstrap_samples: int, blind: Scores | None = None) -> dict[str, Any]:
    """Summarise a measurement: means, 95% intervals over images, scores by type, and floors.

    Args:
        measured: From ``measure``.
        bootstrap_samples: Number of resamples of the images.
        blind: (N,) scores of a model without images on the same questions; adds ``image_gain``, with a paired interval and
            ``p``.

    Returns:
        ``benchmark``, ``split``, ``num_questions``, ``num_images``, ``metrics``, ``intervals``, ``per_type``, ``floors`` and
        ``ceilings``. Scores are fractions.
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
    if measured.corpus is not None:
        report["metrics"] |= measured.corpus.totals
        report["intervals"] |= corpus_intervals(*measured.corpus, image_ids, bootstrap_samples)
        for name, corpus in measured.floor_corpus.items():
            report["floors"][name] |= corpus.totals
    report["ceilings"] = {name: {headline: float(scores.mean())} for name, scores in measured.ceilings.items()}
    if blind is not None:
        gain = paired_difference(measured.scores, blind, image_ids)
        assert gain is not None, "the headline metric applies to some questions"
        report["image_gain"] = {headline: gain.mean, "interval": list(gain.interval), "p": gain.p}
    return report


def _means(metrics: Mapping[str, Scores]) -> dict[str, Any]:
    """Return the mean of each metric over the questions to which it applies."""
    return {name: float(np.nanmean(scores)) for name, scores in metrics.items() if not np.isnan(scores).all()}


def signature_of(config: Config, measured: Measurement, num_runs: int = 1, head: str | None = None) -> str:
    """Describe in one line what was measured and how. Scores can be compared if their signatures are equal.

    Args:
        config: The config with the data set.
        measured: The measurement.
        num_runs: Number of runs that answered together.
        head: How answers were given; defaults to the head in the config.

    Returns:
        The line.
    """
    dataset = config.dataset
    several_people = any(len(question.human_answers) > 1 for question in measured.questions)
    choices = {len(question.choices) or len(question.choice_regions) for question in measured.questions}
    num_judged = int((~np.isnan(measured.metrics["ndcg"])).sum()) if "ndcg" in measured.metrics else None
    return signature(
        dataset.name,
        **dataset.variant,
        metric=measured.headline,
        rule="2021" if several_people and BENCHMARKS[dataset.name].by_answer else None,
        choices="-".join(map(str, sorted({min(choices), max(choices)}))) if any(choices) else None,
        dense=num_judged,
        # all heads that choose among a question's choices have the same task
        head=None if any(choices) else head or config.model.head.name,
        ensemble=num_runs if num_runs > 1 else None,
        split=measured.split,
        fold=f"{dataset.fold}of{dataset.folds}" if dataset.folds else None,
        n=len(measured.questions),
    )


def questions_hash(questions: Sequence[Question]) -> str:
    """Hash questions, to tell apart sets of questions that use the same ids.

    Args:
        questions: The questions.

    Returns:
        SHA-256 of their ids, image ids, texts, human answers and choices.
    """
    digest = hashlib.sha256()
    for question in questions:
        content = (question.question_id, question.image_id, question.question, *question.human_answers, *question.choices)
        digest.update("\0".join(content).encode() + b"\n")
    return digest.hexdigest()
