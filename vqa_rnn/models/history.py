"""A dialog's history into the question: what was said before decides what "it" is.

Facts are the caption and each earlier question with its answer. A question that comes after n facts sees the first n of its
dialog and nothing later. Each distinct fact of a batch is read once, and one causal pass over a dialog serves all its rounds.

Every encoder gives question vectors of the same size, the history worked in; what follows (attention, fusion, head) does not
know whether there was one. All differ in three ways from Das et al. 2017 (https://arxiv.org/abs/1611.08669, section 4), whose
own are in ``dialog.py``:

- There question, history and image meet in one layer; here the history may already lead the look at the image.
- Facts are read by the question's own network and not by another (but for late fusion, whose one long text is read by one
  layer of its own): most of them are earlier questions, and what was learned of "the red star" in a question serves a caption
  that says it.
- What the history says is added to the question through a gate (``_Join``) and not joined by a layer over both: a question that
  stands alone lets nothing in, and "it" starts out as what "it" is.

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
from vqa_rnn.models.text_encoder import TextEncoder
from vqa_rnn.rnn import RecurrentNetwork

MOST_DISTANT = 32
SHARPNESS = 6  # of the look into a memory: weights differ by a factor of e^12 at most


class NoHistory(nn.Module):
    """The question as it stands."""

    def __init__(self, config: NoHistoryConfig, text_encoder: TextEncoder) -> None:
        super().__init__()

    def forward(self, question_NH: Tensor, batch: Batch) -> Tensor:
        """Give the questions back.

        Args:
            question_NH: (N, H) float.
            batch: Unused.

        Returns:
            ``question_NH``.
        """
        return question_NH


class LateFusion(nn.Module):
    """All facts as one long text, read by a recurrent network (Das et al. 2017, "late fusion").

    The network is causal, so its state after a dialog's first n facts is what it would say of them alone.
    """

    def __init__(self, config: LateFusionConfig, text_encoder: TextEncoder) -> None:
        super().__init__()
        self.embedding = text_encoder.word_vectors
        self.network = RecurrentNetwork(
            text_encoder.cell, self.embedding.embedding_dim, text_encoder.output_size, **text_encoder.start
        )
        self.join = _Join(text_encoder.output_size, config.dropout)

    def forward(self, question_NH: Tensor, batch: Batch) -> Tensor:
        """Work the history in.

        Args:
            question_NH: (N, H) float.
            batch: Its facts, at least one, and the indices that lead to them.

        Returns:
            (N, H) float.
        """
        tokens_GL, ends_GR = dialog_tokens(batch)
        states_GLH, _ = self.network(self.embedding(tokens_GL), ends_GR[:, -1])
        return self.join(question_NH, after_facts(states_GLH, ends_GR, batch))


class Hierarchical(nn.Module):
    """Each fact read by one recurrent network, the sequence of facts by another (Das et al. 2017, HRE).

    Differs from the paper: the upper network reads facts alone; question and image join its last state afterwards, so that
    rounds can be asked in any selection.
    """

    def __init__(self, config: HierarchicalConfig, text_encoder: TextEncoder) -> None:
        super().__init__()
        size = text_encoder.output_size
        self.text_encoder = text_encoder
        self.network = RecurrentNetwork(text_encoder.cell, size, size, **text_encoder.start)
        self.join = _Join(size, config.dropout)

    def forward(self, question_NH: Tensor, batch: Batch) -> Tensor:
        """Work the history in.

        Args:
            question_NH: (N, H) float.
            batch: Its facts, at least one, and the indices that lead to them.

        Returns:
            (N, H) float.
        """
        states_GRH = _run_over_facts(self.network, read_facts(self.text_encoder, batch), batch)
        context_NH = states_GRH[batch.dialog_index, (batch.history_lengths - 1).clamp(min=0)]
        return self.join(question_NH, where_any(context_NH, batch))


class HierarchicalAttention(nn.Module):
    """As ``Hierarchical``, and the question weighs the states of all rounds so far (Das et al. 2017, HREA).

    Weights are the softmax of ``w · tanh(W_s s_r + W_q q)``. Differs from the paper, where they weigh the facts before the
    upper network reads them: here its states, so that one pass serves all rounds.
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
        """Work the history in.

        Args:
            question_NH: (N, H) float.
            batch: Its facts, at least one, and the indices that lead to them.

        Returns:
            (N, H) float.
        """
        states_GRH = _run_over_facts(self.network, read_facts(self.text_encoder, batch), batch)
        keys_NRH = self.project_state(states_GRH)[batch.dialog_index]
        scores_NR = self.score((keys_NRH + self.project_question(question_NH).unsqueeze(1)).tanh()).squeeze(2)
        return self.join(question_NH, weigh(scores_NR, states_GRH[batch.dialog_index], batch))


