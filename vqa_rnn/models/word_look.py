"""Attention over the regions of the image at each generated word.

Shape letters: B images, M texts in progress, K regions, D region size, H state size, A attention size.
"""

from typing import NamedTuple

from torch import Tensor, nn

from vqa_rnn.models.layers import masked_softmax


class Memory(NamedTuple):
    """The images that a decoder looks at.

    Attributes:
        regions: (B, K, D) float.
        mask: (B, K) bool, True where a region exists.
        keys: (B, K, A) float, what the regions are compared by.
    """

    regions: Tensor
    mask: Tensor
    keys: Tensor


class WordLook(nn.Module):
    """Soft attention (Xu et al. 2015, https://arxiv.org/abs/1502.03044, sections 3.1.2 and 4.2).

    The weight of a region is ``softmax_k(w · tanh(W v_k + U h))`` with a state h of the decoder. The context ``z``, the
    weighted mean of the regions, is scaled by the gate ``sigmoid(w' · h + b)`` (section 4.2.1).
    """

    def __init__(self, region_size: int, state_size: int, hidden_size: int) -> None:
        super().__init__()
        self.project_region = nn.Linear(region_size, hidden_size)
        self.project_state = nn.Linear(state_size, hidden_size, bias=False)
        self.score = nn.Linear(hidden_size, 1, bias=False)
        self.gate = nn.Linear(state_size, 1)

    def remember(self, regions_BKD: Tensor, mask_BK: Tensor) -> Memory:
        """Compute what depends on the images alone, once for all words.

        Args:
            regions_BKD: (B, K, D) float.
            mask_BK: (B, K) bool.

        Returns:
            The images to look at.
        """
        return Memory(regions_BKD, mask_BK, self.project_region(regions_BKD))

    def forward(self, states_MH: Tensor, memory: Memory, rows_M: Tensor) -> tuple[Tensor, Tensor]:
        """Look at the images before the next word.

        Args:
            states_MH: (M, H) float, the state of each text.
            memory: The images.
            rows_M: (M,) int64, the image of each text.

        Returns:
            (M, D) float contexts; (M, K) float weights, which sum to 1, or are 0 for an image without regions.
        """
        keys_MKA = memory.keys.index_select(0, rows_M)
        logits_MK = self.score((keys_MKA + self.project_state(states_MH).unsqueeze(1)).tanh()).squeeze(2)
        weights_MK = masked_softmax(logits_MK, memory.mask.index_select(0, rows_M)).to(memory.regions.dtype)
        context_MD = (weights_MK.unsqueeze(1) @ memory.regions.index_select(0, rows_M)).squeeze(1)
        return context_MD * self.gate(states_MH).sigmoid(), weights_MK
