"""The section ``dataset``: where questions and images come from."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from vqa_rnn.config.section import Section


class Nouns(NamedTuple):
    """What the records of a data set are called in logs, tables and messages, in the plural.

    Attributes:
        records: What a split consists of, and what is evaluated.
        examples: What training learns from.
        answers: What people say about the records, and what a model gives.
    """

    records: str
    examples: str
    answers: str


class DatasetOptions(Section):
    """Options of every data set."""

    has_captions: ClassVar[bool] = False
    """Whether the answers are captions, which a model has to write."""
    validation_fraction: float = Field(0.1, gt=0, lt=1)
    """Share of the training images held out for validation if the data set has no validation split."""
    split_seed: int = Field(0, ge=0)
    """Seed of the validation split and of the folds."""
    folds: int | None = Field(None, ge=2)
    """Split the training images into this many folds for cross-validation; fold number `fold` becomes the test split."""
    fold: int = Field(0, ge=0)
    """Which of the folds is the test split, counted from 0."""

    @classmethod
    def nouns(cls) -> Nouns:
        """Return what the records are called.

        Returns:
            Questions with answers, or images with captions. Training reads one caption at a time.
        """
        return Nouns("images", "captions", "captions") if cls.has_captions else Nouns("questions", "questions", "answers")

    @property
    def place(self) -> Path | None:
        """The folder or file of the data set; None if it is installed as a package."""
        return getattr(self, "root", None)

    @property
    def source(self) -> str:
        """Where the images come from, used to tell feature stores apart."""
        return "" if self.place is None else str(self.place.resolve())

    @property
    def variant(self) -> dict[str, str]:
        """Release, task or language of the data set, for the signature of a score."""
        return {}

    def with_all_questions(self) -> Self:
        """Return the options that select the questions of a submission, also those that training leaves out."""
        return self

    @model_validator(mode="after")
    def _check_fold(self) -> "DatasetOptions":
        if self.folds is None and self.fold > 0:
            raise ValueError(f"fold={self.fold} needs folds, the number of parts")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} does not exist: folds are numbered 0 to {self.folds - 1}")
        return self


class EasyVqaDataset(DatasetOptions):
    """easy-VQA, from the installed `easy-vqa` package: one coloured shape per image."""

    name: Literal["easy_vqa"] = "easy_vqa"
    multiple_choice: bool = False
    """Give each question choices of the same kind as its answer: 2 for yes/no, 3 shapes or 4 colours."""


class DaquarDataset(DatasetOptions):
    """DAQUAR: photographs of rooms, human questions (Malinowski and Fritz 2014)."""

    name: Literal["daquar"] = "daquar"
    root: Path = Path("data/daquar")
    """Folder with the question files and the folder `images/`."""
    train_file: str = "qa.894.raw.train.txt"
    """The official training questions, inside `root`."""
    test_file: str = "qa.894.raw.test.txt"
    """The official test questions, inside `root`; needed only for the test split."""
    single_word: bool = True
    """Keep only the questions whose answer is a single item, as for the single-word results in the literature."""
    multiple_choice: bool = False
    """Give each question four choices. The decoys are drawn so that they are hard to tell apart without the image."""

    def with_all_questions(self) -> Self:
        """Keep the questions with several answers: the official evaluation compares the files line by line."""
        return self.model_copy(update={"single_word": False})


class VqaDataset(DatasetOptions):
    """VQA v1 and v2: COCO photographs, ten answers per question (Antol et al. 2015; Goyal et al. 2017)."""

    name: Literal["vqa"] = "vqa"
    version: Literal["v1", "v2"] = "v2"
    """`v1` (2015), or `v2` (2017), which is balanced by pairs of images."""
    task: Literal["open_ended", "multiple_choice"] = "open_ended"
    """`multiple_choice`: 18 choices per question, one of them the answer; only in v1."""
    root: Path = Path("data/vqa")
    """Folder with the official question and annotation files, and with `train2014/`, `val2014/` and `test2015/`."""
    test_split: Literal["test2015", "test-dev2015"] = "test2015"
    """Which official question file is the test split."""
    extra: Path | None = None
    """Folder with Visual Genome's `question_answers.json` and `image_data.json`: also train on its questions about the training
    images."""

    @property
    def variant(self) -> dict[str, str]:
        """The release and the task."""
        return {"release": self.version, "task": self.task}

    def with_all_questions(self) -> Self:
        """Leave out ``extra``: a submission answers only VQA's own questions."""
        return self.model_copy(update={"extra": None})

    @model_validator(mode="after")
    def _check_choices(self) -> "VqaDataset":
        if self.task == "multiple_choice" and self.version != "v1":
            raise ValueError("VQA v2 has no multiple choice: set version to v1, or task to open_ended")
        if self.task == "multiple_choice" and self.extra is not None:
            raise ValueError("the questions of dataset.extra have no choices: set task to open_ended")
        return self


