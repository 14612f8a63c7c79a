"""All options: typed, frozen, validated. The defaults live here and nowhere else. `config_files.py` composes them."""

import hashlib
import itertools
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A part of the config. Every option carries its meaning as the text under it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class DatasetOptions(Section):
    """What every data set understands."""

    validation_fraction: float = Field(0.1, gt=0, lt=1)
    """Share of the training images kept apart for validation, where the source has no validation split of its own."""
    split_seed: int = Field(0, ge=0)
    """Seed of the split by image, and of the folds."""
    folds: int | None = Field(None, ge=2)
    """Cut the training images into this many parts for cross-validation; part `fold` then is the test split."""
    fold: int = Field(0, ge=0)
    """Which of the `folds` parts is the test split."""

    @property
    def place(self) -> Path | None:
        """The folder, or the one file, that holds the data set; None for one that is installed as a package."""
        return getattr(self, "root", None)

    @property
    def source(self) -> str:
        """Where the images come from, to tell feature stores apart."""
        return "" if self.place is None else str(self.place.resolve())

    @model_validator(mode="after")
    def _fold_exists(self) -> "DatasetOptions":
        if self.folds is None and self.fold > 0:
            raise ValueError(f"fold={self.fold} needs folds, the number of parts")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} does not exist: folds are numbered 0 to {self.folds - 1}")
        return self


class EasyVqaDataset(DatasetOptions):
    """easy-VQA, from the installed `easy-vqa` package: one coloured shape an image."""

    name: Literal["easy_vqa"] = "easy_vqa"
    multiple_choice: bool = False
    """Give each question up to four choices of the kind of its answer: 2 yes/no, 3 shapes, 4 colours."""


class DaquarDataset(DatasetOptions):
    """DAQUAR: photographs of rooms, human questions (Malinowski and Fritz 2014)."""

    name: Literal["daquar"] = "daquar"
    root: Path = Path("data/daquar")
    """Folder with the question files and the folder `images/`."""
    train_file: str = "qa.894.raw.train.txt"
    """The official training questions, inside `root`."""
    test_file: str = "qa.894.raw.test.txt"
    """The official test questions, inside `root`; needed only where the test split is asked for."""
    single_word: bool = True
    """Keep only the questions whose answer is one item, as the literature's single-word results do."""
    multiple_choice: bool = False
    """Give each question four choices, the decoys drawn so that the text alone says little."""


class VqaDataset(DatasetOptions):
    """VQA v1 and v2: COCO photographs, ten answers a question (Antol et al. 2015; Goyal et al. 2017)."""

    name: Literal["vqa"] = "vqa"
    version: Literal["v1", "v2"] = "v2"
    """`v1` (2015), or `v2` (2017), whose pairs of images are balanced."""
    task: Literal["open_ended", "multiple_choice"] = "open_ended"
    """`multiple_choice`: 18 choices a question, the answer among them; v1 alone has them."""
    root: Path = Path("data/vqa")
    """Folder with the official question and annotation files, and with `train2014/`, `val2014/` and `test2015/`."""
    test_split: Literal["test2015", "test-dev2015"] = "test2015"
    """Which official questions are the test split."""

    @model_validator(mode="after")
    def _choices_exist(self) -> "VqaDataset":
        if self.task == "multiple_choice" and self.version != "v1":
            raise ValueError("VQA v2 has no multiple choice: set version to v1, or task to open_ended")
        return self


class Visual7wDataset(DatasetOptions):
    """Visual7W: COCO photographs, four choices a question (Zhu et al. 2016)."""

    name: Literal["visual7w"] = "visual7w"
    task: Literal["telling", "pointing"] = "telling"
    """`telling`: the choices are texts; `pointing`: they are boxes in the image."""
    root: Path = Path("data/visual7w")
    """Folder with `dataset_v7w_telling.json` or `dataset_v7w_pointing.json`, and `images/`."""

    @property
    def source(self) -> str:
        """The folder and what the regions are made of."""
        return f"{super().source}/{self.task}"


