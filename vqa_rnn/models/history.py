"""History encoders, which add the dialog history to the question vector: "it" refers to something that was said before.

Facts are the caption and each earlier question with its answer. A question that comes after n facts depends on the first n
facts of its dialog only. Each distinct fact of a batch is encoded once, and one causal pass over a dialog serves all rounds.

Every encoder returns question vectors of the same size, so that attention, fusion and head work the same with and without a
history. All differ in three ways from Das et al. 2017 (https://arxiv.org/abs/1611.08669, section 4), whose encoders are in
``dialog.py``:

- In the paper one layer joins question, history and image. Here the history can also guide the attention to the image.
- By default facts are encoded by the question encoder, not by a separate network: most facts are earlier questions, and what
  was learned about "the red star" in questions also helps to read a caption with these words. Late fusion always has its own
  network, with one layer, for its one long text.
- The history is added to the question through a gate (``_Join``), not joined by a layer over both. The gate can close for a
  question that does not need the history, and ``W`` starts as the identity, so that what "it" refers to is added to "it".

Shape letters: N questions, G dialogs, F distinct facts, R facts of a dialog, T tokens, L tokens of a dialog, H vector size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vqa_rnn.batch import Batch, beside
from vqa_rnn.config import HierarchicalAttentionHistory as HierarchicalAttentionConfig
from vqa_rnn.config import HierarchicalHistory as HierarchicalConfig
from vqa_rnn.config import LateFusionHistory as LateFusionConfig
from vqa_rnn.config import MemoryHistory as MemoryConfig
from vqa_rnn.config import NoHistory as NoHistoryConfig
from vqa_rnn.dropout import Dropout
from vqa_rnn.models.layers import masked_softmax
from vqa_rnn.models.text_encoder import TextEncoder
from vqa_rnn.rnn import RecurrentNetwork

MOST_DISTANT = 32
SHARPNESS = 6  # scale of the cosine in a memory read: weights differ by a factor of e^12 at most


class NoHistory(nn.Module):
    """No history: the question is not changed."""

    def __init__(self, config: NoHistoryConfig, text_encoder: TextEncoder) -> None:
        super().__init__()

    def forward(self, question_NH: Tensor, batch: Batch) -> Tensor:
        """Return the questions unchanged.

        Args:
            question_NH: (N, H) float.
            batch: Unused.

        Returns:
            ``question_NH``.
        """
        return question_NH


class LateFusion(nn.Module):
    """All facts as one long text, read by a recurrent network (Das et al. 2017, "late fusion").

    The network is causal, so its state after the first n facts of a dialog does not depend on later facts.
    """

    def __init__(self, config: LateFusionConfig, text_encoder: TextEncoder) -> None:
        super().__init__()
        self.embedding = text_encoder.word_vectors
        self.network = RecurrentNetwork(
            text_encoder.cell, self.embedding.embedding_dim, text_encoder.output_size, **text_encoder.start
        )
        self.join = _Join(text_encoder.output_size, config.dropout)

    def forward(self, question_NH: Tensor, batch: Batch) -> Tensor:
        """Add the history to the questions.

        Args:
            question_NH: (N, H) float.
            batch: Provides at least one fact, and the indices of the facts of each dialog.

        Returns:
            (N, H) float.
        """
        tokens_GL, ends_GR = dialog_tokens(batch)
        states_GLH, _ = self.network(self.embedding(tokens_GL), ends_GR[:, -1])
        return self.join(question_NH, after_facts(states_GLH, ends_GR, batch))


class Hierarchical(nn.Module):
    """One recurrent network for each fact, another for the sequence of facts (Das et al. 2017, HRE).

    Differs from the paper: the upper network reads only facts; question and image are joined to its last state afterwards, so
    that any selection of rounds can be asked.
    """

    def __init__(self, config: HierarchicalConfig, text_encoder: TextEncoder) -> None:
        super().__init__()
        size = text_encoder.output_size
        self.text_encoder = text_encoder
        self.network = RecurrentNetwork(text_encoder.cell, size, size, **text_encoder.start)
        self.join = _Join(size, config.dropout)

    def forward(self, question_NH: Tensor, batch: Batch) -> Tensor:
        """Add the history to the questions.

        Args:
            question_NH: (N, H) float.
            batch: Provides at least one fact, and the indices of the facts of each dialog.

        Returns:
            (N, H) float.
        """
        states_GRH = _run_over_facts(self.network, read_facts(self.text_encoder, batch), batch)
        context_NH = states_GRH[batch.dialog_index, (batch.history_lengths - 1).clamp(min=0)]
        return self.join(question_NH, where_any(context_NH, batch))


class HierarchicalAttention(nn.Module):
    """``Hierarchical`` with attention of the question to the states of all facts so far (Das et al. 2017, HREA).

    The weights are the softmax of ``w · tanh(W_s s_r + W_q q)``. Differs from the paper, where they weigh the facts before the
    upper network reads them. Here they weigh its states, so that one pass serves all rounds.
    """

    def __init__(self, config: HierarchicalAttentionConfig, text_encoder: TextEncoder) -> None:
        super().__init__()
        size = text_encoder.output_size
        self.text_encoder = text_encoder
        self.network = RecurrentNetwork(text_encoder.cell, size, size, **text_encoder.start)
        self.project_state = nn.Linear(size, size)
        self.project_question = nn.Linear(size, size, bias=False)
        self.score = nn.Linear(size, 1, bias=False)
        self.join = _Join(size, config.dropout)

    def forward(self, question_NH: Tensor, batch: Batch) -> Tensor:
        """Add the history to the questions.

        Args:
            question_NH: (N, H) float.
            batch: Provides at least one fact, and the indices of the facts of each dialog.

        Returns:
            (N, H) float.
        """
        states_GRH = _run_over_facts(self.network, read_facts(self.text_encoder, batch), batch)
        keys_NRH = self.project_state(states_GRH)[batch.dialog_index]
        scores_NR = self.score((keys_NRH + self.project_question(question_NH).unsqueeze(1)).tanh()).squeeze(2)
        return self.join(question_NH, weigh(scores_NR, states_GRH[batch.dialog_index], batch))


class Memory(nn.Module):
    """The facts as a memory that the question reads, once or several times (Das et al. 2017, MN).

    A read weighs the facts by ``softmax(SHARPNESS cos(W_q q, W_m m_r + d_r))``, with layer-normalised q and m, and adds their
    mean to the question. ``d_r`` is a learned vector for how many facts ago the fact was said, the temporal encoding of
    Sukhbaatar et al. 2015 (https://arxiv.org/abs/1503.08895, section 4.1): without it a memory cannot tell which fact came
    last. Differs from Das et al., who have no ``d_r``, read once, and use the softmax of dot products. These start out nearly
    uniform, so that nothing is learned from them, or grow until one fact has all the weight and the others are never tried; a
    cosine avoids both.
    """

    def __init__(self, config: MemoryConfig, text_encoder: TextEncoder) -> None:
        super().__init__()
        size = text_encoder.output_size
        self.text_encoder = text_encoder
        hops = range(config.num_hops)
        self.norm = nn.LayerNorm(size)
        self.norm_question = nn.ModuleList(nn.LayerNorm(size) for _ in hops)
        self.key = nn.ModuleList(nn.Linear(size, size) for _ in hops)
        self.query = nn.ModuleList(nn.Linear(size, size) for _ in hops)
        self.distance = nn.ModuleList(nn.Embedding(MOST_DISTANT, size) for _ in hops)
        self.join = nn.ModuleList(_Join(size, config.dropout) for _ in hops)

    def forward(self, question_NH: Tensor, batch: Batch) -> Tensor:
        """Add the history to the questions.

        Args:
            question_NH: (N, H) float.
            batch: Provides at least one fact, and the indices of the facts of each dialog.

        Returns:
            (N, H) float.
        """
        facts_GRH = read_facts(self.text_encoder, batch)
        normed_GRH, facts_NRH = self.norm(facts_GRH), facts_GRH[batch.dialog_index]
        place_R = torch.arange(facts_GRH.shape[1], device=facts_GRH.device)
        ago_NR = (batch.history_lengths[:, None] - 1 - place_R).clamp(min=0, max=MOST_DISTANT - 1)
        for norm, key, query, distance, join in zip(
            self.norm_question, self.key, self.query, self.distance, self.join, strict=True
        ):
            keys_NRH = key(normed_GRH)[batch.dialog_index] + distance(ago_NR)
            scores_NR = SHARPNESS * functional.cosine_similarity(keys_NRH, query(norm(question_NH)).unsqueeze(1), dim=2)
            question_NH = join(question_NH, weigh(scores_NR, facts_NRH, batch))
        return question_NH


class _Join(nn.Module):
    """``q + sigmoid(G q + b) ∘ W h``; ``W`` starts as the identity."""

    def __init__(self, size: int, dropout: float) -> None:
        super().__init__()
        self.gate = nn.Linear(size, size)
        self.project = nn.Linear(size, size, bias=False)
        nn.init.eye_(self.project.weight)
        self.dropout = Dropout(dropout)

    def forward(self, question_NH: Tensor, context_NH: Tensor) -> Tensor:
        return self.dropout(question_NH + self.gate(question_NH).sigmoid() * self.project(context_NH))


def dialog_tokens(batch: Batch) -> tuple[Tensor, Tensor]:
    """Concatenate the facts of each dialog.

    Args:
        batch: A batch with at least one fact.

    Returns:
        (G, L) int64 tokens, padded on the right with 0; and (G, R) int64 on the CPU, the number of tokens up to the end of each
        fact, where missing facts have no tokens.
    """
    lengths_GR = batch.fact_lengths[batch.history_index.clamp(min=0)] * (batch.history_index >= 0)
    ends_GR = lengths_GR.cumsum(dim=1)
    longest = max(int(ends_GR[:, -1].max()), 1)
    num_columns = batch.fact_tokens.shape[1]
    dialog, fact, column = (torch.arange(num_columns) < lengths_GR[:, :, None]).nonzero(as_tuple=True)
    # the index of each token among the tokens of all facts, which are followed by one padding token
    source_GL = torch.full((len(ends_GR), longest), batch.fact_tokens.numel())
    place = (ends_GR - lengths_GR)[dialog, fact] + column
    source_GL[dialog, place] = batch.history_index[dialog, fact] * num_columns + column
    tokens = functional.pad(batch.fact_tokens.flatten(), (0, 1))
    return tokens[beside(source_GL, tokens)], ends_GR


def after_facts(states_GLH: Tensor, ends_GR: Tensor, batch: Batch) -> Tensor:
    """Select the state of a causal network after the facts before each question.

    Args:
        states_GLH: (G, L, H) float, its states over the concatenated facts.
        ends_GR: (G, R) int64 on the CPU, from ``dialog_tokens``.
        batch: Provides ``dialog_index`` and ``history_lengths``.

    Returns:
        (N, H) float, 0 for questions without a history.
    """
    last_N = beside(ends_GR, states_GLH)[batch.dialog_index, (batch.history_lengths - 1).clamp(min=0)] - 1
    return where_any(states_GLH[batch.dialog_index, last_N.clamp(min=0)], batch)


def read_facts(text_encoder: TextEncoder, batch: Batch) -> Tensor:
    """Encode the facts of each dialog; each distinct fact is encoded once.

    Args:
        text_encoder: The encoder.
        batch: A batch with at least one fact.

    Returns:
        (G, R, H) float, any value where there is no fact.
    """
    facts_FH = text_encoder.encode_texts(batch.fact_tokens, batch.fact_lengths)
    return facts_FH[beside(batch.history_index.clamp(min=0), facts_FH)]


def _run_over_facts(network: RecurrentNetwork, facts_GRH: Tensor, batch: Batch) -> Tensor:
    """Return (G, R, H) states after each fact, 0 where there is no fact."""
    return network(facts_GRH, (batch.history_index >= 0).sum(dim=1))[0]


def weigh(scores_NR: Tensor, values_NRH: Tensor, batch: Batch) -> Tensor:
    """Compute the weighted mean of the facts before each question.

    Args:
        scores_NR: (N, R) float; the weights are their softmax over the facts before the question.
        values_NRH: (N, R, H) float, the facts or the states after them.
        batch: Provides ``history_lengths``.

    Returns:
        (N, H) float, 0 for questions without a history.
    """
    place_R = torch.arange(scores_NR.shape[1], device=scores_NR.device)
    said_NR = place_R < batch.history_lengths[:, None]
    weights_NR = masked_softmax(scores_NR, said_NR).to(values_NRH.dtype)
    return (weights_NR.unsqueeze(1) @ values_NRH).squeeze(1)


def where_any(context_NH: Tensor, batch: Batch) -> Tensor:
    """Set vectors to 0 for questions without a history.

    Args:
        context_NH: (N, H) float.
        batch: Provides ``history_lengths``.

    Returns:
        (N, H) float.
    """
    return context_NH * (batch.history_lengths > 0)[:, None]


HISTORY_ENCODERS: dict[
    str, type[NoHistory] | type[LateFusion] | type[Hierarchical] | type[HierarchicalAttention] | type[Memory]
] = {
    "none": NoHistory,
    "late_fusion": LateFusion,
    "hierarchical": Hierarchical,
    "hierarchical_attention": HierarchicalAttention,
    "memory": Memory,
}
