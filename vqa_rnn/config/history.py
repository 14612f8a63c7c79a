"""`model.history`: how what was said before is read."""

from typing import Annotated, Literal

from pydantic import Field

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
    """Dropout on the question once the history is worked in."""


class HierarchicalHistory(Section):
    """A recurrent network over facts, each read by another (HRE)."""

    name: Literal["hierarchical"] = "hierarchical"
    cell: CellName | None = None
    """The cell of a network of its own for what was said, else like the question's; null has the question's read it."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the question once the history is worked in."""


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
    """Dropout on the question once the history is worked in."""


History = Annotated[
    NoHistory | LateFusionHistory | HierarchicalHistory | HierarchicalAttentionHistory | MemoryHistory,
    Field(discriminator="name"),
]
