"""The section ``model.reasoning``: networks that compute the joint vector in place of attention and fusion."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from vqa_rnn.config.section import Section
from vqa_rnn.config.text import CellName


def _odd(kernel_size: int) -> int:
    if kernel_size % 2 == 0:
        raise ValueError("the kernel size must be odd, such as 1 or 3")
    return kernel_size


KernelSize = Annotated[int, Field(ge=1), AfterValidator(_odd)]


class NoReasoning(Section):
    """No reasoning network: `model.attention` and `model.fusion` are used."""

    name: Literal["none"] = "none"


class ReasoningOptions(Section):
    """Options of every reasoning network."""

    hidden_size: int = Field(256, ge=1)
    """Size of the layers."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout inside the network."""


class Relation(ReasoningOptions):
    """Relation network: every pair of regions together with the question (Santoro et al. 2017)."""

    name: Literal["relation"] = "relation"
    num_layers: int = Field(4, ge=1)
    """Number of layers applied to each pair."""


class Film(ReasoningOptions):
    """FiLM: the question scales and shifts the channels of convolutions over the image (Perez et al. 2018)."""

    name: Literal["film"] = "film"
    hidden_size: int = Field(128, ge=1)
    """Number of channels."""
    num_blocks: int = Field(4, ge=1)
    """Number of residual blocks."""
    kernel_size: KernelSize = 3
    """Kernel size of the convolutions; use 1 if the regions do not form a grid."""
    joint_size: int = Field(512, ge=1)
    """Size of the joint vector."""


class Mac(ReasoningOptions):
    """MAC: a recurrent cell with a control and a memory state (Hudson and Manning 2018)."""

    name: Literal["mac"] = "mac"
    num_steps: int = Field(4, ge=1)
    """Number of reasoning steps."""
    kernel_size: KernelSize = 3
    """Kernel size of the two convolutions before the first step; use 1 if the regions do not form a grid."""
    self_attention: bool = False
    """Let the memory attend to the memories of earlier steps."""
    gate: bool = False
    """Memory gate: a step may leave the memory unchanged."""


class Mcan(ReasoningOptions):
    """MCAN: self-attention over words, and attention over regions guided by them (Yu et al. 2019)."""

    name: Literal["mcan"] = "mcan"
    hidden_size: int = Field(512, ge=1)
    """Size of the layers."""
    num_layers: int = Field(6, ge=1)
    """Number of layers for the words, and of layers for the regions."""
    num_heads: int = Field(8, ge=1)
    """Number of attention heads."""
    joint_size: int = Field(1024, ge=1)
    """Size of the joint vector."""
    project_words: bool = True
    """Pass the word states through a linear layer first. `false`, as published, needs word states of size `hidden_size`."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout inside the network."""

    @model_validator(mode="after")
    def _check_num_heads(self) -> "Mcan":
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size={self.hidden_size} cannot be cut into num_heads={self.num_heads} heads")
        return self


class WordAttention(ReasoningOptions):
    """A recurrent network over the words that attends to the regions at each word (Zhu et al. 2016)."""

    name: Literal["word_attention"] = "word_attention"
    cell: CellName = "lstm"
    """The recurrent cell."""
    hidden_size: int = Field(512, ge=1)
    """Size of the recurrent state, of the attention layer and of the joint vector."""


Reasoning = Annotated[NoReasoning | Relation | Film | Mac | Mcan | WordAttention, Field(discriminator="name")]
