"""`model.fusion`: how question and image become one vector."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vqa_rnn.config.section import Section


class NoFusion(Section):
    """A reasoning network makes the joint vector by itself."""

    name: Literal["none"] = "none"


class FusionOptions(Section):
    """What every fusion understands."""

    hidden_size: int = Field(512, ge=1)
    """Size of the joint vector."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the joint vector, or on what is multiplied before it."""


class ImageFusion(Section):
    """The image vector alone, which holds the question: with stacked attention, as published (Yang et al. 2016)."""

    name: Literal["image"] = "image"
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on it."""


class SumFusion(FusionOptions):
    """Question and image each through one layer, added."""

    name: Literal["sum"] = "sum"
    hidden_size: int | None = Field(512, ge=1)  # type: ignore[assignment]
    """Size of the joint vector; null adds them as they are, as bilinear attention does."""


class ConcatFusion(FusionOptions):
    """Question and image side by side, then one layer."""

    name: Literal["concat"] = "concat"
    hidden_size: int | None = Field(512, ge=1)  # type: ignore[assignment]
    """Size of the joint vector; null leaves question and image side by side, without a layer."""


class ProductFusion(FusionOptions):
    """Question and image each through one layer, multiplied."""

    name: Literal["product"] = "product"
    activation: Literal["modulate", "tanh", "relu"] = "modulate"
    """`modulate`: tanh of the question times relu of the image, which starts around 1; `tanh` or `relu`: that of both."""


class GatedFusion(FusionOptions):
    """Question and image each through a gated tanh layer, multiplied (Teney et al. 2018)."""

    name: Literal["gated"] = "gated"
    weight_norm: bool = False
    """Learn the direction of each row of weights apart from its length."""


class MlbFusion(FusionOptions):
    """Bilinear of low rank (Kim et al. 2017)."""

    name: Literal["mlb"] = "mlb"
    rank: int = Field(1200, ge=1)
    """Rank of the tensor."""
    activation: Literal["tanh", "none"] = "tanh"
    """Of the factors."""


class MutanFusion(FusionOptions):
    """Bilinear with a Tucker decomposition whose core has low rank (Ben-younes et al. 2017)."""

    name: Literal["mutan"] = "mutan"
    factor_size: int = Field(360, ge=1)
    """Size of the projected question and image."""
    rank: int = Field(10, ge=1)
    """Rank of the slices of the core."""
    activation: Literal["tanh", "none"] = "tanh"
    """Of the projected question and image."""


class MfbFusion(FusionOptions):
    """Factorised bilinear pooling (Yu et al. 2017)."""

    name: Literal["mfb"] = "mfb"
    factors: int = Field(5, ge=1)
    """How many products are summed into one number."""


class MfhFusion(FusionOptions):
    """Factorised pooling of a higher order (Yu et al. 2018). The joint vector has `order` times `hidden_size` numbers."""

    name: Literal["mfh"] = "mfh"
    factors: int = Field(5, ge=1)
    """How many products are summed into one number."""
    order: int = Field(2, ge=1)
    """How many blocks are cascaded."""


class McbFusion(FusionOptions):
    """Compact bilinear pooling by count sketches (Fukui et al. 2016)."""

    name: Literal["mcb"] = "mcb"
    hidden_size: int = Field(16_000, ge=1)
    """Size of the joint vector."""


class TuckerFusion(FusionOptions):
    """Bilinear with a Tucker decomposition whose core is full (Ben-younes et al. 2017)."""

    name: Literal["tucker"] = "tucker"
    factor_size: int = Field(160, ge=1)
    """Size of the projected question and image."""


class BlockFusion(FusionOptions):
    """Bilinear whose core has blocks on its diagonal (Ben-younes et al. 2019)."""

    name: Literal["block"] = "block"
    factor_size: int = Field(1600, ge=1)
    """Size of the projected question and image."""
    pieces: int = Field(20, ge=1)
    """How many equal pieces, each with a core of its own."""
    rank: int = Field(15, ge=1)
    """Rank of the slices of a core."""
    normalise: bool = True
    """Power and L2 normalisation of each piece."""

    @model_validator(mode="after")
    def _pieces_are_equal(self) -> "BlockFusion":
        if self.factor_size % self.pieces:
            raise ValueError(f"factor_size={self.factor_size} cannot be cut into pieces={self.pieces} equal pieces")
        return self


Fusion = Annotated[
    NoFusion
    | ImageFusion
    | SumFusion
    | ConcatFusion
    | ProductFusion
    | GatedFusion
    | MlbFusion
    | MutanFusion
    | MfbFusion
    | MfhFusion
    | McbFusion
    | TuckerFusion
    | BlockFusion,
    Field(discriminator="name"),
]
