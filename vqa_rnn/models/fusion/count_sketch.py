"""Compact bilinear pooling.

Shape letters: N questions, M image vectors, H question vector size, D image vector size, J joint size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vqa_rnn.dropout import Dropout
from vqa_rnn.models.layers import at_least_float32, pick, signed_sqrt


class CompactFusion(nn.Module):
    """MCB (Fukui et al. 2016, https://arxiv.org/abs/1606.01847, section 3.1 and algorithm 1).

    The count sketch of the outer product of two vectors is the circular convolution of their sketches (Pham and Pagh 2013),
    computed by the fast Fourier transform in float32 at least. Power and L2 normalisation follow. The places and signs of the
    sketches are drawn once from the global random number generator and kept as buffers.
    """

    def __init__(self, question_size: int, image_size: int, *, hidden_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        for name, size in (("question", question_size), ("image", image_size)):
            self.register_buffer(f"{name}_place", torch.randint(hidden_size, (size,)))
            self.register_buffer(f"{name}_sign", torch.randint(2, (size,)).float() * 2 - 1)
        self.dropout = Dropout(dropout)
        self.output_size = hidden_size

    question_place: Tensor
    question_sign: Tensor
    image_place: Tensor
    image_sign: Tensor

    def forward(self, question_NH: Tensor, image_MD: Tensor, image_index_N: Tensor | None = None) -> Tensor:
        question = self._spectrum(question_NH, self.question_place, self.question_sign)
        image = self._spectrum(image_MD, self.image_place, self.image_sign)
        image = torch.view_as_complex(pick(torch.view_as_real(image), image_index_N))  # ONNX cannot index complex tensors
        joint_NJ = torch.fft.irfft(question * image, n=self.output_size, dim=1).to(question_NH.dtype)
        return self.dropout(functional.normalize(signed_sqrt(joint_NJ), dim=1))

    def _spectrum(self, vectors: Tensor, place: Tensor, sign: Tensor) -> Tensor:
        vectors = at_least_float32(vectors)
        sketch = vectors.new_zeros(vectors.shape[0], self.output_size)
        return torch.fft.rfft(sketch.index_add(1, place, vectors * sign.to(vectors.dtype)), dim=1)