class Visual7wDataset(DatasetOptions):
    """Visual7W: COCO photographs, four choices per question (Zhu et al. 2016)."""

    name: Literal["visual7w"] = "visual7w"
    task: Literal["telling", "pointing"] = "telling"
    """`telling`: the choices are texts; `pointing`: the choices are boxes in the image."""
    root: Path = Path("data/visual7w")
    """Folder with `dataset_v7w_telling.json` or `dataset_v7w_pointing.json`, and `images/`."""

    @property
    def source(self) -> str:
        """The folder and the task: the tasks use different regions."""
        return f"{super().source}/{self.task}"

    @property
    def variant(self) -> dict[str, str]:
        """The task."""
        return {"task": self.task}


class VisdialDataset(DatasetOptions):
    """Visual Dialog: COCO photographs, ten rounds per image, 100 choices per round (Das et al. 2017)."""

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
    """Graded relevance of validation rounds; by default `visdial_1.0_val_dense_annotations.json`, if it exists."""
    test_dense_file: str | None = None
    """Graded relevance of test rounds, which generated dialogs have; by default `visdial_1.0_test_dense_annotations.json`, if
    it exists."""
    train_dense_file: str | None = None
    """Graded relevance of some training rounds; by default no file is read."""

    @property
    def variant(self) -> dict[str, str]:
        """The release."""
        return {"release": self.version}


class ClevrDataset(DatasetOptions):
    """CLEVR: rendered scenes, compositional questions (Johnson et al. 2017)."""

    name: Literal["clevr"] = "clevr"
    root: Path = Path("data/CLEVR_v1.0")
    """Folder with the questions and the images."""
    questions: str = "questions/CLEVR_{split}_questions.json"
    """The question file of a split, inside `root`."""
    images: str = "images/{split}"
    """The image folder of a split, inside `root`."""


class ClevrDialogDataset(DatasetOptions):
    """CLEVR-Dialog: ten rounds with one-word answers about a CLEVR image (Kottur et al. 2019)."""

    name: Literal["clevr_dialog"] = "clevr_dialog"
    root: Path = Path("data/CLEVR_v1.0")
    """Folder with the dialogs and CLEVR's images."""
    dialogs: str = "clevr_dialog_{split}_raw.json"
    """The dialog file of a split, inside `root`."""
    images: str = "images/{split}"
    """The image folder of a split, inside `root`."""


class VqaRadDataset(DatasetOptions):
    """VQA-RAD: radiology images, open and closed questions by clinicians (Lau et al. 2018)."""

    name: Literal["vqa_rad"] = "vqa_rad"
    root: Path = Path("data/vqa_rad")
    """Folder with `trainset.json`, `testset.json` and `images/`, or with the authors' single file and its image folder."""
    validation_cut: Literal["image", "question"] = "image"
    """How validation is split from the training questions. `image`: no image is shared with train; `question`: images may be
    shared, as in the official test split."""


class SlakeDataset(DatasetOptions):
    """SLAKE: radiology images, open and closed questions in English and Chinese (Liu et al. 2021)."""

    name: Literal["slake"] = "slake"
    root: Path = Path("data/slake")
    """Folder with the official question files and `imgs/`."""
    language: Literal["en", "zh", "both"] = "en"
    """Language of the questions."""

    @property
    def variant(self) -> dict[str, str]:
        """The language."""
        return {"language": self.language}


