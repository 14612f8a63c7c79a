import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.datasets.conftest import Toy, local, tarred, zipped
from vqa_rnn.benchmarks import BENCHMARKS
from vqa_rnn.cli import main
from vqa_rnn.config import (
    ClevrDataset,
    DaquarDataset,
    DatasetOptions,
    SlakeDataset,
    VisdialDataset,
    Visual7wDataset,
    VqaDataset,
    VqaRadDataset,
)
from vqa_rnn.datasets import DATASETS, OfficialFile, check, download
from vqa_rnn.datasets.catalogue import PARLAI, TFDS, UNVERIFIED, readable_size

FILES = {f"{name}/{file.name}": file for name, dataset in DATASETS.items() for file in dataset.files}


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_every_address_and_hash_is_well_formed(file: OfficialFile) -> None:
    for url in file.urls:
        parts = urlsplit(url)
        assert parts.scheme in ("http", "https")
        assert "." in parts.netloc
        assert Path(parts.path).name == file.name or file.saved_as == file.name
        assert url == url.strip()
    if file.sha256 is None:
        assert file.hash_source == UNVERIFIED
    else:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.hash_source in (PARLAI, TFDS)
    assert file.size is None or file.size > 0
    assert file.unpacks
    assert file.is_archive or [wanted.path for wanted in file.unpacks] == [file.name]
    assert all(wanted.num_images is not None for wanted in file.unpacks if file.images)


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_has_a_page_and_distinct_names(name: str) -> None:
    dataset = DATASETS[name]
    assert dataset.page.startswith("https://")
    assert dataset.terms
    for names in ([file.name for file in dataset.files], [wanted.path for file in dataset.files for wanted in file.unpacks]):
        assert len(set(names)) == len(names)
    assert not all(file.images for file in dataset.files)


def test_the_counts_of_images_are_those_published() -> None:
    counts = {
        wanted.path: wanted.num_images
        for dataset in DATASETS.values()
        for file in dataset.files
        for wanted in file.unpacks
        if file.images and wanted.path != "images"
    }
    assert counts == {
        "train2014": 82_783,
        "val2014": 40_504,
        "test2015": 81_434,
        "VisualDialog_val2018": 2_064,
        "VisualDialog_test2018": 8_000,
        "images/train": 70_000,
        "images/val": 15_000,
        "images/test": 15_000,
        "imgs": 642,
    }


IMAGE_IDS = {"train2014": 1, "val2014": 2, "test2015": 3, "test-dev2015": 3}


def vqa_questions(subset: str) -> bytes:
    choices = ["yes", "no"]
    question = {"image_id": IMAGE_IDS[subset], "question_id": 1, "question": "Is it?", "multiple_choices": choices}
    return json.dumps({"data_subtype": subset, "questions": [question]}).encode()


def vqa_annotations(subset: str) -> bytes:
    annotation = {
        "image_id": IMAGE_IDS[subset],
        "question_id": 1,
        "question_type": "is it",
        "answer_type": "yes/no",
        "multiple_choice_answer": "yes",
        "answers": [{"answer": "yes", "answer_confidence": "yes", "answer_id": i} for i in range(10)],
    }
    return json.dumps({"data_subtype": subset, "annotations": [annotation]}).encode()


def vqa_archives(prefix: str, tasks: tuple[str, ...]) -> dict[str, bytes]:
    def questions(*subsets: str) -> bytes:
        return zipped({f"{prefix}{task}_mscoco_{s}_questions.json": vqa_questions(s) for task in tasks for s in subsets})

    return {
        f"{prefix}Questions_Train_mscoco.zip": questions("train2014"),
        f"{prefix}Questions_Val_mscoco.zip": questions("val2014"),
        f"{prefix}Questions_Test_mscoco.zip": questions("test2015", "test-dev2015"),
        f"{prefix}Annotations_Train_mscoco.zip": zipped(
            {f"{prefix}mscoco_train2014_annotations.json": vqa_annotations("train2014")}
        ),
        f"{prefix}Annotations_Val_mscoco.zip": zipped({f"{prefix}mscoco_val2014_annotations.json": vqa_annotations("val2014")}),
        **{f"{folder}.zip": zipped({f"{folder}/COCO_x.jpg": b"x"}) for folder in ("train2014", "val2014", "test2015")},
    }


