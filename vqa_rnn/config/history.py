"""The section ``model.history``: how the dialog history is encoded."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vqa_rnn.config.section import Section
from vqa_rnn.config.text import CellName


class NoHistory(Section):
    """The history is not read."""

    name: Literal["none"] = "none"


class LateFusionHistory(Section):
    """The caption and all earlier rounds are read as one long text."""

    name: Literal["late_fusion"] = "late_fusion"
    cell: CellName | None = None
    """Recurrent cell of the network that reads the history; null uses the question encoder's cell."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the question vector after the history is added; with `published`, on the concatenated question, image and
    history."""
    published: bool = False
    """Replace attention and fusion by one layer over question, image and history, as in Das et al. 2017."""


class HierarchicalHistory(Section):
    """One recurrent network reads each fact (the caption or an earlier round), another reads the sequence of facts (HRE)."""

    name: Literal["hierarchical"] = "hierarchical"
    cell: CellName | None = None
    """Recurrent cell of a separate encoder for the facts, otherwise like the question encoder; null shares the question
    encoder, or with `published` uses its cell."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the question vector after the history is added; with `published`, on the joint vector."""
    published: bool = False
    """Replace attention and fusion as in Das et al. 2017: the image is concatenated to each word of the question, and a
    recurrent network runs over the rounds."""
    image_embedding_size: int = Field(300, ge=1)
    """With `published`, size of the image vector that is concatenated to each word."""


class HierarchicalAttentionHistory(Section):
    """As `hierarchical`, with attention over the earlier rounds (HREA)."""

    name: Literal["hierarchical_attention"] = "hierarchical_attention"
    cell: CellName | None = None
    """Recurrent cell of a separate encoder for the facts, otherwise like the question encoder; null shares the question
    encoder."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the question vector after the history is added."""


class MemoryHistory(Section):
    """Memory network: the question attends to the facts, which are the caption and the earlier rounds (MN)."""

    name: Literal["memory"] = "memory"
    cell: CellName | None = None
    """Recurrent cell of a separate encoder for the facts, otherwise like the question encoder; null shares the question
    encoder, or with `published` uses its cell."""
    num_hops: int = Field(1, ge=1)
    """How many times the memory is read."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the question vector after the history is added; with `published`, on what is read from the memory."""
    published: bool = False
    """Replace attention and fusion as in Das et al. 2017: question and image attend to the facts by dot products."""

    @model_validator(mode="after")
    def _check_published(self) -> "MemoryHistory":
        if self.published and self.num_hops > 1:
            raise ValueError(f"published=true reads the memory once: leave out num_hops={self.num_hops}")
        return self


History = Annotated[
    NoHistory | LateFusionHistory | HierarchicalHistory | HierarchicalAttentionHistory | MemoryHistory,
    Field(discriminator="name"),
]