class VisdialDataset(DatasetOptions):
    """Visual Dialog: COCO photographs, ten rounds an image, 100 choices a round (Das et al. 2017)."""

    name: Literal["visdial"] = "visdial"
    version: Literal["1.0", "0.9"] = "1.0"
    """The release; 0.9 has no test split and no graded relevance."""
    root: Path = Path("data/visdial")
    """Folder with the official files and the image folders."""
    train_file: str | None = None
    """Training dialogs, inside `root`; by default `visdial_VERSION_train.json`."""
    val_file: str | None = None
    """Validation dialogs, inside `root`; by default `visdial_VERSION_val.json`."""
    test_file: str | None = None
    """Test dialogs, inside `root`; by default `visdial_1.0_test.json`."""
    val_dense_file: str | None = None
    """Graded relevance of validation rounds; by default `visdial_1.0_val_dense_annotations.json`, where it is there."""
    test_dense_file: str | None = None
    """The same of test rounds, which generated dialogs have; by default `visdial_1.0_test_dense_annotations.json`, if there."""
    train_dense_file: str | None = None
    """Graded relevance of some training rounds; by default none is read."""


class ClevrDataset(DatasetOptions):
    """CLEVR: rendered scenes, compositional questions (Johnson et al. 2017)."""

    name: Literal["clevr"] = "clevr"
    root: Path = Path("data/CLEVR_v1.0")
    """Folder with the questions and the images."""
    questions: str = "questions/CLEVR_{split}_questions.json"
    """Where the questions of a split lie, inside `root`."""
    images: str = "images/{split}"
    """Where the images of a split lie, inside `root`."""


class ClevrDialogDataset(DatasetOptions):
    """CLEVR-Dialog: ten rounds with one-word answers about a CLEVR image (Kottur et al. 2019)."""

    name: Literal["clevr_dialog"] = "clevr_dialog"
    root: Path = Path("data/CLEVR_v1.0")
    """Folder with the dialogs and CLEVR's images."""
    dialogs: str = "clevr_dialog_{split}_raw.json"
    """Where the dialogs of a split lie, inside `root`."""
    images: str = "images/{split}"
    """Where the images of a split lie, inside `root`."""


class JsonlDataset(DatasetOptions):
    """Your own images and questions: one JSON object a line."""

    name: Literal["jsonl"] = "jsonl"
    path: Path = Path("questions.jsonl")
    """The file. Image paths in it are relative to its folder."""

    @property
    def place(self) -> Path:
        """The file."""
        return self.path


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


class TextConfig(Section):
    """Words and answers."""

    min_count: int = Field(1, ge=1)
    """Words seen less often in the training split become the unknown word. A caption and each round count once a dialog, a
    choice once in all."""
    max_tokens: int = Field(64, ge=1)
    """Longer texts are cut at their end; of an earlier question with its answer the question is cut."""
    min_answer_count: int = Field(1, ge=1)
    """Answers are left out of the answer vocabulary if fewer training questions than this have them as their most frequent."""
    max_answers: int | None = Field(None, ge=2)
    """Keep only this many answers, counted likewise."""


CellName = Literal["elman", "lstm", "gru", "gru_reset_before", "mut1", "mut2", "mut3", "nas", "highway", "residual"]


