"""Links, sizes and published hashes of the official files.

The links come from the pages and code bases named here. None of them was tested when this table was written, and several of
the servers are old. Each data set therefore names a web page to use if a link is dead. A hash is listed with its source. A file
without a published hash is "unverified"; the hash of the downloaded file is recorded in ``downloads.json``, and ``check``
compares with it. Sizes are for planning only: no file is refused because of its size.

Sources of hashes and sizes:

- ParlAI, ``parlai/tasks/{vqa_v1,vqa_v2,visdial}/build.py`` at github.com/facebookresearch/ParlAI
- TensorFlow Datasets, ``tensorflow_datasets/url_checksums/{coco,clevr}.txt`` at github.com/tensorflow/datasets
- sizes of VQA v2's files: public scripts that list them next to ParlAI's hashes
- sizes of VisDial's images: the copies in the data set ``jxu124/visdial`` at huggingface.co. Their hashes are not used, because
  nothing shows that the copies are the official files
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from vqa_rnn.config import ClevrDataset, DaquarDataset, SlakeDataset, VisdialDataset, Visual7wDataset, VqaDataset, VqaRadDataset
from vqa_rnn.errors import UserError
from vqa_rnn.files import unknown_name

UNVERIFIED = "unverified"
PARLAI = "ParlAI build.py"
TFDS = "TensorFlow Datasets url_checksums"


@dataclass(frozen=True)
class Wanted:
    """A file or image folder that a reader needs.

    Attributes:
        path: Path relative to the folder of the data set.
        num_images: Number of images in the folder; None for a file.
        inside: Path in the archive, below any top-level folder; defaults to ``path``.
        also: Other published names, which the reader accepts as well.
    """

    path: str
    num_images: int | None = None
    inside: str | None = None
    also: tuple[str, ...] = ()

    @property
    def name_inside(self) -> str:
        """Path in the archive."""
        return self.inside or self.path


@dataclass(frozen=True)
class OfficialFile:
    """A file on a server: an archive, or a file that is used as it is.

    Attributes:
        urls: URLs of the file; the next one is tried if one fails.
        unpacks: Files and folders that are taken from it.
        images: Whether it is downloaded only if images are requested.
        size: Size in bytes, if known.
        sha256: Published SHA-256 hash, if there is one.
        hash_source: Publisher of the hash, or ``unverified``.
        saved_as: Local file name, if the URL does not end in one.
    """

    urls: tuple[str, ...]
    unpacks: tuple[Wanted, ...]
    images: bool = False
    size: int | None = None
    sha256: str | None = None
    hash_source: str = UNVERIFIED
    saved_as: str | None = None

    @property
    def name(self) -> str:
        """Local file name."""
        return self.saved_as or PurePosixPath(urlsplit(self.urls[0]).path).name

    @property
    def is_archive(self) -> bool:
        """Whether the file must be unpacked."""
        return self.name.endswith((".zip", ".tar"))


@dataclass(frozen=True)
class OfficialDataset:
    """A data set as published by its authors.

    Attributes:
        title: Name of the data set in prose.
        folder: Default folder of its reader.
        page: Web page with the files.
        terms: Licence or terms of use.
        files: The files, annotations first.
        note: Further information, one sentence.
    """

    title: str
    folder: Path
    page: str
    terms: str
    files: tuple[OfficialFile, ...]
    note: str = ""


_VQA_SERVER = "https://s3.amazonaws.com/cvmlp/vqa/mscoco/vqa"
_VQA_TERMS = "By downloading you agree to the terms of use linked on the page; the COCO images are under Flickr's terms of use"
_COCO_SERVER = "http://images.cocodataset.org/zips"

_TRAIN2014 = OfficialFile(
    urls=(f"{_COCO_SERVER}/train2014.zip",),
    unpacks=(Wanted("train2014", num_images=82_783),),
    images=True,
    size=13_510_573_713,
    sha256="ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
    hash_source=TFDS,
)
_VAL2014 = OfficialFile(
    urls=(f"{_COCO_SERVER}/val2014.zip",),
    unpacks=(Wanted("val2014", num_images=40_504),),
    images=True,
    size=6_645_013_297,
    sha256="fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0",
    hash_source=TFDS,
)
_TEST2015 = OfficialFile(
    urls=(f"{_COCO_SERVER}/test2015.zip",),
    unpacks=(Wanted("test2015", num_images=81_434),),
    images=True,
    size=13_270_587_935,
    sha256="1a2aa896b81140a850a78fa8bff07d455698d2abf364ff05721763458a8101ca",
    hash_source=TFDS,
)


def _published(archive: str, sha256: str, *paths: str, size: int | None = None) -> OfficialFile:
    return OfficialFile((archive,), tuple(map(Wanted, paths)), size=size, sha256=sha256, hash_source=PARLAI)


_VQA1 = (
    _published(
        f"{_VQA_SERVER}/Questions_Train_mscoco.zip",
        "c3b2bb6155528eeae95e0a914af394d6f0d98f8f2b51012c44b27778e1a96707",
        "OpenEnded_mscoco_train2014_questions.json",
        "MultipleChoice_mscoco_train2014_questions.json",
    ),
    _published(
        f"{_VQA_SERVER}/Questions_Val_mscoco.zip",
        "e8839be5de2d711989bf0adc82e6717d1ce307d27c9b1dfb0abf413b79a5d4d0",
        "OpenEnded_mscoco_val2014_questions.json",
        "MultipleChoice_mscoco_val2014_questions.json",
    ),
    _published(
        f"{_VQA_SERVER}/Questions_Test_mscoco.zip",
        "bd080c297fc863bf8258caa4864d3b5afab29373375a6637f8546338291e28c0",
        "OpenEnded_mscoco_test2015_questions.json",
        "OpenEnded_mscoco_test-dev2015_questions.json",
        "MultipleChoice_mscoco_test2015_questions.json",
        "MultipleChoice_mscoco_test-dev2015_questions.json",
    ),
    _published(
        f"{_VQA_SERVER}/Annotations_Train_mscoco.zip",
        "a5f5f97c162a4ad44896be08bac6deaa258aa3fec281afcc84fe85ae44cb1ebc",
        "mscoco_train2014_annotations.json",
    ),
    _published(
        f"{_VQA_SERVER}/Annotations_Val_mscoco.zip",
        "29377c35186d90aeab3e61bdad890f51215d1f88b700bd22ef19004d73bf284f",
        "mscoco_val2014_annotations.json",
    ),
)

_VQA2 = (
    _published(
        f"{_VQA_SERVER}/v2_Questions_Train_mscoco.zip",
        "05a64b6e2582d06d7585f5429674a9a33851878be1bff9f8668cdcf792df611e",
        "v2_OpenEnded_mscoco_train2014_questions.json",
        size=7_239_401,
    ),
    _published(
        f"{_VQA_SERVER}/v2_Questions_Val_mscoco.zip",
        "e71f6c5c3e97a51d050f28243e262b28cd0c48d11a6b4632d769d30d3f93222a",
        "v2_OpenEnded_mscoco_val2014_questions.json",
        size=3_494_929,
    ),
    _published(
        f"{_VQA_SERVER}/v2_Questions_Test_mscoco.zip",
        "982e2e687a86514b78ea83af356d151976c5e3fb4168a29ca543610574082ad7",
        "v2_OpenEnded_mscoco_test2015_questions.json",
        "v2_OpenEnded_mscoco_test-dev2015_questions.json",
    ),
    _published(
        f"{_VQA_SERVER}/v2_Annotations_Train_mscoco.zip",
        "fb101bcefe91422c543c2bb6d70af11eb3119d0ff745ae283d09acdf66250853",
        "v2_mscoco_train2014_annotations.json",
        size=21_708_861,
    ),
    _published(
        f"{_VQA_SERVER}/v2_Annotations_Val_mscoco.zip",
        "0caae7c8d1dafd852727f5ac046bc1efca9b72026bd6ffa34fc489f3a7b3291e",
        "v2_mscoco_val2014_annotations.json",
        size=10_518_930,
    ),
)

_V7W_SERVER = "https://ai.stanford.edu/~yukez/papers/resources"
_VISUAL7W = (
    OfficialFile((f"{_V7W_SERVER}/dataset_v7w_telling.zip",), (Wanted("dataset_v7w_telling.json"),)),
    OfficialFile((f"{_V7W_SERVER}/dataset_v7w_pointing.zip",), (Wanted("dataset_v7w_pointing.json"),)),
    OfficialFile(
        ("http://vision.stanford.edu/yukezhu/visual7w_images.zip",), (Wanted("images", num_images=47_300),), images=True
    ),
)

_VISDIAL = (
    OfficialFile(
        ("https://www.dropbox.com/s/ix8keeudqrd8hn8/visdial_1.0_train.zip?dl=1",), (Wanted("visdial_1.0_train.json"),)
    ),
    OfficialFile(("https://www.dropbox.com/s/ibs3a0zhw74zisc/visdial_1.0_val.zip?dl=1",), (Wanted("visdial_1.0_val.json"),)),
    OfficialFile(("https://www.dropbox.com/s/o7mucbre2zm7i5n/visdial_1.0_test.zip?dl=1",), (Wanted("visdial_1.0_test.json"),)),
    OfficialFile(
        ("https://www.dropbox.com/s/3knyk09ko4xekmc/visdial_1.0_val_dense_annotations.json?dl=1",),
        (Wanted("visdial_1.0_val_dense_annotations.json"),),
    ),
    _TRAIN2014,
    _VAL2014,
    OfficialFile(
        ("https://www.dropbox.com/s/twmtutniktom7tu/VisualDialog_val2018.zip?dl=1",),
        (Wanted("VisualDialog_val2018", num_images=2_064),),
        images=True,
        size=331_430_399,
    ),
    OfficialFile(
        ("https://www.dropbox.com/s/mwlrg31hx0430mt/VisualDialog_test2018.zip?dl=1",),
        (Wanted("VisualDialog_test2018", num_images=8_000),),
        images=True,
        size=1_285_499_338,
    ),
)

# The hashes are of the copies on the second, older server; later code bases link to the first one.
_VISDIAL_0_9 = (
    OfficialFile(
        (
            "https://s3.amazonaws.com/visual-dialog/v0.9/visdial_0.9_train.zip",
            "https://computing.ece.vt.edu/~abhshkdz/data/visdial/visdial_0.9_train.zip",
        ),
        (Wanted("visdial_0.9_train.json"),),
        sha256="a778d5d39d855b6194272f5800871a4a4b3673b00c9dc28d611443e7ca071290",
        hash_source=PARLAI,
    ),
    OfficialFile(
        (
            "https://s3.amazonaws.com/visual-dialog/v0.9/visdial_0.9_val.zip",
            "https://computing.ece.vt.edu/~abhshkdz/data/visdial/visdial_0.9_val.zip",
        ),
        (Wanted("visdial_0.9_val.json"),),
        sha256="08f5ee1d0cb12620b311cb7efbce4bb43a586871f002adba541614877d6f3960",
        hash_source=PARLAI,
    ),
    _TRAIN2014,
    _VAL2014,
)

_CLEVR = (
    OfficialFile(
        ("https://dl.fbaipublicfiles.com/clevr/CLEVR_v1.0_no_images.zip",),
        tuple(Wanted(f"questions/CLEVR_{split}_questions.json") for split in ("train", "val", "test")),
    ),
    OfficialFile(
        ("https://dl.fbaipublicfiles.com/clevr/CLEVR_v1.0.zip",),
        (Wanted("images/train", 70_000), Wanted("images/val", 15_000), Wanted("images/test", 15_000)),
        images=True,
        size=19_021_600_724,
        sha256="5cd61cf1096ed20944df93c9adb31e74d189b8459a94f54ba00090e5c59936d1",
        hash_source=TFDS,
    ),
)

_DAQUAR_SERVER = "http://datasets.d2.mpi-inf.mpg.de/mateusz14visual-turing"
_DAQUAR = (
    OfficialFile((f"{_DAQUAR_SERVER}/qa.894.raw.train.txt",), (Wanted("qa.894.raw.train.txt"),)),
    OfficialFile((f"{_DAQUAR_SERVER}/qa.894.raw.test.txt",), (Wanted("qa.894.raw.test.txt"),)),
    OfficialFile(  # the 1,449 labelled frames of NYU Depth v2, 795 of them for training
        (f"{_DAQUAR_SERVER}/nyu_depth_images.tar",), (Wanted("images", 1_449, inside="nyu_depth_images"),), images=True
    ),
)

# One archive with all files of the authors' page.
_VQA_RAD = (
    OfficialFile(
        ("https://files.osf.io/v1/resources/89kps/providers/osfstorage/?zip=",),
        (
            Wanted("VQA_RAD Dataset Public.json", also=("trainset.json",)),
            Wanted("VQA_RAD Image Folder", 314, also=("images",)),  # of 315 images, one has no question
        ),
        saved_as="vqa_rad.zip",
    ),
)

_SLAKE_SERVER = "https://huggingface.co/datasets/BoKelvin/SLAKE/resolve/main"  # repository of the first author
_SLAKE = (
    OfficialFile((f"{_SLAKE_SERVER}/train.json",), (Wanted("train.json"),)),
    OfficialFile((f"{_SLAKE_SERVER}/validation.json",), (Wanted("validation.json", also=("validate.json",)),)),
    OfficialFile((f"{_SLAKE_SERVER}/test.json",), (Wanted("test.json"),)),
    OfficialFile((f"{_SLAKE_SERVER}/imgs.zip",), (Wanted("imgs", 642),), images=True),
)

DATASETS: dict[str, OfficialDataset] = {
    "vqa1": OfficialDataset(
        title="VQA v1 (2015)",
        folder=VqaDataset().root,
        page="https://visualqa.org/vqa_v1_download.html",
        terms=_VQA_TERMS,
        files=(*_VQA1, _TRAIN2014, _VAL2014, _TEST2015),
        note="vqa1 and vqa2 share a folder and the images in it.",
    ),
    "vqa2": OfficialDataset(
        title="VQA v2 (2017)",
        folder=VqaDataset().root,
        page="https://visualqa.org/download.html",
        terms=_VQA_TERMS,
        files=(*_VQA2, _TRAIN2014, _VAL2014, _TEST2015),
        note="vqa1 and vqa2 share a folder and the images in it.",
    ),
    "visual7w": OfficialDataset(
        title="Visual7W, telling and pointing",
        folder=Visual7wDataset().root,
        page="https://ai.stanford.edu/~yukez/visual7w/",
        terms="See the page; the images are from COCO and are under Flickr's terms of use",
        files=_VISUAL7W,
    ),
    "visdial": OfficialDataset(
        title="VisDial 1.0",
        folder=VisdialDataset().root,
        page="https://visualdialog.org/data",
        terms="CC BY 4.0; the COCO images are under Flickr's terms of use",
        files=_VISDIAL,
        note="train2014 and val2014 are those of VQA: symbolic links to data/vqa/train2014 and val2014 save 20 GB.",
    ),
    "visdial0.9": OfficialDataset(
        title="VisDial 0.9",
        folder=VisdialDataset().root,
        page="https://visualdialog.org/data",
        terms="CC BY 4.0; the COCO images are under Flickr's terms of use",
        files=_VISDIAL_0_9,
        note="train2014 and val2014 are those of VQA: symbolic links to data/vqa/train2014 and val2014 save 20 GB.",
    ),
    "clevr": OfficialDataset(
        title="CLEVR v1.0",
        folder=ClevrDataset().root,
        page="https://cs.stanford.edu/people/jcjohns/clevr/",
        terms="CC BY 4.0",
        files=_CLEVR,
    ),
    "daquar": OfficialDataset(
        title="DAQUAR, all 894 answers",
        folder=DaquarDataset().root,
        page=(
            "https://www.mpi-inf.mpg.de/departments/computer-vision-and-machine-learning/research/"
            "vision-and-language/visual-turing-challenge"
        ),
        terms="See the page; the images are from NYU Depth v2",
        files=_DAQUAR,
    ),
    "vqa_rad": OfficialDataset(
        title="VQA-RAD, as the authors publish it",
        folder=VqaRadDataset().root,
        page="https://osf.io/89kps/",
        terms="CC0 1.0",
        files=_VQA_RAD,
        note=(
            "Most papers use trainset.json and testset.json (3,064 and 451 questions) of github.com/aioz-ai/MICCAI19-MedVQA: "
            "if these files are in the folder, they are read instead."
        ),
    ),
    "slake": OfficialDataset(
        title="SLAKE 1.0, English and Chinese",
        folder=SlakeDataset().root,
        page="https://www.med-vqa.com/slake/",
        terms="CC BY 4.0",
        files=_SLAKE,
    ),
}


def find_dataset(name: str) -> OfficialDataset:
    """Look up a data set.

    Args:
        name: A key of ``DATASETS``.

    Returns:
        The entry.

    Raises:
        UserError: The name is unknown.
    """
    if name not in DATASETS:
        raise UserError(unknown_name("data set", name, DATASETS))
    return DATASETS[name]


def readable_size(num_bytes: float) -> str:
    """Format a number of bytes.

    Args:
        num_bytes: Number of bytes.

    Returns:
        A text such as ``13.5 GB``, in decimal units.
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        decimals = 0 if unit == "bytes" else 1
        if round(num_bytes, decimals) < 1000:
            return f"{num_bytes:.{decimals}f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"
