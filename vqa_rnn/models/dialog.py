"""The dialog encoders of Das et al. 2017 (https://arxiv.org/abs/1611.08669, section 4).

They compute a joint vector of question, history and image. Where the paper is less precise than its code
(github.com/batra-mlp-lab/visdial, ``encoders/*-ques-im-hist.lua``), they follow the code: questions and history are read by two
networks. The image vector is the mean of the regions; images in the paper have one region. Differs from the code: late fusion
reads the whole history, not only its last 60 words; dropout on words is ``question.dropout``, which the code has in the memory
network only.

Shape letters: N questions, B images, G dialogs, R facts of a dialog, L tokens of a dialog, D image size,
H question vector size.
"""

import torch
from torch import Tensor, nn

from vqa_rnn.batch import Batch, beside
from vqa_rnn.config import HierarchicalHistory, LateFusionHistory, MemoryHistory
from vqa_rnn.dropout import Dropout
from vqa_rnn.models.history import after_facts, dialog_tokens, read_facts, weigh
from vqa_rnn.models.text_encoder import TextEncoder
from vqa_rnn.rnn import RecurrentNetwork


class PublishedLateFusion(nn.Module):
    """``tanh(W drop[q; v; h] + b)``, where ``h`` is the last state of a network over the history, 0 without a history.

    The network is causal, so its state after the first n facts of a dialog does not depend on later facts.
    """

    def __init__(self, config: LateFusionHistory, image_size: int, facts: TextEncoder) -> None:
        super().__init__()
        self.facts = facts
        self.dropout = Dropout(config.dropout)
        self.output_size = facts.output_size
        self.join = nn.Linear(2 * self.output_size + image_size, self.output_size)

    def forward(self, questions: TextEncoder, images_BD: Tensor, batch: Batch) -> Tensor:
        """Compute the joint vectors.

        Args:
            questions: The question encoder.
            images_BD: (B, D) float, the image vectors.
            batch: Provides the texts, and the indices of the facts of each dialog.

        Returns:
            (N, H) float.
        """
        question_NH = questions.encode_texts(batch.question_tokens, batch.question_lengths)
        said_NH = self._read(batch) if len(batch.fact_tokens) else torch.zeros_like(question_NH)
        return self.join(self.dropout(torch.cat([question_NH, images_BD[batch.image_index], said_NH], dim=1))).tanh()

    def _read(self, batch: Batch) -> Tensor:
        tokens_GL, ends_GR = dialog_tokens(batch)
        return after_facts(self.facts.encode_words(tokens_GL, ends_GR[:, -1]).words, ends_GR, batch)