class RecurrentOptions(Section):
    """A recurrent network."""

    cell: CellName = "lstm"
    """The recurrent cell."""
    hidden_size: int = Field(256, ge=1)
    """Size of the recurrent state."""
    num_layers: int = Field(1, ge=1)
    """Layers of the recurrent network."""
    first_state: Literal["zero", "learned"] = "zero"
    """What a sequence begins with where nothing else is said: zeros, or vectors that are trained."""
    recurrent_start: Literal["uniform", "orthogonal"] = "uniform"
    """How the matrices between states start: between -1/sqrt(`hidden_size`) and 1/sqrt(`hidden_size`), or orthogonal."""
    forget_bias: float | None = None
    """`lstm`: bias of the forget gate at the start, 1 for gates that begin open; null draws it as other weights."""

    @model_validator(mode="after")
    def _forget_bias_is_for_lstm(self) -> "RecurrentOptions":
        if self.forget_bias is not None and self.cell != "lstm":
            raise ValueError(f"forget_bias is for cell=lstm; {self.cell} has no forget gate")
        return self

    def start(self) -> dict[str, Any]:
        """How the network starts.

        Returns:
            Keyword arguments of ``RecurrentNetwork``.
        """
        return self.model_dump(include={"first_state", "recurrent_start", "forget_bias"})


class TextEncoderConfig(RecurrentOptions):
    """Word embedding and recurrent network over a text."""

    embedding_size: int = Field(128, ge=1)
    """Size of a word vector."""
    embedding_std: float = Field(1.0, gt=0)
    """Word vectors start normally distributed around 0 with this deviation. Smaller ones learned less (docs/ablations.md)."""
    bidirectional: bool = False
    """Read the text in both directions, each with `hidden_size`."""
    pooling: Literal["last", "mean", "max", "all_states"] = "last"
    """The text vector: the last layer's last state, its mean or maximum over the words, or the last states of all layers."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on word vectors and on the text vector."""
    word_dropout: float = Field(0.0, ge=0, lt=1)
    """In training, replace words by the unknown word this often, so that the model knows what to make of it."""

    def with_cell(self, cell: CellName | None) -> "TextEncoderConfig":
        """The same with another cell.

        Args:
            cell: Its name; None keeps the cell.

        Returns:
            The options; a forget bias stays with an LSTM alone.
        """
        if cell is None:
            return self
        return self.model_copy(update={"cell": cell, "forget_bias": self.forget_bias if cell == "lstm" else None})


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


class NoAttention(Section):
    """The mean of the regions."""

    name: Literal["none"] = "none"


class TopDownAttention(Section):
    """One weight a region from the question (Anderson et al. 2018)."""

    name: Literal["top_down"] = "top_down"
    hidden_size: int = Field(256, ge=1)
    """Size of the layer that scores a region."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on that layer."""


class StackedAttention(Section):
    """Several looks at the regions, each led by what the last one saw (Yang et al. 2016)."""

    name: Literal["stacked"] = "stacked"
    hidden_size: int = Field(512, ge=1)
    """Size of the image vector, and of the layer that scores a region."""
    num_looks: int = Field(2, ge=1)
    """How many looks."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the layer that scores a region."""


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


