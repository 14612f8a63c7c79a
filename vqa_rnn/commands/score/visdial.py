"""``vqa-rnn score visdial``: the official metrics of a submission, a list of ``{"image_id", "round_id", "ranks"}``."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.annotations.json_files import read_official
from vqa_rnn.annotations.visdial import (
    WHAT,
    Dense,
    DialogFile,
    check_dense,
    checked_dialogs,
    count_options,
    read_dense,
    read_ranks,
)
from vqa_rnn.commands.score.results import check_ids
from vqa_rnn.errors import UserError
from vqa_rnn.metrics.intervals import bootstrap_interval
from vqa_rnn.metrics.signature import signature
from vqa_rnn.metrics.visdial import ndcg, rank_metrics

log = logging.getLogger("vqa_rnn")
Key = tuple[int, int]
"""The id of an image and the 1-based number of a round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The true answers that a submission is compared with.

    Attributes:
        split: The split as named in the file.
        keys: The n rounds to answer.
        num_options: Number of options in each round.
        correct: (n,) 0-based index of the true option.
        dense: Graded relevance by image and 0-based round, or None.
    """

    split: str
    keys: list[Key]
    num_options: int
    correct: NDArray[np.int64]
    dense: Dense | None = field(default=None, repr=False)


def score_visdial(dialogs: Path, results: Path, *, dense: Path | None = None, allow_missing: bool = False) -> dict[str, Any]:
    """Score a submission.

    Args:
        dialogs: The official dialogs with the true answers.
        results: The submission: ``ranks`` are a permutation of 1 to the number of options, in the order of the options.
        dense: The official graded relevance; adds NDCG.
        allow_missing: Rank the true option last and count an NDCG of 0 in rounds without ranks, which are otherwise an error.

    Returns:
        ``r@1``, ``r@5``, ``r@10``, ``mean_rank``, ``mrr`` and ``ndcg`` (None without ``dense``), ``intervals`` over images,
        counts and a ``signature``. All metrics but ``mean_rank`` are fractions.

    Raises:
        UserError: A file is missing or invalid, true answers are withheld, or the submission does not fit the dialogs.
    """
    truth = read_truth(dialogs, dense)
    keys, ranks = read_ranks(results)
    return score_ranks(truth, keys, ranks, results, allow_missing=allow_missing)


def read_truth(dialogs: Path, dense: Path | None = None) -> Truth:
    """Read the true answers that a submission is compared with.

    Args:
        dialogs: The official dialogs.
        dense: The official graded relevance.

    Returns:
        The true answers.

    Raises:
        UserError: A file is missing or invalid, or true answers are withheld.
    """
    file = read_official(dialogs, DialogFile, WHAT)
    keys: list[Key] = []
    num_options: dict[int, Sequence[int]] = {}
    correct: list[int] = []
    for number, dialog in enumerate(checked_dialogs(file, dialogs, withheld=True)):
        num_options[dialog.image_id] = count_options(dialog)
        for i, turn in enumerate(dialog.dialog):
            if turn.answer_options is None:
                continue
            if turn.gt_index is None:
                raise UserError(
                    f"{dialogs}: the true answers are withheld (data.dialogs[{number}].dialog[{i}] has no gt_index): "
                    "give dialogs with answers, such as visdial_1.0_val.json"
                )
            keys.append((dialog.image_id, i + 1))
            correct.append(turn.gt_index)
    relevance = None
    if dense is not None:
        relevance = read_dense(dense)
        check_dense(relevance, num_options, dense)
    return Truth(
        split=file.split,
        keys=keys,
        num_options=max(num_options[keys[0][0]]),
        correct=np.array(correct, dtype=np.int64),
        dense=relevance,
    )


def score_ranks(
    truth: Truth, keys: Sequence[Key], ranks: Sequence[Sequence[int]], path: Path, *, allow_missing: bool = False
) -> dict[str, Any]:
    """Score ranks.

    Args:
        truth: The true answers.
        keys: The round of each row of ranks.
        ranks: For each row, the rank of each option.
        path: The submission, for the error message.
        allow_missing: As in ``score_visdial``.

    Returns:
        As in ``score_visdial``.

    Raises:
        UserError: Rounds are missing, unknown or repeated, or ranks are not a permutation.
    """
    num_answered = check_ids(keys, truth.keys, path, "round", allow_missing=allow_missing)
    matrix = _rank_matrix(truth, keys, ranks, path)
    # in a round without ranks, the true option is ranked last
    rank_of_truth = np.minimum(matrix[np.arange(len(matrix)), truth.correct], truth.num_options)
    image_ids = [str(image_id) for image_id, _ in truth.keys]
    scores = rank_metrics(rank_of_truth)
    report: dict[str, Any] = {
        "benchmark": "visdial",
        "num_rounds": len(truth.keys),
        "num_dialogs": len(set(image_ids)),
        **({"num_answered": num_answered} if allow_missing else {}),
        **{name: float(each.mean()) for name, each in scores.items()},
        "ndcg": None,
    }
    intervals: dict[str, list[float] | None] = {
        name: list(bootstrap_interval(each, image_ids)) for name, each in scores.items()
    }
    intervals["ndcg"] = None
    if truth.dense is not None:
        judged, gains = _gains(truth, matrix)
        report["num_judged"] = len(judged)
        if len(judged):
            report["ndcg"] = float(gains.mean())
            intervals["ndcg"] = list(bootstrap_interval(gains, [image_ids[row] for row in judged]))
    parts = {"dense": report.get("num_judged"), "answered": num_answered if allow_missing else None}
    report["intervals"] = intervals
    report["signature"] = signature("visdial", split=truth.split or None, n=len(truth.keys), **parts)
    return report


def _rank_matrix(truth: Truth, keys: Sequence[Key], ranks: Sequence[Sequence[int]], path: Path) -> NDArray[np.int64]:
    """Return the ranks in the order of the true rounds. In rounds without ranks, each rank is 1 above the number of options."""
    width = truth.num_options
    for record, row in enumerate(ranks):
        if len(row) != width:
            raise UserError(f"{path}: [{record}].ranks: {len(row)} ranks for the {width} options of {_name(keys[record])}")
    given = np.fromiter(chain.from_iterable(ranks), dtype=np.int64, count=len(ranks) * width).reshape(-1, width)
    for record in np.flatnonzero((np.sort(given, axis=1) != np.arange(1, width + 1)).any(axis=1))[:1]:
        wanted = f"each rank from 1 to {width} is needed once"
        raise UserError(f"{path}: [{record}].ranks: {_why(ranks[record])} ({_name(keys[record])}); {wanted}")
    place = {key: row for row, key in enumerate(truth.keys)}
    matrix = np.full((len(truth.keys), width), width + 1, dtype=np.int64)
    matrix[np.array([place[key] for key in keys], dtype=np.int64)] = given
    return matrix


def _why(ranks: Sequence[int]) -> str:
    outside = [rank for rank in ranks if not 1 <= rank <= len(ranks)]
    return f"{outside[0]} is no rank" if outside else f"{next(rank for rank in ranks if ranks.count(rank) > 1)} comes twice"


def _name(key: Key) -> str:
    return f"round {key[1]} of image {key[0]}"


def _gains(truth: Truth, matrix: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the rounds that have an NDCG, and their NDCG."""
    assert truth.dense is not None
    place = {key: row for row, key in enumerate(truth.keys)}
    rows = np.array([place[image_id, round_index + 1] for image_id, round_index in truth.dense], dtype=np.int64)
    gains = ndcg(matrix[rows], np.array(list(truth.dense.values())))
    judged = ~np.isnan(gains)
    if not judged.all():
        log.warning("%d of %d rounds have no relevant option: NDCG leaves them out", (~judged).sum(), len(gains))
    return rows[judged], gains[judged]
