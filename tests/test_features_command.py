"""``vqa-rnn features``: info, verify, convert, merge."""

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.conftest import everything
from tests.features.test_store_formats import COLUMNS, IDS, begin, check, make, write
from vqa_rnn.cli import main
from vqa_rnn.features.store import copying, open_store, partial_path
from vqa_rnn.features.store.base import IMAGE_COLUMNS


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> tuple[str, str]:
    assert main(["features", *map(str, arguments)]) == code
    printed = capsys.readouterr()
    return printed.out, printed.err


def test_info_says_what_a_store_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    store = make(tmp_path / "store.lmdb")
    found = json.loads(run(capsys, "info", store.path, "--json")[0])
    assert (found["images"], found["failed"], found["feature_size"], found["dtype"]) == (8, [], 6, "float16")
    assert found["regions"] == {"most": 4, "mean": 2.5}
    assert found["columns"] == list(COLUMNS)
    assert found["bytes"] == store.path.stat().st_size
    assert found["fingerprint"] == store.fingerprint
    text = run(capsys, "info", store.path)[0]
    for word in ("4, 2.5 in the mean", "6 x float16, boxes, labels, scores", "timm/tf_efficientnet_lite0", "image_size=224"):
        assert word in text


@pytest.mark.parametrize("suffix", [".h5", ".json"])
def test_verify_finds_one_flipped_bit_and_names_the_image(tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str):
    store = make(tmp_path / f"store{suffix}")
    assert run(capsys, "verify", store.path)[0] == f"{store.path}: no damage in 8 images\n"
    file = tmp_path / ("store.h5" if suffix == ".h5" else "part0.h5")
    with h5py.File(file, "r") as content:
        place = content["features"].id.get_offset() + 3 * content["features"][0].nbytes + 5
    np.memmap(file, mode="r+", dtype=np.uint8)[place] ^= 1
    out, err = run(capsys, "verify", store.path, "--json", code=2)
    assert json.loads(out)["damaged"] == ["train/3"]
    assert json.loads(out)["damaged_files"] == [str(file)]
    assert f"{file}: damaged, 1 of 8 images are not as they were written (train/3)" in err


@pytest.mark.parametrize("name", ["num_regions", "written", "failed", "source_hash"])
@pytest.mark.parametrize("suffix", [".h5", ".lmdb"])
def test_one_flipped_bit_in_what_is_known_of_the_images_is_found(tmp_path: Path, capsys, name: str, suffix: str):
    store = make(tmp_path / f"store{suffix}")
    if suffix == ".h5":
        with h5py.File(store.path, "r") as file:
            places = [file[name].id.get_offset()]
    else:  # a slow machine writes more than once, and LMDB leaves the earlier copies in the file
        columns = [getattr(store, column).tobytes() for column in IMAGE_COLUMNS]
        before = sum(map(len, columns[: list(IMAGE_COLUMNS).index(name)]))
        found = re.finditer(re.escape(b"".join(columns)), store.path.read_bytes())
        places = [each.start() + before for each in found]
    np.memmap(store.path, mode="r+", dtype=np.uint8)[places] ^= 1
    for command in (["verify", store.path], ["convert", store.path, tmp_path / "copy.h5"], ["info", store.path]):
        err = run(capsys, *command, code=2)[1]
        assert f"{store.path} is damaged" in err
    assert not (tmp_path / "copy.h5").exists()


def test_a_store_of_an_earlier_version_has_no_such_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    store = make(tmp_path / "store.h5")
    with h5py.File(store.path, "r+") as file:
        del file["columns_hash"]
    run(capsys, "verify", store.path)
    run(capsys, "convert", store.path, tmp_path / "copy.h5")
    assert open_store(tmp_path / "copy.h5").columns_hash == store.columns_hash != 0


def test_the_part_of_a_joined_store_that_is_damaged_or_gone_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    store = make(tmp_path / "store.json")
    part = tmp_path / "part0.h5"
    with h5py.File(part, "r") as file:
        place = file["features"].id.get_offset()
    np.memmap(part, mode="r+", dtype=np.uint8)[place] ^= 1
    expected = f"{part} is damaged: the features of image train/0 are not those that were written; delete it and store.json"
    assert expected in run(capsys, "info", store.path, code=2)[1]
    part.unlink()
    assert f"{store.path} names {part} as one of its parts" in run(capsys, "verify", store.path, code=2)[1]


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "store.lmdb").touch()
    assert "store.lmdb is empty" in run(capsys, "info", tmp_path / "store.lmdb", code=2)[1]


def test_there_and_back_through_lmdb_gives_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    store = make(tmp_path / "store.h5")
    run(capsys, "convert", store.path, tmp_path / "copy.lmdb")
    check(open_store(tmp_path / "copy.lmdb"))
    found = json.loads(run(capsys, "convert", tmp_path / "copy.lmdb", tmp_path / "back.h5", "--json")[0])
    assert found["store"] == str(tmp_path / "back.h5")
    assert (tmp_path / "back.h5").read_bytes() == store.path.read_bytes()


