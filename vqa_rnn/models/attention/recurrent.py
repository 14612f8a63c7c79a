"""Recurrent attention: a recurrent network that looks at the regions several times.

Shape letters: B images, N questions, K regions, D region size, H question vector size, A size of the state and the attention.
"""

import torch
from torch import Tensor, nn

from vqa_rnn.dropout import Dropout
from vqa_rnn.models.attention.attended import Attended, Policy
from vqa_rnn.models.layers import masked_softmax
from vqa_rnn.models.text_encoder import EncodedTexts
from vqa_rnn.rnn import CELLS

TINY = 1e-12


class RecurrentAttention(nn.Module):
    """Sequential processing of an image: the state of a recurrent cell decides where to look, and the cell reads what it sees.

    The state starts as ``tanh(W q + b)``. At each look ``p = softmax(w · tanh(W_v v_k + W_h h))``, the glimpse is
    ``Σ p_k v_k``, and the cell reads it. The last state is the image vector. This is the soft form of the lecture's recurrent
    attention (Ba et al. 2015, https://arxiv.org/abs/1412.7755), with the question as its context.

    With ``hard``, as in the paper, the glimpse is one region: in training it is sampled from p, otherwise it is the most
    probable one. p is learned by REINFORCE (section 3 of the paper): ``VqaModel.losses`` adds the gradient of
    ``-(R - b) log p``, where R is the score of the answer and b a baseline from a linear layer. Differs from the paper: one
    sample per question; regions, not coordinates; a baseline that depends on the question only.
    """

    reads_words = False

    def __init__(
        self,
        region_size: int,
        question_size: int,
        *,
        cell: str,
        hidden_size: int,
        num_looks: int,
        hard: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.cell = CELLS[cell](region_size, hidden_size)
        self.num_looks = num_looks
        self.begin = nn.Linear(question_size, hidden_size)
        self.key = nn.Linear(region_size, hidden_size)
        self.query = nn.Linear(hidden_size, hidden_size, bias=False)
        self.score = nn.Linear(hidden_size, 1, bias=False)
        self.baseline = nn.Linear(hidden_size, 1) if hard else None
        self.dropout = Dropout(dropout)
        self.output_size, self.question_size = hidden_size, question_size

    def forward(self, regions_BKD: Tensor, region_mask_BK: Tensor, questions: EncodedTexts, image_index_N: Tensor) -> Attended:
        """Look at the regions of each question's image.

        Args:
            regions_BKD: (B, K, D) float.
            region_mask_BK: (B, K) bool.
            questions: N of them.
            image_index_N: (N,) int64.

        Returns:
            (N, A) image vectors, one map per look, and with ``hard`` in training the sampled regions.
        """
        key_NKA = self.key(regions_BKD).index_select(0, image_index_N)
        regions_NKD, mask_NK = regions_BKD.index_select(0, image_index_N), region_mask_BK[image_index_N]
        first_NA = self.begin(questions.vectors).tanh()
        state = (first_NA, *(torch.zeros_like(first_NA) for _ in range(self.cell.num_states - 1)))
        maps, chosen_log_p = [], first_NA.new_zeros(first_NA.shape[0])
        for _ in range(self.num_looks):
            logits_NK = self.score(self.dropout((key_NKA + self.query(state[0]).unsqueeze(1)).tanh())).squeeze(2)
            weights_NK = masked_softmax(logits_NK, mask_NK).to(regions_NKD.dtype)
            if self.baseline is not None:
                place_N1 = self._choose(weights_NK)
                chosen_log_p = chosen_log_p + weights_NK.gather(1, place_N1).clamp(min=TINY).log().squeeze(1)
                exists_N1 = mask_NK.gather(1, place_N1).to(weights_NK.dtype)  # 0 for an image without regions
                weights_NK = torch.zeros_like(weights_NK).scatter(1, place_N1, exists_N1)
            glimpse_ND = (weights_NK.unsqueeze(1) @ regions_NKD).squeeze(1)
            state = self.cell.step(self.cell.project(glimpse_ND), state)
            maps.append(weights_NK)
        policy = None
        if self.baseline is not None and self.training:
            policy = Policy(chosen_log_p, self.baseline(first_NA.detach()).squeeze(1))
        return Attended(questions.vectors, state[0], None, torch.stack(maps, dim=1), policy)

    def _choose(self, weights_NK: Tensor) -> Tensor:
        """Return (N, 1) int64, one region per question."""
        if not self.training:
            return weights_NK.argmax(dim=1, keepdim=True)
        return torch.multinomial(weights_NK.detach().float().clamp(min=TINY), 1)
