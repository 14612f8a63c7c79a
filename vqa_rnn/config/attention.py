"""The section ``model.attention``: how the regions are combined into an image vector."""

from typing import Annotated, Literal

from pydantic import Field

from vqa_rnn.config.section import Section
from vqa_rnn.config.text import CellName


class NoAttention(Section):
    """No attention: the mean of the regions."""

    name: Literal["none"] = "none"


class AttentionOptions(Section):
    """Options of every attention."""

    hidden_size: int = Field(256, ge=1)
    """Size of the layer that scores a region."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout inside the attention."""


class TopDownAttention(AttentionOptions):
    """One weight per region, computed from the question (Anderson et al. 2018)."""

    name: Literal["top_down"] = "top_down"
    weight_norm: bool = False
    """Weight normalisation: learn the direction and the length of each row of weights separately, as in the published model."""


class StackedAttention(AttentionOptions):
    """Several attention steps; each uses what the previous one saw (Yang et al. 2016)."""

    name: Literal["stacked"] = "stacked"
    hidden_size: int = Field(512, ge=1)
    """Size of the image vector."""
    num_looks: int = Field(2, ge=1)
    """Number of attention steps."""
    score_size: int | None = Field(None, ge=1)
    """Size of the layer that scores a region; null means `hidden_size`."""
    project_question: bool = True
    """Pass the question vector through a linear layer first. `false`, as published, needs a question vector of size
    `hidden_size`."""


class GlimpseAttention(AttentionOptions):
    """Several attention maps; their image vectors are concatenated (Kim et al. 2017)."""

    name: Literal["glimpses"] = "glimpses"
    hidden_size: int = Field(512, ge=1)
    """Size of the layer that scores a region."""
    num_glimpses: int = Field(2, ge=1)
    """Number of attention maps."""


class MutanAttention(AttentionOptions):
    """Several attention maps, from MUTAN of the question and each region (Ben-younes et al. 2017)."""

    name: Literal["mutan"] = "mutan"
    hidden_size: int = Field(512, ge=1)
    """Size of the fused vector of question and region, from which the region is scored."""
    factor_size: int = Field(256, ge=1)
    """Size of the projected question and region."""
    rank: int = Field(5, ge=1)
    """Rank of the slices of the core."""
    num_glimpses: int = Field(2, ge=1)
    """Number of attention maps."""


class MfbAttention(AttentionOptions):
    """Several attention maps, from MFB of the question and each region (Yu et al. 2017)."""

    name: Literal["mfb"] = "mfb"
    hidden_size: int = Field(512, ge=1)
    """Size of the fused vector of question and region."""
    factors: int = Field(5, ge=1)
    """Number of products that are summed into each element of the fused vector."""
    score_size: int = Field(256, ge=1)
    """Size of the layer that scores a region from the fused vector."""
    num_glimpses: int = Field(2, ge=1)
    """Number of attention maps."""


class CoAttention(AttentionOptions):
    """Attention over regions guided by the words, and over words guided by the regions (Lu et al. 2016)."""

    name: Literal["co_attention"] = "co_attention"
    hidden_size: int = Field(512, ge=1)
    """Size of the layers that score regions and words."""


class BilinearAttention(AttentionOptions):
    """A weight for each pair of word and region, in several glimpses (BAN; Kim et al. 2018)."""

    name: Literal["bilinear"] = "bilinear"
    hidden_size: int = Field(512, ge=1)
    """Rank of the bilinear layers."""
    num_glimpses: int = Field(4, ge=1)
    """Number of glimpses."""
    score_size: int | None = Field(None, ge=1)
    """Rank of the layers that compute the attention weights; null means `hidden_size`."""


class RecurrentAttention(AttentionOptions):
    """A recurrent network that attends to the regions several times (after Ba et al. 2015)."""

    name: Literal["recurrent"] = "recurrent"
    cell: CellName = "gru"
    """The recurrent cell."""
    hidden_size: int = Field(512, ge=1)
    """Size of the recurrent state, which is the image vector, and of the layer that scores a region."""
    num_looks: int = Field(3, ge=1)
    """Number of attention steps."""
    hard: bool = False
    """Hard attention: each step sees a single region, sampled in training and learned by REINFORCE."""


Attention = Annotated[
    NoAttention
    | TopDownAttention
    | StackedAttention
    | GlimpseAttention
    | MutanAttention
    | MfbAttention
    | CoAttention
    | BilinearAttention
    | RecurrentAttention,
    Field(discriminator="name"),
]
