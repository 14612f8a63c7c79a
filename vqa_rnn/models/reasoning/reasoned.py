"""What every reasoning network gives."""

from typing import NamedTuple

from torch import Tensor


class Reasoned(NamedTuple):
    """Joint vectors, and where they come from.

    Attributes:
        joint: (N, J) float.
        maps: (N, looks, K) float, how much each look saw of each region; None where none was weighed.
        word_maps: (N, looks, T) float, how much each look read of each word; None where words were not weighed.
    """

    joint: Tensor
    maps: Tensor | None
    word_maps: Tensor | None = None
