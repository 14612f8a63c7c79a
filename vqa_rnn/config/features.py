"""The section ``features``: how image features are extracted."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from vqa_rnn.config.section import Positive, Section

Intensity = Literal["full", "image"]
SUFFIXES = {"hdf5": ".h5", "lmdb": ".lmdb"}  # default file name suffix of a store, by features.format
STORE_SUFFIXES = (*SUFFIXES.values(), ".hdf5")  # all suffixes that a store may have
# Options of FeaturesConfig that default to the backbone's own settings: those of its input images, and all of them.
PRESET_OPTIONS = ("image_size", "mean", "std", "interpolation", "crop_share")
OWN_OPTIONS = ("layers", *PRESET_OPTIONS)
_GRID_OPTIONS = ("layers", "grid_size", "resize", "mean", "std", "interpolation", "crop_share")  # not used by detectors
# Options of FeaturesConfig that decide which proposals of a detector become regions.
REGION_OPTIONS = ("min_regions", "max_regions", "region_score")


class FeaturesConfig(Section):
    """The network that turns an image into region features."""

    store: Path | None = None
    """The file with the features; one that ends in `.lmdb` is an LMDB file. By default a file in `features/`, named after data
    set, backbone and settings."""
    format: Literal["hdf5", "lmdb"] = "hdf5"
    """`hdf5`: memory-mapped, the fastest; `lmdb`: one value per image, without padding for images with fewer regions."""
    library: Literal["timm", "torchvision", "transformers", "imported", "none"] = "timm"
    """Where the backbone comes from. `transformers`: vision models of Hugging Face, by name or folder; `imported`: `store` was
    written by `vqa-rnn features import`; `none`: for text-only models; no images are read, and each is one region of zeros."""
    backbone: str = "tf_efficientnet_lite0"
    """Name of the backbone in that library, such as `resnet152` or `openai/clip-vit-base-patch32`; for `transformers` also a
    folder."""
    weights: str = "package"
    """`package`: from an installed Python package (the embedded default); `hub`: download the library's default weights;
    `hub:NAME`: download these weights, such as `hub:IMAGENET1K_V1` of torchvision, `hub:tv_in1k` of timm or a revision of
    transformers; anything else is a file. If `backbone` is a folder, `hub` uses the weights in it."""
    layers: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the modules whose outputs are used. Several outputs are pooled to one grid and concatenated by channel. By
    default the last module that gives more than one region."""
    output: Literal["grid", "pooled", "boxes", "regions"] = "grid"
    """`grid`: one region per grid cell; `pooled`: one region, the mean of the grid; `boxes`: the whole image and each box of
    the data set; `regions`: the whole image and the boxes that a detector proposes (Faster or Mask R-CNN of torchvision, DETR
    of transformers)."""
    min_regions: int = Field(10, ge=0)
    """With `output=regions`, minimum number of regions, if there are that many proposals. Bottom-up attention uses 10 to 100
    regions (adaptive), or 36 here and in `max_regions` (fixed)."""
    max_regions: int = Field(100, ge=1)
    """With `output=regions`, maximum number of regions."""
    region_score: float = Field(0.2, ge=0, le=1)
    """With `output=regions`, lowest detector score of the regions beyond `min_regions`."""
    box_method: Literal["roi", "crop"] = "roi"
    """`roi`: average the grid under each box (RoIAlign); `crop`: cut out and scale each box and extract its features
    separately, which is slower."""
    grid_size: int | None = Field(None, ge=1)
    """Average the grid down to this many cells per side; by default the grid of the last layer."""
    image_size: int | None = Field(None, ge=16)
    """Height and width that images are scaled to, in pixels; by default the backbone's training size."""
    resize: Literal["squash", "crop", "pad"] = "squash"
    """`squash`: ignore the aspect ratio; `crop`: use the central square; `pad`: put the whole image on a grey square."""
    interpolation: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] | None = None
    """How images are resampled; by default as in the backbone's training."""
    crop_share: float | None = Field(None, gt=0, le=1)
    """With `resize=crop`, the share of the short side that is kept; by default as in the backbone's evaluation."""
    intensity: Intensity = "full"
    """How images with more than 8 bits are converted. `full`: by the full range of the pixel type; `image`: by the darkest and
    lightest pixel of each image, for medical images that use a small part of 16 bits."""
    mean: tuple[float, float, float] | None = None
    """Channel means for normalisation; by default the backbone's own."""
    std: tuple[Positive, Positive, Positive] | None = None
    """Channel standard deviations for normalisation; by default the backbone's own."""
    dtype: Literal["float16", "float32"] = "float16"
    """Number format of the stored features."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the backbone. `auto`: bfloat16 if the processor supports it and the features stay within 1% of float32, else
    float32. Recorded in the store."""
    batch_rows: int | None = Field(None, ge=1)
    """Images per forward pass; by default chosen from the image size and the device."""
    compile: bool = False
    """Compile the backbone. Needs a C++ compiler and a few seconds; worthwhile for thousands of images and networks with many
    small layers, such as EfficientNet-Lite. Recorded in the store."""
    skip_damaged: bool = False
    """Skip images that cannot be read, and list them as failed; by default the first one stops the job."""

    @property
    def backbone_name(self) -> str:
        """Name of the backbone in feature stores: library and name. For transformers, the folder or owner is left out."""
        return f"{self.library}/{Path(self.backbone).name if self.library == 'transformers' else self.backbone}"

    @model_validator(mode="after")
    def _check_store_suffix(self) -> "FeaturesConfig":
        if self.store is not None and self.store.suffix not in (*STORE_SUFFIXES, ".json"):
            raise ValueError(f"store={self.store} must end in .h5 or .lmdb, which says its format")
        if self.format == "lmdb" and self.store is not None and self.store.suffix not in (SUFFIXES["lmdb"], ".json"):
            raise ValueError(f"format=lmdb needs a store that ends in .lmdb, not store={self.store}")
        return self

    @model_validator(mode="after")
    def _check_imported(self) -> "FeaturesConfig":
        if self.library == "imported" and self.store is None:
            raise ValueError("library=imported needs store, the file that vqa-rnn features import wrote")
        return self

    @model_validator(mode="after")
    def _check_boxes(self) -> "FeaturesConfig":
        if self.output == "boxes" and self.resize != "squash":
            raise ValueError("output=boxes needs resize=squash: boxes must keep their relative position in the scaled image")
        return self

    @model_validator(mode="after")
    def _check_regions(self) -> "FeaturesConfig":
        fields = type(self).model_fields
        of_others = REGION_OPTIONS if self.output != "regions" else (*_GRID_OPTIONS, "box_method", "batch_rows", "compile")
        name = next((name for name in of_others if getattr(self, name) != fields[name].default), None)
        if name is not None:
            needed = "another output than regions" if self.output == "regions" else "output=regions"
            value = getattr(self, name)
            shown = f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else value
            raise ValueError(f"{name}={shown} needs {needed}")
        if self.output == "regions" and self.library not in ("torchvision", "transformers", "imported", "none"):
            raise ValueError(
                f"output=regions needs a detector, and {self.library} has none: set library=torchvision "
                "backbone=fasterrcnn_resnet50_fpn_v2, or library=transformers and a DETR"
            )
        if self.output == "regions" and self.precision == "bfloat16":
            raise ValueError("output=regions computes in float32: leave precision out")
        if self.min_regions > self.max_regions:
            raise ValueError(f"min_regions={self.min_regions} is more than max_regions={self.max_regions}")
        return self

    @model_validator(mode="after")
    def _check_crop_share(self) -> "FeaturesConfig":
        if self.crop_share is not None and self.resize != "crop":
            raise ValueError(f"crop_share is for resize=crop; resize={self.resize} keeps the whole image")
        return self
