"""`model.reasoning`: words and regions to a joint vector, in place of attention and fusion."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from vqa_rnn.config.section import Section
from vqa_rnn.config.text import CellName


def _odd(kernel_size: int) -> int:
    if kernel_size % 2 == 0:
        raise ValueError("a kernel has an odd size, 1 or 3")
    return kernel_size


KernelSize = Annotated[int, Field(ge=1), AfterValidator(_odd)]


class NoReasoning(Section):
    """An attention and a fusion instead."""

    name: Literal["none"] = "none"


class ReasoningOptions(Section):
    """What every reasoning network understands."""

    hidden_size: int = Field(256, ge=1)
    """Size of its layers."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout within it."""


class Relation(ReasoningOptions):
    """Every pair of regions with the question (Santoro et al. 2017)."""

    name: Literal["relation"] = "relation"
    num_layers: int = Field(4, ge=1)
    """Layers that a pair passes."""


class Film(ReasoningOptions):
    """The question modulates the channels of convolutions over the image (Perez et al. 2018)."""

    name: Literal["film"] = "film"
    hidden_size: int = Field(128, ge=1)
    """Channels."""
    num_blocks: int = Field(4, ge=1)
    """Residual blocks."""
    kernel_size: KernelSize = 3
    """Of the convolutions; 1 for regions that are no grid."""
    joint_size: int = Field(512, ge=1)
    """Size of the joint vector."""


class Mac(ReasoningOptions):
    """A recurrent cell with memory and control (Hudson and Manning 2018)."""

    name: Literal["mac"] = "mac"
    num_steps: int = Field(4, ge=1)
    """Steps of reasoning."""
    kernel_size: KernelSize = 3
    """Of the two convolutions before them; 1 for regions that are no grid."""
    self_attention: bool = False
    """The memory looks at those of earlier steps as well."""
    gate: bool = False
    """The memory may stay as it was."""


class Mcan(ReasoningOptions):
    """Self-attention of words, and guided attention of regions (Yu et al. 2019)."""

    name: Literal["mcan"] = "mcan"
    hidden_size: int = Field(512, ge=1)
    """Size of its layers."""
    num_layers: int = Field(6, ge=1)
    """Layers for words, and as many for regions."""
    num_heads: int = Field(8, ge=1)
    """Heads of the attention."""
    joint_size: int = Field(1024, ge=1)
    """Size of the joint vector."""
    project_words: bool = True
    """Pass the words through a layer first; `false`, as published, needs words of `hidden_size`."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout within it."""

    @model_validator(mode="after")
    def _heads_divide(self) -> "Mcan":
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size={self.hidden_size} cannot be cut into num_heads={self.num_heads} heads")
        return self


class WordAttention(ReasoningOptions):
    """A recurrent network over the words that looks at the regions at each of them (Zhu et al. 2016)."""

    name: Literal["word_attention"] = "word_attention"
    cell: CellName = "lstm"
    """The recurrent cell."""
    hidden_size: int = Field(512, ge=1)
    """Size of its state, of the attention and of the joint vector."""


Reasoning = Annotated[NoReasoning | Relation | Film | Mac | Mcan | WordAttention, Field(discriminator="name")]
