"""``vqa-rnn score visual7w``: the official accuracy of Visual7W result files."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vqa_rnn.annotations.json_files import read_official
from vqa_rnn.annotations.visual7w import Visual7wFile, Visual7wPair, Visual7wResult, read_visual7w_file
from vqa_rnn.commands.score.results import check_ids
from vqa_rnn.errors import UserError
from vqa_rnn.metrics.intervals import bootstrap_interval
from vqa_rnn.metrics.signature import signature
from vqa_rnn.metrics.visual7w import is_correct
from vqa_rnn.metrics.vqa import mean_by_type
from vqa_rnn.records import Split

log = logging.getLogger("vqa_rnn")


def score_visual7w(dataset: Path, results: Path, *, split: Split = "test", allow_missing: bool = False) -> dict[str, Any]:
    """Score a submission for telling or pointing.

    Args:
        dataset: The official file.
        results: A list of ``{"qa_id", "candidates": [{"answer"}]}``; an answer is a text or the id of a box.
        split: The split to score.
        allow_missing: Count questions without an answer as wrong.

    Returns:
        ``accuracy`` with its 95% interval over images and ``per_type``, as fractions; the number of questions; and a signature.

    Raises:
        UserError: A file is missing or invalid, the split is empty or its answers are withheld, or the results do not belong to
            these questions.
    """
    pairs, truths = _asked(dataset, split)
    submitted = read_official(results, list[Visual7wResult], "Visual7W result file")
    num_answered = check_ids(
        [result.qa_id for result in submitted],
        [pair.qa_id for pair in pairs],
        results,
        "question",
        allow_missing=allow_missing,
    )
    for number, result in enumerate(submitted):
        if not result.candidates:
            raise UserError(f"Visual7W result file {results}: [{number}].candidates: the list is empty; one answer is needed")
    first = {result.qa_id: result.candidates[0].answer for result in submitted}
    _check_choices(pairs, first, results)
    right = [pair.qa_id in first and is_correct(first[pair.qa_id], truth) for pair, truth in zip(pairs, truths, strict=True)]
    scores = np.array(right, dtype=np.float64)
    answered = num_answered if allow_missing else None
    task = "pointing" if all(isinstance(truth, int) for truth in truths) else "telling"
    return {
        "benchmark": "visual7w",
        "split": split,
        "num_questions": len(pairs),
        **({"num_answered": num_answered} if allow_missing else {}),
        "accuracy": float(scores.mean()),
        "intervals": {"accuracy": list(bootstrap_interval(scores, [str(pair.image_id) for pair in pairs]))},
        "per_type": mean_by_type(scores, [pair.type for pair in pairs]),
        "signature": signature("visual7w", task=task, split=split, answered=answered, n=len(pairs)),
    }


def _choices(pair: Visual7wPair[str | int]) -> list[str | int]:
    return [choice for choice in (pair.answer, *pair.multiple_choices) if choice is not None]


def _check_choices(pairs: Sequence[Visual7wPair[str | int]], answers: Mapping[int, str | int], path: Path) -> None:
    """Refuse a submission in which no answer is a choice of its question, which is probably of another task.

    If only some answers are not among the choices, log a warning. The official toolkit scores any text.
    """
    outside = [
        pair.qa_id
        for pair in pairs
        if pair.qa_id in answers and not any(is_correct(answers[pair.qa_id], choice) for choice in _choices(pair))
    ]
    if outside and len(outside) == len(answers):
        raise UserError(
            f"{path}: none of the {len(outside):,} answers is a choice of its question (question {outside[0]}: "
            f"'{answers[outside[0]]}'): are they of another task?"
        )
    if outside:
        log.warning(
            "%s: %d of %d answers are not among the choices of their question: counted as wrong",
            path,
            len(outside),
            len(answers),
        )


def _asked(path: Path, split: Split) -> tuple[list[Visual7wPair[str | int]], list[str | int]]:
    """Return the questions of a split, and their true answers."""
    content = read_visual7w_file(path, Visual7wFile[str | int])
    pairs = [pair for image in content.images if image.split == split for pair in image.qa_pairs]
    truths = [pair.answer for pair in pairs if pair.answer is not None]
    if not pairs:
        raise UserError(f"{path}: no questions in the split '{split}'")
    if len(truths) < len(pairs):
        raise UserError(f"{path}: {len(pairs) - len(truths):,} of {len(pairs):,} answers are withheld in the split '{split}'")
    return pairs, truths