class JsonlDataset(DatasetOptions):
    """Your own images and questions: JSON lines, a JSON array or a CSV table."""

    name: Literal["jsonl"] = "jsonl"
    path: Path = Path("questions.jsonl")
    """The question file: `.jsonl`, `.json`, `.csv` or `.tsv`, or one of them with `.gz`. Image paths in it are relative to its
    folder."""

    @property
    def place(self) -> Path:
        """The file."""
        return self.path


class CaptionsDataset(DatasetOptions):
    """Your own images with captions: JSON lines or a JSON array."""

    has_captions: ClassVar[bool] = True
    name: Literal["captions"] = "captions"
    path: Path = Path("captions.jsonl")
    """The file, with `image`, `captions` and optionally `split` in each record. Image paths are relative to its folder."""

    @property
    def place(self) -> Path:
        """The file."""
        return self.path


class CocoCaptionsDataset(DatasetOptions):
    """COCO captions: photographs with five captions each (Chen et al. 2015)."""

    has_captions: ClassVar[bool] = True
    name: Literal["coco_captions"] = "coco_captions"
    root: Path = Path("data/coco")
    """Folder with the caption files and with `train2014/` and `val2014/`."""
    split_file: str | None = "dataset_coco.json"
    """Karpathy's split file, inside `root`, which has the captions and the splits of most papers. null reads the official
    files."""
    annotations: str = "annotations/captions_{split}2014.json"
    """The official caption file of a split, inside `root`; with `split_file=null`."""

    @property
    def variant(self) -> dict[str, str]:
        """Whose splits."""
        return {"splits": "official" if self.split_file is None else "karpathy"}


class Flickr8kDataset(DatasetOptions):
    """Flickr8k: photographs with five captions each (Hodosh et al. 2013)."""

    has_captions: ClassVar[bool] = True
    name: Literal["flickr8k"] = "flickr8k"
    root: Path = Path("data/flickr8k")
    """Folder with the caption files and the images."""
    images: str = "Flicker8k_Dataset"
    """The image folder, inside `root`; the official archive spells it so."""
    split_file: str | None = None
    """Karpathy's split file, such as `dataset_flickr8k.json`, inside `root`. null reads the official files
    `Flickr8k.token.txt` and `Flickr_8k.trainImages.txt`, `.devImages.txt` and `.testImages.txt`."""


class Flickr30kDataset(DatasetOptions):
    """Flickr30k: photographs with five captions each (Young et al. 2014)."""

    has_captions: ClassVar[bool] = True
    name: Literal["flickr30k"] = "flickr30k"
    root: Path = Path("data/flickr30k")
    """Folder with the caption files and the images."""
    images: str = "flickr30k-images"
    """The image folder, inside `root`."""
    split_file: str | None = "dataset_flickr30k.json"
    """Karpathy's split file, inside `root`. null reads the official file `results_20130124.token`, which has no splits."""


class VisdialCaptionsDataset(VisdialDataset):
    """The captions of Visual Dialog, one per image; its rounds are left out."""

    has_captions: ClassVar[bool] = True
    name: Literal["visdial_captions"] = "visdial_captions"  # type: ignore[assignment]


class ClevrDialogCaptionsDataset(ClevrDialogDataset):
    """The captions of CLEVR-Dialog, up to five per image; its rounds are left out."""

    has_captions: ClassVar[bool] = True
    name: Literal["clevr_dialog_captions"] = "clevr_dialog_captions"  # type: ignore[assignment]


Dataset = Annotated[
    EasyVqaDataset
    | VqaDataset
    | Visual7wDataset
    | VisdialDataset
    | ClevrDataset
    | ClevrDialogDataset
    | DaquarDataset
    | VqaRadDataset
    | SlakeDataset
    | JsonlDataset
    | CaptionsDataset
    | CocoCaptionsDataset
    | Flickr8kDataset
    | Flickr30kDataset
    | VisdialCaptionsDataset
    | ClevrDialogCaptionsDataset,
    Field(discriminator="name"),
]
