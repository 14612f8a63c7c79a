"""How a state of the decoder is compared with the outputs of the encoder.

Shape letters: N pairs, S steps of the sources, T steps of the targets, H size of the decoder's state.
"""

from collections.abc import Callable

from torch import Tensor, nn


class AdditiveScore(nn.Module):
    """``v · tanh(W s + U h)`` (Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473, appendix A.1.2)."""

    def __init__(self, encoder_size: int, decoder_size: int) -> None:
        super().__init__()
        self.keys = nn.Linear(encoder_size, decoder_size)
        self.query = nn.Linear(decoder_size, decoder_size, bias=False)
        self.score = nn.Linear(decoder_size, 1, bias=False)

    def forward(self, states_NTH: Tensor, keys_NSH: Tensor) -> Tensor:
        """Compare states of the decoder with the keys of the sources.

        Args:
            states_NTH: (N, T, H) float.
            keys_NSH: (N, S, H) float.

        Returns:
            (N, T, S) float logits.
        """
        return self.score((self.query(states_NTH).unsqueeze(2) + keys_NSH.unsqueeze(1)).tanh()).squeeze(3)


class ProductScore(nn.Module):
    """``s · W h``, or ``s · h`` without a matrix (Luong et al. 2015, https://arxiv.org/abs/1508.04025, equation 8)."""

    def __init__(self, encoder_size: int, decoder_size: int, *, matrix: bool) -> None:
        super().__init__()
        if not matrix and encoder_size != decoder_size:
            raise ValueError(f"a dot product needs states of the same size, got {encoder_size} and {decoder_size}")
        self.keys = nn.Linear(encoder_size, decoder_size, bias=False) if matrix else nn.Identity()

    def forward(self, states_NTH: Tensor, keys_NSH: Tensor) -> Tensor:
        """Compare states of the decoder with the keys of the sources.

        Args:
            states_NTH: (N, T, H) float.
            keys_NSH: (N, S, H) float.

        Returns:
            (N, T, S) float logits.
        """
        return states_NTH @ keys_NSH.transpose(1, 2)


ATTENTIONS: dict[str, Callable[[int, int], AdditiveScore | ProductScore]] = {
    "bahdanau": AdditiveScore,
    "luong_dot": lambda encoder, decoder: ProductScore(encoder, decoder, matrix=False),
    "luong_general": lambda encoder, decoder: ProductScore(encoder, decoder, matrix=True),
}
