"""The metrics of Visual Dialog (Das et al. 2017, https://arxiv.org/abs/1611.08669; NDCG: https://visualdialog.org/challenge/2018).

Each function returns one number per question; means and intervals are computed elsewhere. The challenge's script computes in
float32, and the results agree with it to 2e-6. It ranks tied scores in no fixed order and gives NaN rank 1. Here, tied scores
rank in the order of the choices, and NaN is an error.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ranks = NDArray[np.int64]


def rank_choices(scores: ArrayLike) -> Ranks:
    """Rank the choices of each question.

    Args:
        scores: (n, C) scores, higher is better; -inf where a question has no such choice.

    Returns:
        (n, C) the rank of each choice, 1 is best. Equal scores rank in the order of the choices, absent choices last.

    Raises:
        ValueError: A score is NaN or +inf.
    """
    given = np.asarray(scores, dtype=np.float64)
    wrong = np.isnan(given) | (given == np.inf)
    if wrong.any():
        question, choice = np.argwhere(wrong)[0]
        raise ValueError(f"the score of choice {choice} of question {question} is {given[question, choice]}: not finite")
    order = np.argsort(-given, axis=1, kind="stable")
    ranks = np.empty(given.shape, dtype=np.int64)
    np.put_along_axis(ranks, order, np.arange(1, given.shape[1] + 1)[None], axis=1)
    return ranks


def rank_metrics(ranks_of_truth: ArrayLike) -> dict[str, Floats]:
    """Compute the retrieval metrics. For example, ranks 1, 2 and 10 have an MRR of (1 + 1/2 + 1/10) / 3.

    Args:
        ranks_of_truth: (n,) the rank of each question's correct choice, 1 is best.

    Returns:
        ``r@1``, ``r@5``, ``r@10``, ``mean_rank`` and ``mrr``, each (n,); the metrics are the means over questions.
    """
    rank = np.asarray(ranks_of_truth, dtype=np.float64)
    recalls = {f"r@{k}": (rank <= k).astype(np.float64) for k in (1, 5, 10)}
    return {**recalls, "mean_rank": rank, "mrr": 1 / rank}


def ndcg(ranks: ArrayLike, relevance: ArrayLike) -> Floats:
    """Compute the normalised discounted cumulative gain of the first k ranks, where k is the number of relevant choices.

    The gain is linear: ``relevance / log2(rank + 1)``. Relevance 0.5, 0, 1 ranked 1, 2, 3 has k = 2 and scores
    0.5 / (1 + 0.5 / log2(3)) = 0.3801.

    Args:
        ranks: (n, C) the rank of each choice, 1 is best.
        relevance: (n, C) graded relevance of each choice, at least 0; 0 where a question has no such choice.

    Returns:
        (n,) fractions; NaN where no choice is relevant.
    """
    rank, gain = np.asarray(ranks, dtype=np.float64), np.asarray(relevance, dtype=np.float64)
    num_relevant = np.count_nonzero(gain, axis=1)
    counted = rank <= num_relevant[:, None]
    reached = np.where(counted, gain / np.log2(rank + 1), 0).sum(axis=1)
    # no cut at k is needed: the best order has the k relevant choices first
    best = (-np.sort(-gain, axis=1) / np.log2(np.arange(gain.shape[1]) + 2)).sum(axis=1)
    return np.divide(reached, best, out=np.full(len(gain), np.nan), where=num_relevant > 0)
