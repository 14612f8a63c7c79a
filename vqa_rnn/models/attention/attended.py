"""What every attention gives."""

from typing import NamedTuple

from torch import Tensor


class Policy(NamedTuple):
    """Where an attention that looks at single regions chose to look, in training.

    Attributes:
        log_p: (N,) float, the log-probability of what was chosen, over all looks.
        baseline: (N,) float, the score that was expected before the answer.
    """

    log_p: Tensor
    baseline: Tensor


class Attended(NamedTuple):
    """Image vectors, and where they come from.

    Attributes:
        question: (N, H) float, the questions; an attention that reads words may have changed them.
        image: (M, D) float: one a question, or one an image where the question was not looked at.
        image_index: (N,) int64, each question's row of ``image``; None where they go one to one.
        maps: (N, looks, K) float, how much each look saw of each region; None where none was weighed.
        policy: The choices of regions that no gradient goes through; None where there are none.
        word_maps: (N, looks, T) float, how much each look read of each word; None where words were not weighed.
    """

    question: Tensor
    image: Tensor
    image_index: Tensor | None
    maps: Tensor | None
    policy: Policy | None = None
    word_maps: Tensor | None = None
