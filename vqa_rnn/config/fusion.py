"""`model.fusion`: how question and image become one vector."""

from typing import Annotated, Literal

from pydantic import Field

from vqa_rnn.config.section import Section


class ConcatFusion(Section):
    """Question and image side by side, then one layer."""

    name: Literal["concat"] = "concat"
    hidden_size: int | None = Field(512, ge=1)
    """Size of the joint vector; null leaves question and image side by side, without a layer."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the joint vector."""


class ProductFusion(Section):
    """Question and image each through one layer, multiplied."""

    name: Literal["product"] = "product"
    hidden_size: int = Field(512, ge=1)
    """Size of the joint vector."""
    activation: Literal["modulate", "tanh", "relu"] = "modulate"
    """`modulate`: tanh of the question times relu of the image, which starts around 1; `tanh` or `relu`: that of both."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the joint vector."""


Fusion = Annotated[ConcatFusion | ProductFusion, Field(discriminator="name")]