class ClassifierHead(Section):
    """Scores every answer of the answer vocabulary."""

    name: Literal["classifier"] = "classifier"
    hidden_size: int | None = Field(512, ge=1)
    """Size of the layer before the answers; null goes from the joint vector to the answers at once."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on that layer."""
    loss: Literal["softmax", "sigmoid"] = "softmax"
    """`softmax`: one answer is right, its share given by what people said; `sigmoid`: each is right or not by itself."""
    unknown_answers: Literal["skip", "zero_target"] = "skip"
    """Training questions without an answer in the vocabulary. `skip`: they are left out; `zero_target`, for `sigmoid`: no
    answer is right."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """`softmax`: share of the target spread evenly over all answers."""

    @model_validator(mode="after")
    def _options_are_used(self) -> "ClassifierHead":
        _check_label_smoothing(self.label_smoothing, self.loss)
        if self.unknown_answers == "zero_target" and self.loss != "sigmoid":
            raise ValueError("unknown_answers=zero_target needs loss=sigmoid: a softmax says that one of the answers is right")
        if self.dropout > 0 and self.hidden_size is None:
            raise ValueError("dropout is for the hidden layer, and hidden_size=null leaves it out: set one of them")
        return self


def _check_label_smoothing(label_smoothing: float, loss: str) -> None:
    if label_smoothing > 0 and loss != "softmax":
        raise ValueError(f"label_smoothing is for loss=softmax; loss={loss} does not use it")


def _check_target(target: str, loss: str, choices: str) -> None:
    if target == "relevance" and (loss != "softmax" or choices != "texts"):
        raise ValueError("target=relevance needs loss=softmax and choices=texts: it is a share for each choice, and of texts")


def _check_cell(cell: str | None, choices: str) -> None:
    if cell is not None and choices != "texts":
        raise ValueError("cell reads choices that are texts: leave it out with choices=regions")


class ChoiceHead(Section):
    """Scores any number of choices by a product with the joint vector."""

    name: Literal["choice"] = "choice"
    choices: Literal["texts", "regions"] = "texts"
    """`regions`: pointing, each choice is a region of the image."""
    cell: CellName | None = None
    """The cell of the network that reads choices, else like the question's; null takes the question's."""
    loss: Literal["softmax", "sigmoid"] = "softmax"
    """`softmax`: one choice is right; `sigmoid`: each triplet of image, question and choice is right or not by itself."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """`softmax`: share of the target spread evenly over the choices."""
    target: Literal["truth", "relevance"] = "truth"
    """`truth`: the correct choice; `relevance`: what people judged, made to sum to 1; then only questions that were judged
    are trained on, and the best epoch is that of the highest NDCG."""

    @model_validator(mode="after")
    def _target_fits(self) -> "ChoiceHead":
        _check_target(self.target, self.loss, self.choices)
        _check_cell(self.cell, self.choices)
        _check_label_smoothing(self.label_smoothing, self.loss)
        return self


class MlpChoiceHead(Section):
    """Scores any number of choices by a layer over the joint vector and the choice (Jabri et al. 2016)."""

    name: Literal["mlp_choice"] = "mlp_choice"
    choices: Literal["texts", "regions"] = "texts"
    """`regions`: pointing, each choice is a region of the image."""
    cell: CellName | None = None
    """The cell of the network that reads choices, else like the question's; null takes the question's."""
    hidden_size: int = Field(1024, ge=1)
    """Size of the layer."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on that layer."""
    loss: Literal["softmax", "sigmoid"] = "sigmoid"
    """`sigmoid`: each triplet of image, question and choice is right or not by itself; `softmax`: one choice is right."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """`softmax`: share of the target spread evenly over the choices."""
    target: Literal["truth", "relevance"] = "truth"
    """`truth`: the correct choice; `relevance`: what people judged, made to sum to 1; then only questions that were judged
    are trained on, and the best epoch is that of the highest NDCG."""

    @model_validator(mode="after")
    def _target_fits(self) -> "MlpChoiceHead":
        _check_target(self.target, self.loss, self.choices)
        _check_cell(self.cell, self.choices)
        _check_label_smoothing(self.label_smoothing, self.loss)
        return self


class GenerativeHead(RecurrentOptions):
    """Writes an answer word by word, and scores a choice by how probable it is to be written (Das et al. 2017)."""

    name: Literal["generative"] = "generative"
    conditioning: Literal["first_state", "every_step"] = "first_state"
    """Where the joint vector enters: `first_state`, where writing begins; `every_step`, beside each word."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the words that are read, and on the states that words are predicted from."""
    max_tokens: int = Field(20, ge=1)
    """Most words of a text that is written."""

    @model_validator(mode="after")
    def _first_state_is_used(self) -> "GenerativeHead":
        if self.first_state == "learned" and self.conditioning == "first_state":
            raise ValueError("first_state=learned needs conditioning=every_step: else the joint vector is the first state")
        return self

    @model_validator(mode="before")
    @classmethod
    def _writes_forwards(cls, options: Any) -> Any:
        if isinstance(options, dict) and "bidirectional" in options:
            raise ValueError("a decoder writes from the first word to the last: it cannot be bidirectional")
        return options