class PublishedHierarchical(nn.Module):
    """A recurrent network over ``[q_t; h_t]`` of each round so far, whose last state is the joint vector (HRE).

    ``q_t`` is the question, with the image ``W v + b`` concatenated to each word. ``h_t`` is the fact before it: in the first
    round the caption, or 0 without a caption. The questions of earlier rounds are read from the facts, so that a round can be
    asked without the others; a question that was cut to make room for its answer is read as cut.
    """

    def __init__(self, config: HierarchicalHistory, image_size: int, facts: TextEncoder) -> None:
        super().__init__()
        self.facts = facts
        self.embed_image = nn.Linear(image_size, config.image_embedding_size)
        self.output_size = facts.output_size
        self.network = RecurrentNetwork(facts.cell, 2 * self.output_size, self.output_size, **facts.start)
        self.dropout = Dropout(config.dropout)

    def forward(self, questions: TextEncoder, images_BD: Tensor, batch: Batch) -> Tensor:
        """Compute the joint vectors.

        Args:
            questions: The question encoder, made with ``beside_size=config.image_embedding_size``.
            images_BD: (B, D) float, the image vectors.
            batch: Provides the texts, and the indices of the facts of each dialog.

        Returns:
            (N, H) float.
        """
        images_BE = self.embed_image(images_BD)
        question_NH = questions.encode_texts(batch.question_tokens, batch.question_lengths, images_BE[batch.image_index])
        if not len(batch.fact_tokens):
            rounds_N1H = torch.cat([question_NH, torch.zeros_like(question_NH)], dim=1).unsqueeze(1)
            return self.dropout(self.network(rounds_N1H)[0].squeeze(1))
        facts_GRH = read_facts(self.facts, batch)
        before_GRH = torch.cat([torch.zeros_like(facts_GRH[:, :1]), facts_GRH], dim=1)  # the fact before fact r is at r
        rounds_GRH = torch.cat([self._earlier_questions(questions, images_BE, batch), before_GRH[:, :-1]], dim=2)
        came_N = batch.history_lengths
        last_N1H = torch.cat([question_NH, before_GRH[batch.dialog_index, came_N]], dim=1).unsqueeze(1)
        rounds_NRH = torch.cat([rounds_GRH[batch.dialog_index], torch.zeros_like(last_N1H)], dim=1)
        rounds_NRH = rounds_NRH.scatter(1, came_N[:, None, None].expand_as(last_N1H), last_N1H)
        is_caption_G = (batch.fact_questions[batch.history_index[:, 0].clamp(min=0)] == 0) & (batch.history_index[:, 0] >= 0)
        caption_N = beside(is_caption_G.long(), came_N)[batch.dialog_index]  # a caption is no round: rounds begin after it
        place_NR = torch.arange(rounds_NRH.shape[1], device=came_N.device) + caption_N[:, None]
        place_NR1 = place_NR.clamp(max=rounds_NRH.shape[1] - 1).unsqueeze(2)
        states_NRH, _ = self.network(rounds_NRH.gather(1, place_NR1.expand_as(rounds_NRH)))
        return self.dropout(states_NRH[torch.arange(len(came_N), device=came_N.device), came_N - caption_N])

    def _earlier_questions(self, questions: TextEncoder, images_BE: Tensor, batch: Batch) -> Tensor:
        """Return (G, R, H), the question of each fact about its dialog's image; any value for captions and missing facts."""
        num_dialogs, num_facts = batch.history_index.shape
        facts_GR = batch.history_index.clamp(min=0).flatten()
        image_G = batch.image_index.new_zeros(num_dialogs).scatter(0, batch.dialog_index, batch.image_index)
        encoded = questions.encode_texts(
            batch.fact_tokens[beside(facts_GR, batch.fact_tokens)],
            batch.fact_questions[facts_GR],
            images_BE[image_G].repeat_interleave(num_facts, dim=0),
        )
        return encoded.unflatten(0, (num_dialogs, num_facts))


class PublishedMemory(nn.Module):
    """Attention over the facts, from question and image (MN).

    ``e = tanh(W_1 [q; v])``, ``c = Σ_r softmax_r(e · h_r) h_r``, and the joint vector is ``tanh(W_3 (e + tanh(W_2 drop(c))))``;
    every layer has a bias.
    """

    def __init__(self, config: MemoryHistory, image_size: int, facts: TextEncoder) -> None:
        super().__init__()
        size = facts.output_size
        self.facts = facts
        self.query = nn.Linear(size + image_size, size)
        self.project_context = nn.Linear(size, size)
        self.join = nn.Linear(size, size)
        self.dropout = Dropout(config.dropout)
        self.output_size = size

    def forward(self, questions: TextEncoder, images_BD: Tensor, batch: Batch) -> Tensor:
        """Compute the joint vectors.

        Args:
            questions: The question encoder.
            images_BD: (B, D) float, the image vectors.
            batch: Provides the texts, and the indices of the facts of each dialog.

        Returns:
            (N, H) float.
        """
        question_NH = questions.encode_texts(batch.question_tokens, batch.question_lengths)
        query_NH = self.query(torch.cat([question_NH, images_BD[batch.image_index]], dim=1)).tanh()
        context_NH = torch.zeros_like(query_NH)
        if len(batch.fact_tokens):
            facts_NRH = read_facts(self.facts, batch)[batch.dialog_index]
            context_NH = weigh((facts_NRH @ query_NH.unsqueeze(2)).squeeze(2), facts_NRH, batch)
        return self.join(query_NH + self.project_context(self.dropout(context_NH)).tanh()).tanh()


PUBLISHED: dict[str, type[PublishedLateFusion] | type[PublishedHierarchical] | type[PublishedMemory]] = {
    "late_fusion": PublishedLateFusion,
    "hierarchical": PublishedHierarchical,
    "memory": PublishedMemory,
}
