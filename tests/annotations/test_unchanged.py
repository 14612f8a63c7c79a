"""Annotation files that were edited, moved or deleted."""

import shutil
from pathlib import Path

import pytest

from tests.official import draw_visdial
from vqa_rnn.annotations.unchanged import changed_files, hash_files
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.config import DaquarDataset, Dataset, EasyVqaDataset, JsonlDataset, VisdialDataset
from vqa_rnn.files import file_hash


@pytest.fixture
def daquar(tmp_path: Path) -> DaquarDataset:
    root = tmp_path / "daquar"
    (root / "images").mkdir(parents=True)
    (root / "qa.894.raw.train.txt").write_text("what is in the image1 ?\nlamp\nwhat is in the image2 ?\nbed\n")
    return DaquarDataset(root=root)


def visdial(folder: Path) -> VisdialDataset:
    draw_visdial(folder)
    return VisdialDataset(root=folder)


def hashes_of(dataset: Dataset) -> dict[str, str]:
    return hash_files(dataset, read_annotations(dataset, ["train", "val"]).files)


def test_names_are_relative_to_the_data_set(daquar: DaquarDataset, tmp_path: Path):
    assert hashes_of(daquar) == {"qa.894.raw.train.txt": file_hash(daquar.root / "qa.894.raw.train.txt")}
    path = tmp_path / "own.jsonl"
    path.write_text(
        '{"image": "a.png", "question": "What?", "answer": "a"}\n{"image": "b.png", "question": "What?", "answer": "b"}\n'
    )
    assert hashes_of(JsonlDataset(path=path)) == {".": file_hash(path)}
    assert hashes_of(EasyVqaDataset()) == {}, "a package is installed, not edited"


def test_an_edited_file_is_found_also_where_the_data_set_moved(daquar: DaquarDataset, tmp_path: Path):
    hashes = hashes_of(daquar)
    moved = DaquarDataset(root=tmp_path / "moved")
    shutil.move(daquar.root, moved.root)
    assert changed_files(moved, hashes) == ([], [])
    assert changed_files(daquar, hashes) == ([], [daquar.root / "qa.894.raw.train.txt"])
    (moved.root / "qa.894.raw.train.txt").write_text("what is in the image1 ?\nchair\n")
    assert changed_files(moved, hashes) == ([moved.root / "qa.894.raw.train.txt"], [])


def test_every_file_of_an_official_data_set_counts(tmp_path: Path):
    dataset = visdial(tmp_path)
    hashes = hashes_of(dataset)
    names = {"visdial_1.0_train.json", "visdial_1.0_val.json", "visdial_1.0_val_dense_annotations.json"}
    assert set(hashes) == names
    for name in names:
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content + b" ")
        assert changed_files(dataset, hashes) == ([tmp_path / name], [])
        (tmp_path / name).write_bytes(content)
