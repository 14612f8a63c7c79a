"""The section ``model.fusion``: how question and image are combined into one vector."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vqa_rnn.config.section import Section


class NoFusion(Section):
    """No fusion: a reasoning network or a published history encoder computes the joint vector."""

    name: Literal["none"] = "none"


class FusionOptions(Section):
    """Options of every fusion."""

    hidden_size: int = Field(512, ge=1)
    """Size of the joint vector."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the joint vector, or on the factors or products that it is computed from."""


class ImageFusion(Section):
    """The image vector alone. For stacked attention, whose image vector already includes the question (Yang et al. 2016)."""

    name: Literal["image"] = "image"
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the image vector."""


class SumFusion(FusionOptions):
    """Question and image each pass through a linear layer and are added."""

    name: Literal["sum"] = "sum"
    hidden_size: int | None = Field(512, ge=1)  # type: ignore[assignment]
    """Size of the joint vector; null adds the vectors without layers, as published for bilinear attention."""


class ConcatFusion(FusionOptions):
    """Question and image are concatenated, then pass through one layer."""

    name: Literal["concat"] = "concat"
    hidden_size: int | None = Field(512, ge=1)  # type: ignore[assignment]
    """Size of the joint vector; null leaves out the layer."""


class ProductFusion(FusionOptions):
    """Question and image each pass through one layer and are multiplied elementwise."""

    name: Literal["product"] = "product"
    activation: Literal["modulate", "tanh", "relu"] = "modulate"
    """`modulate`: tanh for the question and relu for the image, whose outputs start around 1; `tanh` or `relu`: the same for
    both."""


class GatedFusion(FusionOptions):
    """Question and image each pass through a gated tanh layer and are multiplied elementwise (Teney et al. 2018)."""

    name: Literal["gated"] = "gated"
    weight_norm: bool = False
    """Weight normalisation: learn the direction and the length of each row of weights separately."""


class MlbFusion(FusionOptions):
    """Low-rank bilinear pooling (Kim et al. 2017)."""

    name: Literal["mlb"] = "mlb"
    rank: int = Field(1200, ge=1)
    """Rank of the tensor."""
    activation: Literal["tanh", "none"] = "tanh"
    """Activation of both factors."""


class MutanFusion(FusionOptions):
    """Bilinear fusion with a Tucker decomposition whose core has low rank (Ben-younes et al. 2017)."""

    name: Literal["mutan"] = "mutan"
    factor_size: int = Field(360, ge=1)
    """Size of the projected question, and of the projected image."""
    image_factor_size: int | None = Field(None, ge=1)
    """Size of the projected image, if it is another; null means `factor_size`."""
    rank: int = Field(10, ge=1)
    """Rank of the slices of the core."""
    activation: Literal["tanh", "none"] = "tanh"
    """Activation of the projected question and image."""


class MfbFusion(FusionOptions):
    """Factorised bilinear pooling (Yu et al. 2017)."""

    name: Literal["mfb"] = "mfb"
    factors: int = Field(5, ge=1)
    """Number of products that are summed into each output."""


class MfhFusion(FusionOptions):
    """Factorised high-order pooling (Yu et al. 2018). The joint vector has size `order` times `hidden_size`."""

    name: Literal["mfh"] = "mfh"
    factors: int = Field(5, ge=1)
    """Number of products that are summed into each output."""
    order: int = Field(2, ge=1)
    """Number of cascaded MFB blocks."""


class McbFusion(FusionOptions):
    """Compact bilinear pooling by count sketches (Fukui et al. 2016)."""

    name: Literal["mcb"] = "mcb"
    hidden_size: int = Field(16_000, ge=1)
    """Size of the joint vector."""


class TuckerFusion(FusionOptions):
    """Bilinear fusion with a Tucker decomposition whose core is full (Ben-younes et al. 2017)."""

    name: Literal["tucker"] = "tucker"
    factor_size: int = Field(160, ge=1)
    """Size of the projected question and image."""


class BlockFusion(FusionOptions):
    """Bilinear fusion with a block-diagonal core (Ben-younes et al. 2019)."""

    name: Literal["block"] = "block"
    factor_size: int = Field(1600, ge=1)
    """Size of the projected question and image."""
    pieces: int = Field(20, ge=1)
    """Number of equal pieces, each with its own core."""
    rank: int = Field(15, ge=1)
    """Rank of the slices of a core."""
    normalise: bool = True
    """Normalise each piece by signed square root and L2 norm."""

    @model_validator(mode="after")
    def _check_pieces(self) -> "BlockFusion":
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
