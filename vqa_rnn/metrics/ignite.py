"""The metric for Ignite engines, exact across processes."""

from collections.abc import Callable
from typing import Any

import torch
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce
from torch import Tensor


class QuestionScores(Metric):
    """The mean of a score over the questions of a split, for any per-question score such as accuracy, reciprocal rank or NDCG.

    - ``update`` must receive output of the form ``(question_index, scores)``: int64 and float tensors of shape (N,).

    Scores are stored per question, in float64. The mean is therefore bit-identical for any number of processes and any order of
    the questions, and a question that is scored twice or never is detected. A NaN score does not apply to its question and is
    left out of the mean. For three questions, ``([2, 0], [1, 0])`` and then ``([1], [1])`` give 2/3.
    """

    _state_dict_all_req_keys = ("_scores", "_times")

    def __init__(self, num_questions: int, output_transform: Callable[[Any], tuple[Tensor, Tensor]] = lambda x: x) -> None:
        """Initialise the metric.

        Args:
            num_questions: Number of questions of the whole split, over all processes.
            output_transform: Function from the engine's output to ``(question_index, scores)``.
        """
        self._num_questions = num_questions
        super().__init__(output_transform=output_transform, device="cpu")

    @reinit__is_reduced
    def reset(self) -> None:
        """Reset all scores."""
        self._scores = torch.zeros(self._num_questions, dtype=torch.float64)
        self._times = torch.zeros(self._num_questions, dtype=torch.int64)

    @reinit__is_reduced
    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """Add the scores of a batch.

        Args:
            output: (N,) positions of the questions in the split, and (N,) their scores.
        """
        index, scores = output[0].to("cpu"), output[1].detach().to("cpu", torch.float64)
        self._scores.index_add_(0, index, scores)
        self._times.index_add_(0, index, torch.ones_like(index))

    @sync_all_reduce("_scores", "_times")
    def compute(self) -> float:
        """Compute the mean over the questions of all processes that the score applies to.

        Returns:
            The mean score.

        Raises:
            NotComputableError: The score applies to no question.
            RuntimeError: A question was scored more than once, or never.
        """
        if self._num_questions and (self._times != 1).any():
            wrong = int((self._times != 1).nonzero()[0])
            raise RuntimeError(f"question {wrong} of {self._num_questions} was scored {int(self._times[wrong])} times")
        applies = self._scores[~self._scores.isnan()]
        if applies.numel() == 0:
            raise NotComputableError("QuestionScores needs at least one question that has a score")
        return float(applies.mean())
