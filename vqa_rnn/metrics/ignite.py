"""The metrics as Ignite metrics, exact across processes."""

from collections.abc import Callable
from typing import Any

import torch
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce
from torch import Tensor


class QuestionScores(Metric):
    """The mean over a split's questions of any score that a question has by itself: accuracy, reciprocal rank, NDCG, ….

    - ``update`` must receive output of the form ``(question_index, scores)``: int64 and float tensors of shape (N,).

    Scores are kept by question, in float64, so that the mean is the same to the last bit however many processes share the
    questions and in whatever order they come, and a question that was scored twice or not at all is found out. A score that is
    NaN does not apply to its question and is left out. For three questions, ``([2, 0], [1, 0])`` and then ``([1], [1])`` give
    2/3.
    """

    _state_dict_all_req_keys = ("_scores", "_times")

    def __init__(self, num_questions: int, output_transform: Callable[[Any], tuple[Tensor, Tensor]] = lambda x: x) -> None:
        """Make room.

        Args:
            num_questions: Of the whole split, over all processes.
            output_transform: From the engine's output to ``(question_index, scores)``.
        """
        self._num_questions = num_questions
        super().__init__(output_transform=output_transform, device="cpu")

    @reinit__is_reduced
    def reset(self) -> None:
        """Forget all scores."""
        self._scores = torch.zeros(self._num_questions, dtype=torch.float64)
        self._times = torch.zeros(self._num_questions, dtype=torch.int64)

    @reinit__is_reduced
    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """Take in a batch.

        Args:
            output: (N,) places of the questions among those of the split, and (N,) their scores.
        """
        index, scores = output[0].to("cpu"), output[1].detach().to("cpu", torch.float64)
        self._scores.index_add_(0, index, scores)
        self._times.index_add_(0, index, torch.ones_like(index))

    @sync_all_reduce("_scores", "_times")
    def compute(self) -> float:
        """The mean over all questions of all processes to which the score applies.

        Returns:
            A fraction, or whatever the scores are.

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
