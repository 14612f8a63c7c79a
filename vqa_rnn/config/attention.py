"""`model.attention`: how regions become an image vector."""

from typing import Annotated, Literal

from pydantic import Field

from vqa_rnn.config.section import Section
from vqa_rnn.config.text import CellName


class NoAttention(Section):
    """The mean of the regions."""

    name: Literal["none"] = "none"


class AttentionOptions(Section):
    """What every attention understands."""

    hidden_size: int = Field(256, ge=1)
    """Size of the layer that scores a region."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on that layer."""


class TopDownAttention(AttentionOptions):
    """One weight a region from the question (Anderson et al. 2018)."""

    name: Literal["top_down"] = "top_down"
    weight_norm: bool = False
    """Learn the direction of each row of weights apart from its length, as in the published model."""


class StackedAttention(AttentionOptions):
    """Several looks at the regions, each led by what the last one saw (Yang et al. 2016)."""

    name: Literal["stacked"] = "stacked"
    hidden_size: int = Field(512, ge=1)
    """Size of the image vector."""
    num_looks: int = Field(2, ge=1)
    """How many looks."""
    score_size: int | None = Field(None, ge=1)
    """Size of the layer that scores a region; null: `hidden_size`."""
    project_question: bool = True
    """Pass the question through a layer first; `false`, as published, needs a question of `hidden_size`."""


class GlimpseAttention(AttentionOptions):
    """Several weights a region, and what each saw side by side (Kim et al. 2017)."""

    name: Literal["glimpses"] = "glimpses"
    hidden_size: int = Field(512, ge=1)
    """Size of the layer that scores a region."""
    num_glimpses: int = Field(2, ge=1)
    """How many weights a region has."""


class CoAttention(AttentionOptions):
    """Weights for regions and for words, each from the other (Lu et al. 2016)."""

    name: Literal["co_attention"] = "co_attention"
    hidden_size: int = Field(512, ge=1)
    """Size of the layers that score regions and words."""


class BilinearAttention(AttentionOptions):
    """A weight for each pair of word and region, in several glimpses (BAN, Kim et al. 2018)."""

    name: Literal["bilinear"] = "bilinear"
    hidden_size: int = Field(512, ge=1)
    """Rank of the bilinear layers."""
    num_glimpses: int = Field(4, ge=1)
    """How many glimpses."""
    score_size: int | None = Field(None, ge=1)
    """Rank of the layers that weigh words and regions; null: `hidden_size`."""


class RecurrentAttention(AttentionOptions):
    """A recurrent network that looks at the regions one look after the other (after Ba et al. 2015)."""

    name: Literal["recurrent"] = "recurrent"
    cell: CellName = "gru"
    """The recurrent cell."""
    hidden_size: int = Field(512, ge=1)
    """Size of its state, which is the image vector, and of the layer that scores a region."""
    num_looks: int = Field(3, ge=1)
    """How many looks."""
    hard: bool = False
    """Each look sees one region, drawn in training and learned by REINFORCE, and not all of them weighed."""


Attention = Annotated[
    NoAttention | TopDownAttention | StackedAttention | GlimpseAttention | CoAttention | BilinearAttention | RecurrentAttention,
    Field(discriminator="name"),
]