def test_images_that_failed_stay_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    writer = begin(tmp_path / "store.h5")
    write(writer, [0, 1, 2, 4, 5, 6, 7])
    writer.fail(3)
    writer.finish()
    run(capsys, "convert", tmp_path / "store.h5", tmp_path / "copy.lmdb")
    assert open_store(tmp_path / "copy.lmdb").skipped == {"train/3"}
    assert "1 could not be read" in run(capsys, "info", tmp_path / "copy.lmdb")[0]


@pytest.mark.parametrize("suffix", [".h5", ".lmdb"])
def test_three_parts_merged_equal_one_store(tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str):
    whole = make(tmp_path / f"whole{suffix}")
    parts = []
    for number, (first, stop) in enumerate([(0, 3), (3, 4), (4, 8)]):
        writer = begin(tmp_path / f"part{number}.h5", IDS[first:stop])
        write(writer, list(range(stop - first)), first)
        parts.append(writer.finish())
    run(capsys, "merge", *parts, "--output", tmp_path / f"merged{suffix}")
    check(open_store(tmp_path / f"merged{suffix}"))
    if suffix == ".h5":
        assert (tmp_path / "merged.h5").read_bytes() == whole.path.read_bytes()
    run(capsys, "merge", *parts, "-o", tmp_path / "joined.json")
    joined = open_store(tmp_path / "joined.json")
    check(joined)
    assert joined.row_hash.tolist() == whole.row_hash.tolist()
    assert "already" in run(capsys, "merge", *parts, "-o", tmp_path / "joined.json", code=2)[1]


@pytest.mark.parametrize("suffix", [".h5", ".lmdb"])
def test_a_copy_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str):
    store = make(tmp_path / "store.h5")
    monkeypatch.setattr(copying, "ROWS_AT_ONCE", 2)
    output = tmp_path / f"copy{suffix}"
    done = []

    def stop_in_the_middle(count: int) -> None:
        done.append(count)
        if sum(done) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copying.copy_stores([store], output, stop_in_the_middle)
    assert not output.exists()
    assert partial_path(output).exists()
    done.clear()
    copying.copy_stores([store], output, done.append)
    assert done == [4, 2, 2], "the first half is not done again, and the progress is complete"
    check(open_store(output))


def test_what_does_not_belong_together_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    store, output = make(tmp_path / "store.h5"), tmp_path / "copy.h5"
    assert "the image id 'train/0' comes twice" in run(capsys, "merge", store.path, store.path, "-o", output, code=2)[1]
    assert (
        "the image id 'train/0' comes twice"
        in run(capsys, "merge", store.path, store.path, "-o", tmp_path / "joined.json", code=2)[1]
    )
    other = begin(tmp_path / "other.h5", ["other"], attributes={"fingerprint": "another"})
    other.fail(0)
    other.finish()
    assert "do not belong together" in run(capsys, "merge", store.path, tmp_path / "other.h5", "-o", output, code=2)[1]
    odd = tmp_path / "copy.npz"
    assert f"{odd} must end in .h5 or .lmdb" in run(capsys, "convert", store.path, odd, code=2)[1]
    assert f"{odd} must end in .h5 or .lmdb, which copy" in run(capsys, "merge", store.path, "-o", odd, code=2)[1]
    assert "no feature store at" in run(capsys, "convert", tmp_path / "gone.h5", output, code=2)[1]
    assert f"{tmp_path} is a folder" in run(capsys, "info", tmp_path, code=2)[1]
    assert "already exists" in run(capsys, "convert", store.path, store.path, code=2)[1]
    begin(output, ["begun"])
    assert "was begun with other features" in run(capsys, "convert", store.path, output, code=2)[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.partial.h5", "other.h5", "store.h5"]
    np.testing.assert_array_equal(everything(store), everything(open_store(store.path)))


@pytest.mark.parametrize("output", ["copy.lmdb", "copy.h5"])
def test_damage_is_not_copied_as_if_it_were_right(tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str):
    store = make(tmp_path / "store.h5")
    with h5py.File(store.path, "r") as content:
        place = content["features"].id.get_offset()
    np.memmap(store.path, mode="r+", dtype=np.uint8)[place + 4] ^= 1
    said = run(capsys, "convert", store.path, tmp_path / output, code=2)[1]
    assert f"{store.path} is damaged: the features of image {store.image_ids[0]} are not those that were" in said
    assert not (tmp_path / output).exists()


def test_a_list_of_parts_that_names_itself_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "all.json"
    path.write_text(json.dumps({"format_version": 1, "parts": ["all.json"]}))
    assert f"error: {path} names itself among the parts" in run(capsys, "info", path, code=2)[1]


@pytest.mark.parametrize("suffix", [".h5", ".lmdb"])
def test_an_unfinished_store_says_how_much_is_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str):
    writer = begin(tmp_path / f"store{suffix}")
    write(writer, [0, 1, 2])
    writer.commit()
    del writer
    partial = partial_path(tmp_path / f"store{suffix}")
    assert "3; unfinished, 5 are to do" in run(capsys, "info", partial)[0]
    assert "unfinished, 5 images are still to be extracted" in run(capsys, "verify", partial)[0]
