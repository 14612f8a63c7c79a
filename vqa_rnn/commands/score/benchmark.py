"""``vqa-rnn score`` for benchmarks without an official script: the metrics of their row in ``BENCHMARKS``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vqa_rnn.benchmarks import BENCHMARKS, read_annotations
from vqa_rnn.benchmarks.submissions import read_submission
from vqa_rnn.commands.score.results import check_ids
from vqa_rnn.config import Config
from vqa_rnn.config.files import change_config, validate_config
from vqa_rnn.errors import UserError
from vqa_rnn.metrics.accuracy import by_type
from vqa_rnn.metrics.intervals import FEWEST_IMAGES, bootstrap_interval, corpus_intervals
from vqa_rnn.metrics.signature import signature
from vqa_rnn.records import Prediction, Question, Split


def score_benchmark(
    name: str, results: Path, overrides: Sequence[str] = (), *, split: Split = "test", allow_missing: bool = False
) -> dict[str, Any]:
    """Score a submission of ``vqa-rnn predict``.

    Args:
        name: The benchmark.
        results: A JSON list of objects with the benchmark's key and ``answer`` (or ``caption``).
        overrides: ``dataset.key=value`` each, such as the location of the data set.
        split: The split to score.
        allow_missing: Count questions without an answer as wrong.

    Returns:
        The benchmark's metrics with their 95% intervals over images, and breakdowns of the first metric such as
        ``per_answer_type``, as fractions; the number of questions; and a signature. With few images an interval is None.

    Raises:
        UserError: A file is missing or invalid, an override is not an option of the data set, the split is empty or its answers
            are withheld, or the results do not belong to these questions.
    """
    benchmark = BENCHMARKS[name]
    for override in overrides:
        if not override.startswith("dataset.") or override.startswith("dataset.name="):
            raise UserError(f"vqa-rnn score {name} takes options of the data set, such as dataset.root=…, not '{override}'")
    config = validate_config({"dataset": {"name": name}}, "command line", Config)
    dataset = change_config(config, overrides, ("dataset.",), name).dataset
    questions = read_annotations(dataset, [split]).split(split)
    if not questions:
        raise UserError(f"{name} has no questions in its {split} split")
    num_withheld = sum(not question.human_answers for question in questions)
    if num_withheld:
        raise UserError(f"{name}: {num_withheld:,} of {len(questions):,} answers are withheld in the {split} split")
    submitted = read_submission(results, benchmark.submission, questions)
    num_answered = check_ids(
        [prediction.question_id for prediction in submitted],
        [question.question_id for question in questions],
        results,
        "question",
        allow_missing=allow_missing,
    )
    answered = {prediction.question_id: prediction for prediction in submitted}
    predictions = {q.question_id: answered.get(q.question_id, _nothing(q)) for q in questions}
    metrics = benchmark.metrics(questions, predictions)
    shown = {metric: scores for metric, scores in metrics.items() if not np.isnan(scores).all()}
    image_ids = [question.image_id for question in questions]
    few = len(set(image_ids)) < FEWEST_IMAGES
    headline = next(iter(metrics))
    totals: dict[str, float] = {}
    intervals: dict[str, Any] = {name: None if few else list(bootstrap_interval(shown[name], image_ids)) for name in shown}
    if benchmark.corpus is not None:
        corpus = benchmark.corpus(questions, predictions)
        totals = corpus.totals
        intervals |= dict.fromkeys(totals) if few else corpus_intervals(*corpus, image_ids)
    return {
        "benchmark": name,
        "split": split,
        "num_questions": len(questions),
        **({"num_answered": num_answered} if allow_missing else {}),
        **{metric: float(np.nanmean(scores)) for metric, scores in shown.items()},
        **totals,
        "intervals": intervals,
        **{
            f"per_{field}": {kind: row[headline] for kind, row in kinds.items()}
            for field, kinds in by_type(questions, {headline: metrics[headline]}).items()
        },
        "signature": signature(
            name,
            **dataset.variant,
            split=split,
            fold=f"{dataset.fold}of{dataset.folds}" if dataset.folds else None,
            answered=num_answered if allow_missing else None,
            n=len(questions),
        ),
    }


def _nothing(question: Question) -> Prediction:
    """Return a prediction for a missing answer, which counts as wrong."""
    return Prediction(question_id=question.question_id, answer="", probability=0.0, choice=-1 if question.choices else None)