def visual7w_archives() -> dict[str, bytes]:
    def dataset(task: str) -> bytes:
        images = []
        for number, split in enumerate(("train", "val", "test"), 1):
            pair = {
                "qa_id": number,
                "question": "What?",
                "answer": "A cat." if task == "telling" else 10 * number,
                "multiple_choices": ["A dog.", "A cow.", "A hen."]
                if task == "telling"
                else [10 * number + i for i in (1, 2, 3)],
                "type": "what",
                "image_id": number,
            }
            images.append({"image_id": number, "filename": f"v7w_{number}.jpg", "split": split, "qa_pairs": [pair]})
        box = {"x": 0, "y": 0, "width": 5, "height": 5, "name": "thing"}
        boxes = [{**box, "box_id": 10 * number + i, "image_id": number} for number in (1, 2, 3) for i in range(4)]
        return zipped({f"dataset_v7w_{task}.json": json.dumps({"dataset": task, "images": images, "boxes": boxes}).encode()})

    return {
        "dataset_v7w_telling.zip": dataset("telling"),
        "dataset_v7w_pointing.zip": dataset("pointing"),
        "visual7w_images.zip": zipped({f"images/v7w_{number}.jpg": b"x" for number in (1, 2, 3)}),
    }


COCO = {  # dialogs 1 and 2 in either release; the reader looks which folder has an image
    "train2014.zip": zipped({"train2014/COCO_train2014_000000000001.jpg": b"x"}),
    "val2014.zip": zipped({"val2014/COCO_val2014_000000000002.jpg": b"x"}),
}


def visdial_file(version: str, split: str, image_id: int) -> bytes:
    asked = {"question": 0, "answer": 0, "answer_options": [0, 1], "gt_index": 0}
    dialog = {"image_id": image_id, "caption": "a cat", "dialog": [asked]}
    data = {"questions": ["is it"], "answers": ["yes", "no"], "dialogs": [dialog]}
    return json.dumps({"split": split, "version": version, "data": data}).encode()


def visdial_archives() -> dict[str, bytes]:
    splits = ("train", "val", "test")
    made = {
        f"visdial_1.0_{split}.zip": zipped({f"visdial_1.0_{split}.json": visdial_file("1.0", f"{split}2018", number)})
        for number, split in enumerate(splits, 1)
    }
    dense = [{"image_id": 2, "round_id": 1, "gt_relevance": [1.0, 0.0]}]
    made["visdial_1.0_val_dense_annotations.json"] = json.dumps(dense).encode()
    for folder in ("VisualDialog_val2018", "VisualDialog_test2018"):
        made[f"{folder}.zip"] = zipped({f"{folder}/x.jpg": b"x"})
    return made | COCO


def visdial09_archives() -> dict[str, bytes]:
    made = {
        f"visdial_0.9_{split}.zip": zipped({f"visdial_0.9_{split}.json": visdial_file("0.9", split, number)})
        for number, split in enumerate(("train", "val"), 1)
    }
    return made | COCO


def clevr_archives() -> dict[str, bytes]:
    questions, images = {}, {}
    for split in ("train", "val", "test"):
        image = f"CLEVR_{split}_000000.png"
        question = {"question_index": 0, "image_filename": image, "question": "Is it?", "answer": "yes"}
        questions[f"CLEVR_v1.0/questions/CLEVR_{split}_questions.json"] = json.dumps({"questions": [question]}).encode()
        images[f"CLEVR_v1.0/images/{split}/{image}"] = b"x"
    return {"CLEVR_v1.0_no_images.zip": zipped(questions), "CLEVR_v1.0.zip": zipped(questions | images)}


def daquar_archives() -> dict[str, bytes]:
    return {
        "qa.894.raw.train.txt": b"what is in the image1 ?\nbed\n",
        "qa.894.raw.test.txt": b"what is in the image2 ?\nlamp\n",
        "nyu_depth_images.tar": tarred({f"nyu_depth_images/image{number}.png": b"x" for number in (1, 2)}),
    }


def vqa_rad_archives() -> dict[str, bytes]:
    records = [
        {"qid": number, "image_name": f"{number}.jpg", "question": "Is it?", "answer": "Yes", "answer_type": "CLOSED"}
        | {"phrase_type": kind}
        for number, kind in enumerate(("freeform", "test_freeform"), 1)
    ]
    images = {f"VQA_RAD Image Folder/{number}.jpg": b"x" for number in (1, 2)}
    return {"vqa_rad.zip": zipped({"VQA_RAD Dataset Public.json": json.dumps(records).encode()} | images)}


