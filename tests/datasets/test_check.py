import json
from pathlib import Path

import pytest

from tests.datasets.conftest import PAGE, QUESTIONS, Toy
from vqa_rnn.cli import main
from vqa_rnn.datasets import check, download

CHECK = ["datasets", "check", "toy"]


def states(toy: Toy) -> dict[str, tuple[str, str]]:
    return {file.path: (file.state, file.detail) for file in check("toy", toy.folder).files}


def test_nothing_is_there(toy: Toy, capsys) -> None:
    assert main(CHECK) == 2
    output = capsys.readouterr()
    out = " ".join(output.out.split())
    assert out.count("missing") >= 3
    assert "from questions.zip" in out
    assert PAGE in out
    assert output.err == (
        f"error: toy in {toy.folder} is not complete: 3 missing of 3 (vqa-rnn datasets download toy --images)\n"
    )
    assert toy.listing == []


def test_all_is_there(toy: Toy, capsys) -> None:
    download("toy", images=True)
    assert main([*CHECK, "--json"]) == 0
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert output.err == ""
    assert (report["dataset"], report["folder"], report["complete"]) == ("toy", str(toy.folder), True)
    assert report["files"] == [
        {"path": "questions.json", "state": "there", "detail": "unchanged since the download", "images": False},
        {"path": "dense.json", "state": "there", "detail": "unchanged since the download", "images": False},
        {"path": "images", "state": "there", "detail": "4 images", "images": True},
    ]


def test_another_folder(toy: Toy, tmp_path: Path, capsys) -> None:
    place = tmp_path / "my data"
    assert main(["datasets", "download", "toy", "--folder", str(place), "--images"]) == 0
    assert main([*CHECK, "--folder", str(place)]) == 0
    (place / "dense.json").unlink()
    capsys.readouterr()
    assert main([*CHECK, "--folder", str(place), "--json"]) == 2
    output = capsys.readouterr()
    assert json.loads(output.out)["complete"] is False
    assert output.err.endswith(f"1 missing of 3 (vqa-rnn datasets download toy --folder '{place}')\n")


DAMAGE = {
    "one byte of an unverified file": ("dense.json", lambda path: path.write_bytes(b"{" + path.read_bytes()[1:]), "sha256"),
    "one byte of a verified file": ("questions.json", lambda path: path.write_bytes(b"[" + path.read_bytes()[1:]), "sha256"),
    "a file cut off": ("questions.json", lambda path: path.write_bytes(path.read_bytes()[:-100]), "bytes"),
    "an image cut off": ("images", lambda path: (path / "image1.png").write_bytes(b"cut"), "303 bytes of images, 400"),
}


@pytest.mark.parametrize(("name", "damage", "word"), DAMAGE.values(), ids=DAMAGE)
def test_damage_after_the_download_is_found(toy: Toy, name: str, damage, word: str, capsys) -> None:
    download("toy", images=True)
    damage(toy.folder / name)
    found = states(toy)
    assert found.pop(name)[0] == "damaged"
    assert {state for state, _ in found.values()} == {"there"}
    assert main([*CHECK, "--json"]) == 2
    output = capsys.readouterr()
    assert word in output.out
    assert "1 damaged of 3" in output.err
    assert len(output.err.splitlines()) == 1


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")], ids=["gone", "empty"])
def test_images_that_are_not_all_there(toy: Toy, change) -> None:
    download("toy", images=True)
    change(toy.folder / "images" / "image3.png")
    assert states(toy)["images"] == ("missing", "3 of 4 images; the rest is in toy_images.tar")


def test_files_put_there_by_hand_are_looked_at_only_so_far(toy: Toy) -> None:
    toy.folder.mkdir()
    (toy.folder / "questions.json").write_bytes(QUESTIONS + b"\n")
    (toy.folder / "dense.json").write_bytes(QUESTIONS[:-10])
    (toy.folder / "images").mkdir()
    assert states(toy) == {
        "questions.json": ("there", "added by hand, not verified"),
        "dense.json": ("damaged", "ends in the middle"),
        "images": ("missing", "from toy_images.tar"),
    }
    (toy.folder / "dense.json").write_bytes(b"")
    for number in range(3):
        (toy.folder / "images" / f"{number}.JPG").write_bytes(b"image")
    assert states(toy)["dense.json"] == ("damaged", "empty")
    assert states(toy)["images"] == ("missing", "3 of 4 images; the rest is in toy_images.tar")
    (toy.folder / "images" / "3.jpg").write_bytes(b"image")
    assert states(toy)["images"] == ("there", "4 images")


def test_a_file_where_a_folder_should_be_and_the_other_way_round(toy: Toy) -> None:
    toy.folder.mkdir()
    (toy.folder / "images").write_text("no")
    (toy.folder / "dense.json").mkdir()
    assert states(toy)["images"] == ("damaged", "not a folder")
    assert states(toy)["dense.json"] == ("damaged", "not a file")


def test_kept_archives_are_compared_with_their_hashes(toy: Toy) -> None:
    download("toy", images=True, keep_archives=True)
    assert states(toy)["questions.zip"] == ("there", "sha256 of the authors")
    assert states(toy)["toy_images.tar"] == ("there", "unchanged since the download, no published hash")
    archive = toy.folder / "toy_images.tar"
    archive.write_bytes(archive.read_bytes()[:-1] + b"!")
    assert states(toy)["toy_images.tar"][0] == "damaged"
    assert not check("toy").complete


def test_a_damaged_record_is_one_line(toy: Toy, capsys) -> None:
    toy.folder.mkdir()
    (toy.folder / "downloads.json").write_text("{")
    assert main(CHECK) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "downloads.json" in output.err
    assert len(output.err.splitlines()) == 1


@pytest.mark.parametrize("name", ["validation.json", "validate.json"])
def test_a_file_may_lie_under_either_name_it_is_published_with(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("[]")
    states = {file.path: file.state for file in check("slake", tmp_path).files}
    assert states == {"train.json": "missing", name: "there", "test.json": "missing", "imgs": "missing"}
