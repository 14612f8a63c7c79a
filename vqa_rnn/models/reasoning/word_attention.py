"""A recurrent network that attends to the image at every word.

Shape letters: B images, N questions, T words, K regions, D region size, S word size, H size of the state.
"""

import torch
from torch import Tensor, nn

from vqa_rnn.dropout import Dropout
from vqa_rnn.models.attention.mean import mean_of_regions
from vqa_rnn.models.layers import masked_softmax
from vqa_rnn.models.reasoning.reasoned import Reasoned
from vqa_rnn.models.text_encoder import EncodedTexts
from vqa_rnn.rnn import CELLS, State
from vqa_rnn.rnn.padded import keep_ended, scan_steps


class WordAttention(nn.Module):
    """The LSTM of Visual7W (Zhu et al. 2016, https://arxiv.org/abs/1511.03416, section 4, equations 1 to 9).

    The first input is the image ``W_0 v + b_0``, then the words ``x_t`` follow. Before each input the state determines the
    attention: ``p = softmax(w · tanh(W_h h_{t-1} + W_v v_k))``, ``r_t = Σ p_k v_k``, and the cell reads ``[x_t; r_t]``. The
    last state is the joint vector. With ``question.alone=true`` the words are word vectors, as in the paper, otherwise the
    states of the question's network. Differs from the paper: any cell; the first input is the mean of the regions, not the
    output of another layer; the choices are read by an answer head, not by the same network.
    """

    reads_words = True

    def __init__(
        self, region_size: int, question_size: int, *, word_size: int, cell: str, hidden_size: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.cell = CELLS[cell](word_size + region_size, hidden_size)
        self.first_word = nn.Linear(region_size, word_size)
        self.key = nn.Linear(region_size, hidden_size)
        self.query = nn.Linear(hidden_size, hidden_size, bias=False)
        self.score = nn.Linear(hidden_size, 1, bias=False)
        self.dropout = Dropout(dropout)
        self.output_size = hidden_size

    def forward(self, regions_BKD: Tensor, region_mask_BK: Tensor, questions: EncodedTexts, image_index_N: Tensor) -> Reasoned:
        """Read each question and look at its image.

        Args:
            regions_BKD: (B, K, D) float.
            region_mask_BK: (B, K) bool.
            questions: N of them, with the states of their words.
            image_index_N: (N,) int64.

        Returns:
            (N, H) joint vectors, and one map per question: the mean over its steps.
        """
        first_BS = self.first_word(mean_of_regions(regions_BKD, region_mask_BK))
        key_NKH = self.key(regions_BKD).index_select(0, image_index_N)
        regions_NKD, mask_NK = regions_BKD.index_select(0, image_index_N), region_mask_BK[image_index_N]
        words_NTS = torch.cat([first_BS.index_select(0, image_index_N).unsqueeze(1), questions.words], dim=1)
        exists_NT = torch.cat([torch.ones_like(questions.mask[:, :1]), questions.mask], dim=1)
        state = tuple(key_NKH.new_zeros(key_NKH.shape[0], self.output_size) for _ in range(self.cell.num_states))

        def look(before: State, element: tuple[Tensor, ...]) -> tuple[State, Tensor]:
            word_NS, exists_N1 = element
            logits_NK = self.score((key_NKH + self.query(before[0]).unsqueeze(1)).tanh()).squeeze(2)
            weights_NK = masked_softmax(logits_NK, mask_NK).to(regions_NKD.dtype)
            glimpse_ND = (weights_NK.unsqueeze(1) @ regions_NKD).squeeze(1)
            after = self.cell.step(self.cell.project(torch.cat([word_NS, glimpse_ND], dim=1)), before)
            return keep_ended(after, before, exists_N1), weights_NK * exists_N1

        if torch.compiler.is_exporting():
            state, maps_TNK = scan_steps(look, state, (words_NTS.transpose(0, 1), exists_NT.t().unsqueeze(2)))
            maps_NK = maps_TNK.sum(dim=0)
        else:
            maps_NK = torch.zeros_like(mask_NK, dtype=key_NKH.dtype)
            for word_NS, exists_N in zip(words_NTS.unbind(1), exists_NT.unbind(1), strict=True):
                state, map_NK = look(state, (word_NS, exists_N[:, None]))
                maps_NK = maps_NK + map_NK
        maps_NK = maps_NK / exists_NT.sum(dim=1, keepdim=True)
        return Reasoned(self.dropout(state[0]), maps_NK.unsqueeze(1))
