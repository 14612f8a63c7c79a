"""`model.history`: how what was said before is read."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vqa_rnn.config.section import Section
from vqa_rnn.config.text import CellName


class NoHistory(Section):
    """The history is not read."""

    name: Literal["none"] = "none"


class LateFusionHistory(Section):
    """All that was said as one long text."""

    name: Literal["late_fusion"] = "late_fusion"
    cell: CellName | None = None
    """The cell of the network that reads it; null takes the question's."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the question once the history is worked in; with `published`, on question, image and history side by side."""
    published: bool = False
    """Join question, image and history in one layer, as Das et al. 2017 did, in place of attention and fusion."""


class HierarchicalHistory(Section):
    """A recurrent network over facts, each read by another (HRE)."""

    name: Literal["hierarchical"] = "hierarchical"
    cell: CellName | None = None
    """The cell of a network of its own for what was said, else like the question's; null has the question's read it."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the question once the history is worked in; with `published`, on the joint vector."""
    published: bool = False
    """The image beside each word of the question, and a network over the rounds, as Das et al. 2017 had it, in place of
    attention and fusion."""
    image_embedding_size: int = Field(300, ge=1)
    """`published`: size of the image beside each word."""


class HierarchicalAttentionHistory(Section):
    """The same, and the question weighs what came before (HREA)."""

    name: Literal["hierarchical_attention"] = "hierarchical_attention"
    cell: CellName | None = None
    """The cell of a network of its own for what was said, else like the question's; null has the question's read it."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the question once the history is worked in."""


class MemoryHistory(Section):
    """Facts as a memory that the question reads (MN)."""

    name: Literal["memory"] = "memory"
    cell: CellName | None = None
    """The cell of a network of its own for what was said, else like the question's; null has the question's read it."""
    num_hops: int = Field(1, ge=1)
    """How often it is read."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the question once the history is worked in; with `published`, on what was read."""
    published: bool = False
    """Question and image read the facts by plain products, as in Das et al. 2017, in place of attention and fusion."""

    @model_validator(mode="after")
    def _published_reads_once(self) -> "MemoryHistory":
        if self.published and self.num_hops > 1:
            raise ValueError(f"published=true reads the memory once: leave out num_hops={self.num_hops}")
        return self


History = Annotated[
    NoHistory | LateFusionHistory | HierarchicalHistory | HierarchicalAttentionHistory | MemoryHistory,
    Field(discriminator="name"),
]
