"""`model.attention`: how regions become an image vector."""

from typing import Annotated, Literal

from pydantic import Field

from vqa_rnn.config.section import Section


class NoAttention(Section):
    """The mean of the regions."""

    name: Literal["none"] = "none"


class TopDownAttention(Section):
    """One weight a region from the question (Anderson et al. 2018)."""

    name: Literal["top_down"] = "top_down"
    hidden_size: int = Field(256, ge=1)
    """Size of the layer that scores a region."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on that layer."""


class StackedAttention(Section):
    """Several looks at the regions, each led by what the last one saw (Yang et al. 2016)."""

    name: Literal["stacked"] = "stacked"
    hidden_size: int = Field(512, ge=1)
    """Size of the image vector, and of the layer that scores a region."""
    num_looks: int = Field(2, ge=1)
    """How many looks."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the layer that scores a region."""


Attention = Annotated[NoAttention | TopDownAttention | StackedAttention, Field(discriminator="name")]