class AdamWOptimizer(Section):
    """Adam with decoupled weight decay."""

    name: Literal["adamw"] = "adamw"
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Decay of the running means of gradients and of their squares."""


class AdamOptimizer(Section):
    """Adam."""

    name: Literal["adam"] = "adam"
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Decay of the running means of gradients and of their squares."""


class AdamaxOptimizer(Section):
    """Adam by the infinity norm; what the bottom-up top-down model was trained with."""

    name: Literal["adamax"] = "adamax"
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Decay of the running mean of gradients and of their largest size."""


class SgdOptimizer(Section):
    """Stochastic gradient descent."""

    name: Literal["sgd"] = "sgd"
    momentum: Share = 0.9
    """Share of the last step that is taken again."""
    nesterov: bool = False
    """Look ahead along the momentum."""

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> "SgdOptimizer":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class CosineSchedule(Section):
    """Warm-up, then down to 0 along a cosine."""

    name: Literal["cosine"] = "cosine"
    warmup_fraction: Share = 0.05
    """Share of all steps in which the learning rate rises along a line."""


def _rising(milestones: tuple[float, ...]) -> tuple[float, ...]:
    if any(later <= earlier for earlier, later in itertools.pairwise(milestones)):
        raise ValueError("each milestone must lie after the one before it")
    return milestones


class StepSchedule(Section):
    """Warm-up, then a drop at each milestone."""

    name: Literal["steps"] = "steps"
    warmup_fraction: Share = 0.05
    """Share of all steps in which the learning rate rises along a line."""
    milestones: Annotated[tuple[Positive, ...], AfterValidator(_rising)] = (10.0, 15.0)
    """Epochs after which it drops, in rising order; fractions are allowed."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """What it is multiplied by."""


class ConstantSchedule(Section):
    """Warm-up, then always the same."""

    name: Literal["constant"] = "constant"
    warmup_fraction: Share = 0.0
    """Share of all steps in which the learning rate rises along a line."""


Optimizer = Annotated[AdamWOptimizer | AdamOptimizer | AdamaxOptimizer | SgdOptimizer, Field(discriminator="name")]
Schedule = Annotated[CosineSchedule | StepSchedule | ConstantSchedule, Field(discriminator="name")]
Attention = Annotated[NoAttention | TopDownAttention | StackedAttention, Field(discriminator="name")]
History = Annotated[
    NoHistory | LateFusionHistory | HierarchicalHistory | HierarchicalAttentionHistory | MemoryHistory,
    Field(discriminator="name"),
]
Fusion = Annotated[ConcatFusion | ProductFusion, Field(discriminator="name")]
Head = Annotated[ClassifierHead | ChoiceHead | MlpChoiceHead | GenerativeHead, Field(discriminator="name")]
Dataset = Annotated[
    EasyVqaDataset
    | VqaDataset
    | Visual7wDataset
    | VisdialDataset
    | ClevrDataset
    | ClevrDialogDataset
    | DaquarDataset
    | JsonlDataset,
    Field(discriminator="name"),
]


class ModelConfig(Section):
    """From features and tokens to scores."""

    question: TextEncoderConfig = TextEncoderConfig()
    """How questions and choices are read."""
    history: History = NoHistory()
    """How a dialog's history is read."""
    attention: Attention = NoAttention()
    """How regions become one image vector."""
    fusion: Fusion = ProductFusion()
    """How question and image become one joint vector."""
    head: Head = ClassifierHead()
    """How the joint vector becomes an answer. It owns the loss."""
    feature_scaling: Literal["standardise", "unit"] = "standardise"
    """`standardise`: each channel by its mean and deviation over the training images; `unit`: each region to length 1."""
    geometry: bool = False
    """Add to each region where it lies: its corners and its area. Regions without boxes count as the cells of a square grid."""
    feature_dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the region features."""
    ablate: Literal["none", "question_only", "image_only", "choices_only"] = "none"
    """Train without a part: `question_only` sees no image, `image_only` no question, `choices_only` neither."""

    @model_validator(mode="after")
    def _history_fits_the_question(self) -> "ModelConfig":
        other = getattr(self.history, "cell", None)
        if self.question.pooling == "all_states" and other not in (None, self.question.cell):
            raise ValueError(
                "question.pooling=all_states makes vectors of a size that is its cell's own: leave out history.cell"
            )
        return self


def _in_order(steps: tuple[int, int]) -> tuple[int, int]:
    if not 1 <= steps[0] <= steps[1]:
        raise ValueError("the first step and the last are needed, such as [20, 30]")
    return steps


class TrainingConfig(Section):
    """The optimisation."""

    start_from: Path | None = None
    """Begin with the weights, words and answers of this run, as for dense fine-tuning; null begins with random weights."""
    batch_size: int = Field(256, ge=1)
    """Questions an optimizer step, over all processes."""
    accumulation: int = Field(1, ge=1)
    """Compute a step's questions in this many parts, one after the other, to save memory. The gradient stays the same."""
    group_by_image: bool = True
    """Keep the questions of an image together in a batch, which is quicker; `false` shuffles every question by itself, as most
    published code does, so that a batch holds many more images."""
    max_epochs: int = Field(20, ge=1)
    """Passes over the training questions."""
    learning_rate: float = Field(2e-3, gt=0)
    """Peak learning rate."""
    weight_decay: float = Field(0.01, ge=0)
    """Weight decay, on weight matrices alone."""
    optimizer: Optimizer = AdamWOptimizer()
    """How gradients become steps."""
    schedule: Schedule = CosineSchedule()
    """How the learning rate changes."""
    clip_norm: float | None = Field(1.0, gt=0)
    """Largest norm of the whole gradient; null switches it off."""
    clip_value: float | None = Field(None, gt=0)
    """Largest size of each number in the gradient, before `clip_norm`; null switches it off."""
    precision: Literal["auto", "float32", "tf32", "bfloat16", "float16", "float64"] = "auto"
    """`auto`: bfloat16 by autocast on a GPU that has it, and for a large model on a CPU with AMX; else float32. On a GPU
    `float32` is exact; `tf32` rounds the inputs of products to 10 bits, and so do recurrent layers within `bfloat16`."""
    num_threads: int | None = Field(None, ge=1)
    """Threads of a training process on a CPU; null: OMP_NUM_THREADS, else by the size of the model and the batch. A resumed run
    keeps the number that it began with."""
    compile: bool = False
    """Compile the model with torch.compile. The first steps take minutes."""
    ema_decay: float | None = Field(None, gt=0, lt=1)
    """Evaluate and keep an exponential moving average of the weights, with this decay a step; null switches it off."""
    patience: int | None = Field(None, ge=1)
    """Stop after this many epochs without a better validation score; null trains all epochs."""
    num_workers: int | None = Field(None, ge=0)
    """Loader processes, for each training process; 0 loads between the steps. null: none on a CPU; on a GPU 2 where features
    are there already, and 4 where they come along."""
    features_on: Literal["auto", "host", "device"] = "auto"
    """Where features are while a GPU trains. `device`: all are copied to its memory first; `host`: each batch brings its own;
    `auto`: `device` where they take no more than half of what is free. The result is the same."""
    checkpoint_minutes: float | None = Field(10.0, gt=0)
    """Save the full state this often, besides at the end of every epoch; null saves at the end of epochs alone."""
    keep: Literal["best", "last"] = "best"
    """The weights that a run answers with: those of the best validation score, or those of the last epoch."""
    keep_checkpoints: int = Field(2, ge=1)
    """Full states kept, the newest, besides the weights that the run answers with."""
    log_steps: int = Field(50, ge=1)
    """Steps between lines with the training loss in `metrics.jsonl`."""
    profile_steps: Annotated[tuple[int, int], AfterValidator(_in_order)] | None = None
    """Record these steps, such as [20, 30], with torch's profiler into the run folder's `profile/`."""

    @model_validator(mode="after")
    def _parts_have_questions(self) -> "TrainingConfig":
        if self.accumulation > self.batch_size:
            raise ValueError(f"accumulation={self.accumulation} cuts a batch of batch_size={self.batch_size} into empty parts")
        return self