class Memory(nn.Module):
    """The facts as a memory that the question reads, once or several times (Das et al. 2017, MN).

    A read weighs the facts by ``softmax(SHARPNESS cos(W_q q, W_m m_r + d_r))`` and adds their mean to the question. ``d_r``
    is a learned vector for how many rounds ago the fact was said, the temporal encoding of Sukhbaatar et al. 2015
    (https://arxiv.org/abs/1503.08895, section 4.1): without it a memory does not know what came last. Differs from the paper:
    it has neither ``d_r`` nor more than one read, and its weights are the softmax of plain products. Those begin so even that
    nothing is learned from them, or grow until one fact has all the weight and no other is ever tried; a cosine does neither.
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
        """Work the history in.

        Args:
            question_NH: (N, H) float.
            batch: Its facts, at least one, and the indices that lead to them.

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
    """Each dialog's facts end to end.

    Args:
        batch: With at least one fact.

    Returns:
        (G, L) int64 tokens, padded on the right with 0; and on the CPU (G, R) int64, the number of tokens up to the end of each
        fact, where facts that do not exist have none.
    """
    lengths_GR = batch.fact_lengths[batch.history_index.clamp(min=0)] * (batch.history_index >= 0)
    ends_GR = lengths_GR.cumsum(dim=1)
    longest = max(int(ends_GR[:, -1].max()), 1)
    num_columns = batch.fact_tokens.shape[1]
    dialog, fact, column = (torch.arange(num_columns) < lengths_GR[:, :, None]).nonzero(as_tuple=True)
    # of each token its place among those of all facts, behind which stands one of padding
    source_GL = torch.full((len(ends_GR), longest), batch.fact_tokens.numel())
    place = (ends_GR - lengths_GR)[dialog, fact] + column
    source_GL[dialog, place] = batch.history_index[dialog, fact] * num_columns + column
    tokens = functional.pad(batch.fact_tokens.flatten(), (0, 1))
    return tokens[beside(source_GL, tokens)], ends_GR


def after_facts(states_GLH: Tensor, ends_GR: Tensor, batch: Batch) -> Tensor:
    """The state of a causal network after what was said before each question.

    Args:
        states_GLH: (G, L, H) float, its states over the facts end to end.
        ends_GR: (G, R) int64 on the CPU, from ``dialog_tokens``.
        batch: Its ``dialog_index`` and ``history_lengths``.

    Returns:
        (N, H) float, 0 for a question that is the first word.
    """
    last_N = beside(ends_GR, states_GLH)[batch.dialog_index, (batch.history_lengths - 1).clamp(min=0)] - 1
    return where_any(states_GLH[batch.dialog_index, last_N.clamp(min=0)], batch)


def read_facts(text_encoder: TextEncoder, batch: Batch) -> Tensor:
    """Each dialog's facts as vectors; a distinct fact is read once.

    Args:
        text_encoder: Reads them.
        batch: With at least one fact.

    Returns:
        (G, R, H) float, any value where there is no fact.
    """
    facts_FH = text_encoder.encode_texts(batch.fact_tokens, batch.fact_lengths)
    return facts_FH[beside(batch.history_index.clamp(min=0), facts_FH)]


def _run_over_facts(network: RecurrentNetwork, facts_GRH: Tensor, batch: Batch) -> Tensor:
    """(G, R, H) the states after each fact, 0 where there is none."""
    return network(facts_GRH, (batch.history_index >= 0).sum(dim=1))[0]


def weigh(scores_NR: Tensor, values_NRH: Tensor, batch: Batch) -> Tensor:
    """The mean of what was said before each question.

    Args:
        scores_NR: (N, R) float; their softmax over what was said before weighs it.
        values_NRH: (N, R, H) float.
        batch: Its ``history_lengths``.

    Returns:
        (N, H) float, 0 for a question that is the first word.
    """
    place_R = torch.arange(scores_NR.shape[1], device=scores_NR.device)
    said_NR = place_R < batch.history_lengths[:, None]
    scores_NR = scores_NR.to(torch.promote_types(scores_NR.dtype, torch.float32))
    lowest = torch.finfo(scores_NR.dtype).min  # not -inf: a row without any fact would be NaN
    weights_NR = scores_NR.masked_fill(~said_NR, lowest).softmax(dim=1).to(values_NRH.dtype)
    return where_any((weights_NR.unsqueeze(1) @ values_NRH).squeeze(1), batch)


def where_any(context_NH: Tensor, batch: Batch) -> Tensor:
    """Leave nothing where nothing was said.

    Args:
        context_NH: (N, H) float.
        batch: Its ``history_lengths``.

    Returns:
        The same, 0 for a question that is the first word.
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
