"""Co-attention: attention over both regions and words.

Shape letters: B images, N questions, K regions, T words, D region size, S word state size, A attention size.
"""

from torch import Tensor, nn

from vqa_rnn.dropout import Dropout
from vqa_rnn.models.attention.attended import Attended
from vqa_rnn.models.layers import masked_softmax
from vqa_rnn.models.text_encoder import EncodedTexts


class CoAttention(nn.Module):
    """Parallel co-attention (Lu et al. 2016, https://arxiv.org/abs/1606.00061, equations 3 to 5).

    With the affinity of words and regions ``C = tanh(Qᵀ W_b V)``: ``H^v = tanh(W_v V + (W_q Q) C)`` and
    ``H^q = tanh(W_q Q + (W_v V) Cᵀ)``. Regions are weighed by ``softmax(w_hv · H^v)``, words by ``softmax(w_hq · H^q)``, and
    the weighted sums are the image and question vectors. Differs from the paper: it uses word states only, not phrases and the
    whole question as well; ``W_v`` and ``W_q`` have biases; dropout is optional.
    """

    reads_words = True

    def __init__(self, region_size: int, question_size: int, *, word_size: int, hidden_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.affinity = nn.Linear(region_size, word_size, bias=False)
        self.project_image = nn.Linear(region_size, hidden_size)
        self.project_words = nn.Linear(word_size, hidden_size)
        self.score_regions = nn.Linear(hidden_size, 1, bias=False)
        self.score_words = nn.Linear(hidden_size, 1, bias=False)
        self.dropout = Dropout(dropout)
        self.output_size, self.question_size = region_size, word_size

    def forward(self, regions_BKD: Tensor, region_mask_BK: Tensor, questions: EncodedTexts, image_index_N: Tensor) -> Attended:
        """Weigh the words of each question and the regions of its image.

        Args:
            regions_BKD: (B, K, D) float.
            region_mask_BK: (B, K) bool.
            questions: N of them, with the states of their words.
            image_index_N: (N,) int64.

        Returns:
            (N, D) image vectors, (N, S) question vectors, one map and one word map.
        """
        words_NTS, word_mask_NT = questions.words, questions.mask
        region_mask_NK = region_mask_BK[image_index_N]
        exist_NTK = word_mask_NT.unsqueeze(2) & region_mask_NK.unsqueeze(1)
        affinity_NTK = (words_NTS @ self.affinity(regions_BKD).index_select(0, image_index_N).transpose(1, 2)).tanh()
        affinity_NTK = affinity_NTK * exist_NTK
        image_NKA = self.project_image(regions_BKD).index_select(0, image_index_N)
        words_NTA = self.project_words(words_NTS)
        seen_NKA = self.dropout((image_NKA + affinity_NTK.transpose(1, 2) @ words_NTA).tanh())
        read_NTA = self.dropout((words_NTA + affinity_NTK @ image_NKA).tanh())
        maps_NK = masked_softmax(self.score_regions(seen_NKA).squeeze(2), region_mask_NK).to(regions_BKD.dtype)
        weights_NT = masked_softmax(self.score_words(read_NTA).squeeze(2), word_mask_NT).to(words_NTS.dtype)
        image_ND = (maps_NK.unsqueeze(1) @ regions_BKD.index_select(0, image_index_N)).squeeze(1)
        question_NS = (weights_NT.unsqueeze(1) @ words_NTS).squeeze(1)
        return Attended(question_NS, image_ND, None, maps_NK.unsqueeze(1), word_maps=weights_NT.unsqueeze(1))
