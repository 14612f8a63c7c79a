"""Memory, attention and composition (MAC): a recurrent reasoning cell.

Shape letters: B images, N questions, K regions, T words, D region size, H question vector size, S word state size, A cell size.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from vqa_rnn.dropout import Dropout
from vqa_rnn.models.layers import Elu, masked_softmax
from vqa_rnn.models.reasoning.reasoned import Reasoned
from vqa_rnn.models.reasoning.stem import Stem
from vqa_rnn.models.text_encoder import EncodedTexts


class Mac(nn.Module):
    """MAC (Hudson and Manning 2018, https://arxiv.org/abs/1803.03067, equations c1 to c2.3, r1 to r3.3 and w1 to w2.2).

    At each step the control unit attends to words, the read unit attends to regions, and the write unit combines what was read
    with the memory. Optionally the memory also attends to earlier memories (``self_attention``) and can stay unchanged
    (``gate``). The joint vector concatenates the last memory and the question. As in the authors' code there is an ELU in the
    read unit after the control, memory and control start as learned vectors, and dropout is applied to the memory and to what
    is read. Differs from that code: a new dropout mask at each step.
    """

    reads_words = True

    def __init__(
        self,
        region_size: int,
        question_size: int,
        *,
        word_size: int,
        hidden_size: int,
        num_steps: int,
        kernel_size: int,
        self_attention: bool,
        gate: bool,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        size = hidden_size
        self.stem = Stem(region_size, size, num_layers=2, kernel_size=kernel_size, activation=Elu)
        self.project_words = nn.Linear(word_size, size)
        self.position = nn.ModuleList(nn.Linear(question_size, size) for _ in range(num_steps))
        self.first_control = nn.Parameter(torch.randn(size) * size**-0.5)
        self.first_memory = nn.Parameter(torch.randn(size) * size**-0.5)
        self.control = nn.Linear(2 * size, size)
        self.attend_words = nn.Linear(size, 1)
        self.read_memory = nn.Linear(size, size)
        self.read_regions = nn.Linear(size, size)
        self.read_both = nn.Linear(2 * size, size)
        self.attend_regions = nn.Linear(size, 1)
        self.write = nn.Linear(2 * size, size)
        self.attend_steps = nn.Linear(size, 1) if self_attention else None
        self.write_before = nn.Linear(size, size, bias=False) if self_attention else None
        self.gate = nn.Linear(size, 1) if gate else None
        if self.gate is not None:
            nn.init.ones_(self.gate.bias)  # at first the memory mostly stays unchanged
        self.elu, self.dropout = Elu(), Dropout(dropout)
        self.output_size = size + question_size

    def forward(self, regions_BKD: Tensor, region_mask_BK: Tensor, questions: EncodedTexts, image_index_N: Tensor) -> Reasoned:
        """Reason about each question's image.

        Args:
            regions_BKD: (B, K, D) float.
            region_mask_BK: (B, K) bool; with a kernel larger than 1 all regions must exist.
            questions: N of them, with the states of their words.
            image_index_N: (N,) int64.

        Returns:
            (N, A + H) joint vectors, and one map and one word map per step.
        """
        knowledge_BKA = self.stem(regions_BKD).flatten(2).transpose(1, 2)
        knowledge_NKA = knowledge_BKA.index_select(0, image_index_N)
        read_NKA = self.read_regions(knowledge_BKA).index_select(0, image_index_N)
        # the part of r2 with the knowledge is the same at every step and for every question about an image
        read_direct, read_known = self.read_both.weight.chunk(2, dim=1)
        known_NKA = linear(knowledge_BKA, read_known, self.read_both.bias).index_select(0, image_index_N)
        words_NTA, mask_NK = self.project_words(questions.words), region_mask_BK[image_index_N]
        control, memory = (first.expand(image_index_N.shape[0], -1) for first in (self.first_control, self.first_memory))
        controls, memories, maps, word_maps = [control], [memory], [], []
        for position in self.position:
            control, weights_NT = self._attend_words(control, position(questions.vectors), words_NTA, questions.mask)
            direct_NKA = self.read_memory(self.dropout(memory)).unsqueeze(1) * read_NKA  # r1
            both_NKA = linear(direct_NKA, read_direct) + known_NKA  # r2
            weights_NK = self._attend_regions(control, both_NKA, mask_NK)
            read = (weights_NK.unsqueeze(1) @ knowledge_NKA).squeeze(1)  # r3.3
            memory = self._write(control, memory, read, controls, memories)
            controls.append(control)
            memories.append(memory)
            maps.append(weights_NK)
            word_maps.append(weights_NT)
        joint_NJ = torch.cat([memory, questions.vectors], dim=1)
        return Reasoned(joint_NJ, torch.stack(maps, dim=1), torch.stack(word_maps, dim=1))

    def _attend_words(self, control: Tensor, question: Tensor, words_NTA: Tensor, mask_NT: Tensor) -> tuple[Tensor, Tensor]:
        query_NA = self.control(torch.cat([control, question], dim=1))  # c1
        weights_NT = masked_softmax(self.attend_words(query_NA.unsqueeze(1) * words_NTA).squeeze(2), mask_NT)  # c2.1, c2.2
        return (weights_NT.to(words_NTA.dtype).unsqueeze(1) @ words_NTA).squeeze(1), weights_NT  # c2.3

    def _attend_regions(self, control: Tensor, both_NKA: Tensor, mask_NK: Tensor) -> Tensor:
        relevant_NKA = self.dropout(self.elu(control.unsqueeze(1) * both_NKA))
        return masked_softmax(self.attend_regions(relevant_NKA).squeeze(2), mask_NK).to(both_NKA.dtype)  # r3.1, r3.2

    def _write(self, control: Tensor, memory: Tensor, read: Tensor, controls: list[Tensor], memories: list[Tensor]) -> Tensor:
        written = self.write(torch.cat([read, memory], dim=1))  # w1
        if self.attend_steps is not None and self.write_before is not None:
            earlier = torch.stack(controls, dim=1)
            weights = self.attend_steps(control.unsqueeze(1) * earlier).softmax(dim=1)  # w2.1
            before = (weights * torch.stack(memories, dim=1)).sum(dim=1)
            written = written + self.write_before(before)  # w2.2
        if self.gate is not None:
            stays = self.gate(control).sigmoid()
            written = stays * memory + (1 - stays) * written  # w3
        return written
