"""`features`: images to features."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from vqa_rnn.config.section import Positive, Section

Intensity = Literal["full", "image"]
SUFFIXES = {"hdf5": ".h5", "lmdb": ".lmdb"}  # of the stores of each features.format
# Options of FeaturesConfig that are the backbone's own where they are null: of its images, and all.
PRESET_OPTIONS = ("image_size", "mean", "std", "interpolation", "crop_share")
OWN_OPTIONS = ("layers", *PRESET_OPTIONS)
_GRID_OPTIONS = ("layers", "grid_size", "resize", "mean", "std", "interpolation", "crop_share")  # not of a detector
# Options of FeaturesConfig that say which proposals of a detector become regions.
REGION_OPTIONS = ("min_regions", "max_regions", "region_score")


class FeaturesConfig(Section):
    """The CNN that turns an image into region features."""

    store: Path | None = None
    """The file; `.lmdb` makes an LMDB file. By default in `features/`, named after data set, backbone and settings."""
    format: Literal["hdf5", "lmdb"] = "hdf5"
    """`hdf5`: read by mapping, the fastest; `lmdb`: a value an image, only as long as its regions are many."""
    library: Literal["timm", "torchvision", "transformers", "imported", "none"] = "timm"
    """Where the backbone comes from. `transformers`: Hugging Face's vision models, by name or folder; `imported`: features are
    in `store`, from `vqa-rnn features import`; `none`: no images are read, each counts as one region of zeros, for text
    alone."""
    backbone: str = "tf_efficientnet_lite0"
    """Its name there, such as `resnet152` or `openai/clip-vit-base-patch32`; of transformers also a folder."""
    weights: str = "package"
    """`package`: from an installed Python package (the embedded default); `hub`: a download, the library's own choice;
    `hub:NAME`: those of this name, such as `hub:IMAGENET1K_V1` of torchvision, `hub:tv_in1k` of timm or a revision of
    transformers; else a file. Of a folder of transformers, `hub` means the weights in it."""
    layers: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the modules whose output is taken; several are pooled to one grid and joined by channel. By default the last one
    that gives more than one region."""
    output: Literal["grid", "pooled", "boxes", "regions"] = "grid"
    """`grid`: a region a grid cell; `pooled`: one, their mean; `boxes`: the whole image, then each box of the data set;
    `regions`: the whole image, then boxes that a detector proposes: Faster or Mask R-CNN of torchvision, DETR of
    transformers."""
    min_regions: int = Field(10, ge=0)
    """`output=regions`: take at least so many, as far as there are proposals. 10 to 100 is the adaptive number of bottom-up
    attention; 36 here and in `max_regions` is its fixed number."""
    max_regions: int = Field(100, ge=1)
    """`output=regions`: take at most so many."""
    region_score: float = Field(0.2, ge=0, le=1)
    """`output=regions`: of more than the fewest, take those of which the detector is as sure as this."""
    box_method: Literal["roi", "crop"] = "roi"
    """`roi`: the mean of the grid under a box (RoIAlign); `crop`: each box is cut out, scaled and seen by itself; slower."""
    grid_size: int | None = Field(None, ge=1)
    """Average the grid down to this many cells a side; by default the grid of the last layer."""
    image_size: int | None = Field(None, ge=16)
    """Height and width that images are scaled to, in pixels; by default those that the backbone was trained with."""
    resize: Literal["squash", "crop", "pad"] = "squash"
    """`squash`: ignore the shape of the image; `crop`: the middle square; `pad`: the whole image on a grey square."""
    interpolation: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] | None = None
    """How images are scaled; by default as the backbone was trained."""
    crop_share: float | None = Field(None, gt=0, le=1)
    """`resize=crop`: how much of the short side is kept, 1 is all of it; by default as the backbone was evaluated."""
    intensity: Intensity = "full"
    """Images of more than 8 bits. `full`: by the range of the pixels' type; `image`: each by its own darkest and lightest
    pixel, as medical images need, which use a small part of 16 bits."""
    mean: tuple[float, float, float] | None = None
    """Channel means for normalisation; by default the backbone's own."""
    std: tuple[Positive, Positive, Positive] | None = None
    """Channel deviations for normalisation; by default the backbone's own."""
    dtype: Literal["float16", "float32"] = "float16"
    """How features are stored."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """How the backbone computes. `auto`: bfloat16 where the processor has it and features stay within 1% of float32's, else
    float32; recorded in the store."""
    batch_rows: int | None = Field(None, ge=1)
    """Images a forward pass; by default as many as a cache holds, by the image's size and where it is computed."""
    compile: bool = False
    """Compile the backbone, which needs a C++ compiler and some seconds: pays for thousands of images and networks of many
    small steps, such as EfficientNet-Lite. Recorded in the store."""
    skip_damaged: bool = False
    """Go on past images that cannot be read and list them as failed; by default the first one stops the job."""

    @property
    def backbone_name(self) -> str:
        """What stores call the backbone: library and name; of transformers without the folder, or the owner, before it."""
        return f"{self.library}/{Path(self.backbone).name if self.library == 'transformers' else self.backbone}"

    @model_validator(mode="after")
    def _store_has_the_suffix(self) -> "FeaturesConfig":
        if self.store is not None and self.store.suffix not in (".h5", ".hdf5", ".lmdb", ".json"):
            raise ValueError(f"store={self.store} must end in .h5 or .lmdb, which says its format")
        if self.format == "lmdb" and self.store is not None and self.store.suffix not in (SUFFIXES["lmdb"], ".json"):
            raise ValueError(f"format=lmdb needs a store that ends in .lmdb, not store={self.store}")
        return self

    @model_validator(mode="after")
    def _imported_features_have_a_store(self) -> "FeaturesConfig":
        if self.library == "imported" and self.store is None:
            raise ValueError("library=imported needs store, the file that vqa-rnn features import wrote")
        return self

    @model_validator(mode="after")
    def _boxes_fit(self) -> "FeaturesConfig":
        if self.output == "boxes" and self.resize != "squash":
            raise ValueError("output=boxes needs resize=squash: a box must lie in the scaled image where it lay before")
        return self

    @model_validator(mode="after")
    def _regions_are_a_detectors(self) -> "FeaturesConfig":
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
    def _crop_share_is_for_crop(self) -> "FeaturesConfig":
        if self.crop_share is not None and self.resize != "crop":
            raise ValueError(f"crop_share is for resize=crop; resize={self.resize} keeps the whole image")
        return self
