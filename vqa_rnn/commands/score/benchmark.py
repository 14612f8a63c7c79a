"""``vqa-rnn score`` of a benchmark that has no official script: the metrics of its row over files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vqa_rnn.benchmarks import BENCHMARKS, read_annotations
from vqa_rnn.benchmarks.submissions import read_submission
from vqa_rnn.commands.score.results import check_ids
from vqa_rnn.config.files import change_config, validate_config
from vqa_rnn.errors import UserError
from vqa_rnn.metrics.accuracy import by_type
from vqa_rnn.metrics.intervals import FEWEST_IMAGES, bootstrap_interval
from vqa_rnn.metrics.signature import signature
from vqa_rnn.records import Prediction, Question, Split


def score_benchmark(
    name: str, results: Path, overrides: Sequence[str] = (), *, split: Split = "test", allow_missing: bool = False
) -> dict[str, Any]:
    """Score a submission, as ``vqa-rnn predict`` writes it.

    Args:
        name: The benchmark.
        results: A JSON list of objects with the benchmark's key and ``answer``.
        overrides: ``dataset.key=value`` each: where the data set lies.
        split: Which questions are scored.
        allow_missing: Count questions without an answer as wrong.

    Returns:
        The benchmark's metrics with their 95% intervals by image, ``per_answer_type`` and the like for the first of them, as
        fractions; how many questions there are, and a signature. With few images an interval is None.

    Raises:
        UserError: A file is missing or wrong, the split is empty or its answers are withheld, or the results are not of these
            questions.
    """
    benchmark = BENCHMARKS[name]
    for override in overrides:
        if not override.startswith("dataset.") or override.startswith("dataset.name="):
            raise UserError(f"vqa-rnn score {name} takes options of the data set, such as dataset.root=…, not '{override}'")
    config = validate_config({"dataset": {"name": name}}, "command line")
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
    metrics = benchmark.metrics(questions, {q.question_id: answered.get(q.question_id, _nothing(q)) for q in questions})
    shown = {metric: scores for metric, scores in metrics.items() if not np.isnan(scores).all()}
    image_ids = [question.image_id for question in questions]
    few = len(set(image_ids)) < FEWEST_IMAGES
    headline = next(iter(metrics))
    return {
        "benchmark": name,
        "split": split,
        "num_questions": len(questions),
        **({"num_answered": num_answered} if allow_missing else {}),
        **{metric: float(np.nanmean(scores)) for metric, scores in shown.items()},
        "intervals": {metric: None if few else list(bootstrap_interval(shown[metric], image_ids)) for metric in shown},
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
    """What stands in for an answer that is missing: it is wrong."""
    return Prediction(question_id=question.question_id, answer="", probability=0.0, choice=-1 if question.choices else None)
