"""What every reasoning network gives."""

from typing import NamedTuple

from torch import Tensor


class Reasoned(NamedTuple):
    """Joint vectors, and where they come from.

    Attributes:
        joint: (N, J) float.
        maps: (N, looks, K) float, how much each look saw of each region; None where none was weighed.
    """

    joint: Tensor
    maps: Tensor | None
