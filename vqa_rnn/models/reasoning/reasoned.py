"""Output of the reasoning networks."""

from typing import NamedTuple

from torch import Tensor


class Reasoned(NamedTuple):
    """Joint vectors and attention maps.

    Attributes:
        joint: (N, J) float.
        maps: (N, looks, K) float, the weight of each region in each look; None if regions are not weighed.
        word_maps: (N, looks, T) float, the weight of each word in each look; None if words are not weighed.
    """

    joint: Tensor
    maps: Tensor | None
    word_maps: Tensor | None = None
