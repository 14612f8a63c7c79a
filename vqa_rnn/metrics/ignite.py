"""The metrics as Ignite metrics, exact across processes."""

from collections.abc import Callable
from typing import Any

import torch
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce
from torch import Tensor


class MeanScore(Metric):
    """The mean of per-question scores.

    - ``update`` must receive the scores of a batch, a float tensor of shape (N,).

    Sums are float64, so that the order of batches moves nothing that is printed. Scores ``[1, 0]`` and then ``[1]`` give
    2/3.
    """

    _state_dict_all_req_keys = ("_sum", "_count")

    def __init__(self, output_transform: Callable[[Any], Tensor] = lambda x: x) -> None:
        super().__init__(output_transform=output_transform, device="cpu")

    @reinit__is_reduced
    def reset(self) -> None:
        """Forget all scores."""
        self._sum = torch.zeros((), dtype=torch.float64)
        self._count = torch.zeros((), dtype=torch.int64)

    @reinit__is_reduced
    def update(self, output: Tensor) -> None:
        """Take in a batch.

        Args:
            output: (N,) scores.
        """
        scores = output.detach().to("cpu", torch.float64)
        self._sum += scores.sum()
        self._count += scores.numel()

    @sync_all_reduce("_sum", "_count")
    def compute(self) -> float:
        """The mean over all questions of all processes.

        Returns:
            A fraction.

        Raises:
            NotComputableError: No question was scored.
        """
        if self._count == 0:
            raise NotComputableError("MeanScore needs at least one question")
        return float(self._sum / self._count)