def slake_archives() -> dict[str, bytes]:
    record = {"question": "Is it?", "answer": "Yes", "answer_type": "CLOSED", "q_lang": "en"}
    made = {
        f"{split}.json": json.dumps([record | {"qid": number, "img_name": f"xmlab{number}/source.jpg"}]).encode()
        for number, split in enumerate(("train", "validation", "test"), 1)
    }
    return made | {"imgs.zip": zipped({f"imgs/xmlab{number}/source.jpg": b"x" for number in (1, 2, 3)})}


CASES: dict[str, tuple[str, dict[str, bytes], DatasetOptions]] = {
    "vqa1": ("vqa1", vqa_archives("", ("OpenEnded", "MultipleChoice")), VqaDataset(version="v1")),
    "vqa1 multiple choice": (
        "vqa1",
        vqa_archives("", ("OpenEnded", "MultipleChoice")),
        VqaDataset(version="v1", task="multiple_choice", test_split="test-dev2015"),
    ),
    "vqa2": ("vqa2", vqa_archives("v2_", ("OpenEnded",)), VqaDataset()),
    "vqa2 test-dev": ("vqa2", vqa_archives("v2_", ("OpenEnded",)), VqaDataset(test_split="test-dev2015")),
    "visual7w telling": ("visual7w", visual7w_archives(), Visual7wDataset()),
    "visual7w pointing": ("visual7w", visual7w_archives(), Visual7wDataset(task="pointing")),
    "visdial": ("visdial", visdial_archives(), VisdialDataset()),
    "visdial0.9": ("visdial0.9", visdial09_archives(), VisdialDataset(version="0.9")),
    "clevr": ("clevr", clevr_archives(), ClevrDataset()),
    "daquar": ("daquar", daquar_archives(), DaquarDataset()),
    "vqa_rad": ("vqa_rad", vqa_rad_archives(), VqaRadDataset()),
    "slake": ("slake", slake_archives(), SlakeDataset()),
}


@pytest.mark.parametrize(("name", "bodies", "options"), CASES.values(), ids=CASES)
def test_what_is_downloaded_lies_where_the_reader_looks(
    toy: Toy, monkeypatch, tmp_path: Path, name: str, bodies: dict[str, bytes], options: DatasetOptions
) -> None:
    """Files with the official names and hardly any content, through the catalogue's own entry, into the default folder."""
    monkeypatch.chdir(tmp_path)
    dataset = DATASETS[name]
    assert dataset.folder == options.root  # type: ignore[attr-defined]
    monkeypatch.setitem(DATASETS, name, local(toy.server, dataset, bodies, dataset.folder))
    download(name, images=True)
    states = {file.path: file for file in check(name).files}
    assert {path for path, file in states.items() if file.state != "there"} == set()
    splits = (
        ("train", "val")
        if name == "visdial0.9"
        else ("train", "test")
        if name in ("daquar", "vqa_rad")
        else ("train", "val", "test")
    )
    annotations = BENCHMARKS[options.name].reader(options, splits)  # type: ignore[attr-defined, arg-type]
    assert {question.split for question in annotations.questions} == set(splits)
    folders = [dataset.folder / wanted.path for file in dataset.files for wanted in file.unpacks if wanted.num_images]
    for path in annotations.images.values():
        assert any(path.is_relative_to(folder) for folder in folders)


def test_the_list(capsys) -> None:
    assert main(["datasets", "list"]) == 0
    out = capsys.readouterr().out
    for name, dataset in DATASETS.items():
        assert f"{name}: {dataset.terms}" in out
        assert dataset.page in out
    assert main(["datasets", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert list(listed) == list(DATASETS)
    assert listed["vqa2"]["folder"] == "data/vqa"
    first = listed["vqa2"]["files"][0]
    assert first["name"] == "v2_Questions_Train_mscoco.zip"
    assert first["unpacks"][0]["path"] == "v2_OpenEnded_mscoco_train2014_questions.json"


@pytest.mark.parametrize("arguments", [[], ["list"], ["download"], ["check"]])
def test_help_has_an_example(arguments: list[str], capsys) -> None:
    assert main(["datasets", *arguments, "--help"]) == 0
    assert ("Example:" in capsys.readouterr().out) is bool(arguments)


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (999_960, "1.0 MB"), (13_510_573_713, "13.5 GB"), (2e12, "2.0 TB")],
)
def test_sizes_are_said_as_a_person_would(size: float, said: str) -> None:
    assert readable_size(size) == said