class EvaluationConfig(Section):
    """How a model is measured."""

    batch_size: int = Field(1024, ge=1)
    """Questions a forward pass."""
    bootstrap_samples: int = Field(1000, ge=10)
    """Resamples of the images for 95% intervals."""
    prefix_words: int = Field(3, ge=1)
    """Words of the question that the question-prefix floor looks at."""


class RunConfig(Section):
    """Where a run lives and what makes it repeatable."""

    name: str | None = None
    """Name of the run folder; by default the name of the config."""
    folder: Path = Path("runs")
    """Folder that holds the run folders."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of the weights, the order of batches and dropout."""
    device: str = "auto"
    """`auto`: a GPU if there is one; or `cpu`, `cuda`, `cuda:1`, … Under torchrun or SLURM each process takes its own GPU."""
    deterministic: bool = False
    """Use deterministic algorithms alone, so that a GPU repeats a run bit for bit; slower. A CPU does so in any case."""


class Config(Section):
    """Everything about a run."""

    dataset: Dataset = EasyVqaDataset()
    """Questions and images."""
    features: FeaturesConfig = FeaturesConfig()
    """Images to features."""
    text: TextConfig = TextConfig()
    """Words and answers."""
    model: ModelConfig = ModelConfig()
    """Features and tokens to scores."""
    training: TrainingConfig = TrainingConfig()
    """Scores to weights."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Weights to figures."""
    run: RunConfig = RunConfig()
    """Where it all lies."""

    @model_validator(mode="after")
    def _one_region_needs_no_attention(self) -> "Config":
        pooled = self.features.output == "pooled"
        if not pooled and self.features.library != "none":
            return self
        source = "features.output=pooled" if pooled else "features.library=none"
        if self.model.attention.name != "none":
            raise ValueError(
                f"{source} gives one region an image: there is nothing to attend to; set model.attention.name=none "
                f"(given: {self.model.attention.name})"
            )
        if self.model.geometry:
            raise ValueError(f"{source} gives one region an image: set model.geometry=false (given: true)")
        return self


