"""Output of the attentions."""

from typing import NamedTuple

from torch import Tensor


class Policy(NamedTuple):
    """Regions that a hard attention sampled in training, for REINFORCE.

    Attributes:
        log_p: (N,) float, log-probability of the sampled regions, summed over all looks.
        baseline: (N,) float, the predicted score of the answer.
    """

    log_p: Tensor
    baseline: Tensor


class Attended(NamedTuple):
    """Image vectors and attention maps.

    Attributes:
        question: (N, H) float, the questions; an attention that reads words may change them.
        image: (M, D) float, one per question, or one per image if they do not depend on the question.
        image_index: (N,) int64, each question's row of ``image``; None if there is one row per question.
        maps: (N, looks, K) float, the weight of each region in each look; None if regions are not weighed.
        policy: The regions that a hard attention sampled in training; None otherwise.
        word_maps: (N, looks, T) float, the weight of each word in each look; None if words are not weighed.
    """

    question: Tensor
    image: Tensor
    image_index: Tensor | None
    maps: Tensor | None
    policy: Policy | None = None
    word_maps: Tensor | None = None