def store_path(config: Config) -> Path:
    """Where the features of a config lie.

    Args:
        config: The config.

    Returns:
        ``features.store``, or a name in ``features/`` that tells data set, backbone and settings apart.
    """
    features = config.features
    if features.store is not None:
        return features.store
    how_kept = {"store", "format", "precision", "batch_rows", "compile", "skip_damaged"}  # these do not change what is in it
    if features.output != "boxes":
        how_kept.add("box_method")
    if features.output != "regions":
        how_kept.update(REGION_OPTIONS)
    settings = json.dumps([_movable(config.dataset.source), features.model_dump(mode="json", exclude=how_kept)], sort_keys=True)
    digest = hashlib.sha256(settings.encode()).hexdigest()[:8]
    backbone = re.sub(r"[^\w.-]+", "-", features.backbone).strip("-")[-80:]
    return Path("features") / f"{config.dataset.name}-{backbone}-{digest}{SUFFIXES[features.format]}"


def _movable(place: str) -> str:
    """A place relative to the working directory if it lies inside: then it stays the same when all of that is moved."""
    here = Path.cwd().resolve()
    return Path(place).relative_to(here).as_posix() if place and Path(place).is_relative_to(here) else place


def run_path(config: Config) -> Path:
    """The run folder of a config.

    Args:
        config: The config.

    Returns:
        ``run.folder`` / ``run.name``.
    """
    return config.run.folder / (config.run.name or "unnamed")
