import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xxhash

from tests.conftest import everything
from vqa_rnn.config import STORE_SUFFIXES, FeaturesConfig
from vqa_rnn.errors import UserError
from vqa_rnn.features.check import check_store
from vqa_rnn.features.store import FORMAT_VERSION, StoreWriter, base, create_store, open_store, open_writer, partial_path
from vqa_rnn.features.weights import weights_file_hash

NUM_REGIONS, FEATURE_SIZE = 4, 6
ATTRIBUTES = {
    "backbone": "timm/tf_efficientnet_lite0",
    "weights_sha256": "ab" * 32,
    "layer": ["bn2"],
    "transform": {
        "image_size": 224,
        "resize": "squash",
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.2, 0.1],
        "output": "grid",
        "grid_size": None,
        "interpolation": "bicubic",
        "intensity": "full",
    },
    "compute": {"precision": "float32", "layout": "channels_last", "compiled": False, "batch_rows": 3},
    "fingerprint": "0123456789abcdef",
}


def begin(path: Path, image_ids: list[str], *, dtype: str = "float16", boxes: bool = False, **changes) -> StoreWriter:
    return create_store(
        path,
        image_ids,
        num_regions=NUM_REGIONS,
        feature_size=FEATURE_SIZE,
        dtype=dtype,
        attributes={**ATTRIBUTES, **changes},
        region_columns=["boxes"] if boxes else [],
    )


def random_rows(count: int, dtype: str = "float16", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, NUM_REGIONS, FEATURE_SIZE)).astype(dtype)


def random_boxes(count: int) -> np.ndarray:
    return np.random.default_rng(1).random((count, NUM_REGIONS, 4), dtype=np.float32)


def make_store(path: Path, image_ids: list[str], **options) -> np.ndarray:
    writer = begin(path, image_ids, **options)
    features = random_rows(len(image_ids), options.get("dtype", "float16"))
    boxes = {"boxes": random_boxes(len(image_ids))} if options.get("boxes") else {}
    writer.write(range(len(image_ids)), features, [7 + i for i in range(len(image_ids))], **boxes)
    writer.finish()
    return features


def message(call, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("boxes", [False, True])
def test_plain_h5py_reads_the_documented_format(tmp_path: Path, dtype: str, boxes: bool) -> None:
    path = tmp_path / "store.h5"
    ids = ["train/1", "train/2", "fenêtre 窓.jpg"]
    features = make_store(path, ids, dtype=dtype, boxes=boxes)
    with h5py.File(path, "r") as file:
        expected = {
            "features": ((3, NUM_REGIONS, FEATURE_SIZE), dtype),
            "num_regions": ((3,), "int32"),
            "written": ((3,), "bool"),
            "failed": ((3,), "bool"),
            "source_hash": ((3,), "uint64"),
            "row_hash": ((3,), "uint64"),
            "columns_hash": ((1,), "uint64"),
        }
        if boxes:
            expected["boxes"] = ((3, NUM_REGIONS, 4), "float32")
        assert set(file) == {*expected, "image_id"}
        for name, (shape, kind) in expected.items():
            dataset = file[name]
            assert (dataset.shape, dataset.dtype) == (shape, np.dtype(kind)), name
            assert dataset.chunks is None, name
            assert dataset.compression is None, name
            assert dataset.id.get_offset() is not None, name
        assert h5py.check_string_dtype(file["image_id"].dtype).encoding == "utf-8"
        assert list(file["image_id"].asstr()[:]) == ids
        np.testing.assert_array_equal(file["features"][:], features)
        np.testing.assert_array_equal(file["num_regions"][:], [NUM_REGIONS] * 3)
        np.testing.assert_array_equal(file["source_hash"][:], [7, 8, 9])
        assert file["written"][:].all()
        assert not file["failed"][:].any()
        if boxes:
            np.testing.assert_array_equal(file["boxes"][:], random_boxes(3))
        assert file.attrs["format_version"] == FORMAT_VERSION
        assert set(file.attrs) == {*ATTRIBUTES, "format_version", "head_hash"}
        for name in ("backbone", "weights_sha256", "fingerprint"):
            assert file.attrs[name] == ATTRIBUTES[name]
        for name in ("layer", "transform", "compute"):
            assert json.loads(file.attrs[name]) == ATTRIBUTES[name]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_mapped_reads_equal_what_was_written(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "store.h5"
    features = make_store(path, [f"{i}" for i in range(50)], dtype=dtype, boxes=True)
    store = open_store(path)
    assert store.dtype == everything(store).dtype == dtype
    np.testing.assert_array_equal(everything(store), features)
    np.testing.assert_array_equal(everything(store, "boxes"), random_boxes(50))
    rows = store.rows(["49", "0", "17", "17"])
    np.testing.assert_array_equal(rows, [49, 0, 17, 17])
    np.testing.assert_array_equal(store.read(rows), features[[49, 0, 17, 17]])
    out = np.ones((4, NUM_REGIONS, FEATURE_SIZE), dtype)
    assert store.read(rows, out) is out
    np.testing.assert_array_equal(out, features[[49, 0, 17, 17]])


def test_attributes_come_back_parsed(tmp_path: Path) -> None:
    make_store(tmp_path / "store.h5", ["a"])
    store = open_store(tmp_path / "store.h5")
    assert store.attributes == {**ATTRIBUTES, "format_version": FORMAT_VERSION}
    assert store.fingerprint == ATTRIBUTES["fingerprint"]
    assert store.description == {name: ATTRIBUTES[name] for name in ("backbone", "weights_sha256", "layer", "transform")}
    assert (store.num_regions_max, store.feature_size) == (NUM_REGIONS, FEATURE_SIZE)


def test_a_store_without_boxes_has_none(tmp_path: Path) -> None:
    make_store(tmp_path / "store.h5", ["a"])
    store = open_store(tmp_path / "store.h5")
    assert not store.has_boxes
    assert store.region_columns == ()


def test_a_reader_cannot_change_the_store(tmp_path: Path) -> None:
    make_store(tmp_path / "store.h5", ["a"])
    store = open_store(tmp_path / "store.h5")
    everything(store)[:] = 1
    store.check_some_rows()
    with pytest.raises(ValueError, match="read-only"):
        store.num_regions[0] = 1


def test_float32_features_are_rounded_into_a_float16_store(tmp_path: Path) -> None:
    writer = begin(tmp_path / "store.h5", ["a"])
    features = random_rows(1, "float32")
    writer.write([0], features, [0])
    store = open_store(writer.finish())
    np.testing.assert_array_equal(everything(store), features.astype("float16"))
    assert store.row_hash[0] == xxhash.xxh64(features.astype("float16").tobytes()).intdigest()


@pytest.mark.parametrize("boxes", [False, True])
def test_row_hash_is_xxh64_of_the_features_then_the_boxes(tmp_path: Path, boxes: bool) -> None:
    path = tmp_path / "store.h5"
    make_store(path, ["a", "b"], boxes=boxes)
    with h5py.File(path, "r") as file:
        for row in range(2):
            content = file["features"][row].tobytes() + (file["boxes"][row].tobytes() if boxes else b"")
            assert int(file["row_hash"][row]) == xxhash.xxh64(content).intdigest()


def test_fewer_regions_than_k_are_recorded(tmp_path: Path) -> None:
    writer = begin(tmp_path / "store.h5", ["a", "b"])
    rows = random_rows(2)
    writer.write([0, 1], [rows[0][:2], rows[1]], [0, 0])
    store = open_store(writer.finish())
    np.testing.assert_array_equal(store.num_regions, [2, len(rows[1])])
    np.testing.assert_array_equal(everything(store)[0, :2], rows[0][:2])
    assert (everything(store)[0, 2:] == 0).all()


def test_pending_ranges_are_the_same_whatever_was_done(tmp_path: Path) -> None:
    writer = begin(tmp_path / "store.h5", [f"{i}" for i in range(8)])
    assert list(writer.pending(3)) == [range(0, 3), range(3, 6), range(6, 8)]
    writer.write([3, 4], random_rows(2), [0, 0])
    assert list(writer.pending(3)) == [range(0, 3), range(3, 6), range(6, 8)]
    writer.write([5], random_rows(1), [0])
    assert list(writer.pending(3)) == [range(0, 3), range(6, 8)]
    writer.fail(6)
    writer.write([7], random_rows(1), [0])
    assert list(writer.pending(3)) == [range(0, 3)]


def test_an_unfinished_store_is_taken_up_where_it_was_left(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    ids = [f"{i}" for i in range(5)]
    features = random_rows(5)
    first = begin(path, ids)
    first.write([0, 1], features[:2], [0, 1])
    first.commit()
    del first
    second = open_writer(path)
    assert second.image_ids == ids
    assert second.attributes["compute"] == ATTRIBUTES["compute"]
    assert list(second.pending(2)) == [range(2, 4), range(4, 5)]
    second.write([2, 3, 4], features[2:], [2, 3, 4])
    store = open_store(second.finish())
    np.testing.assert_array_equal(everything(store), features)
    np.testing.assert_array_equal(store.source_hash, range(5))


def test_the_store_has_its_name_only_once_finished(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "store.h5"
    writer = begin(path, ["a"])
    assert [file.name for file in path.parent.iterdir()] == ["store.partial.h5"]
    assert partial_path(path) == path.parent / "store.partial.h5"
    writer.write([0], random_rows(1), [0])
    assert [file.name for file in path.parent.iterdir()] == ["store.partial.h5"]
    assert writer.finish() == path
    assert [file.name for file in path.parent.iterdir()] == ["store.h5"]


def test_stores_of_all_suffixes_are_unfinished_in_different_files(tmp_path: Path) -> None:
    partials = [partial_path(tmp_path / f"n{suffix}").name for suffix in STORE_SUFFIXES]
    assert partials == ["n.partial.h5", "n.partial.lmdb", "n.partial.hdf5"]


def test_written_is_false_until_a_row_is_committed(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    writer = begin(path, ["a", "b"])
    writer.write([1], random_rows(1), [0])
    for marked in (False, True):
        with h5py.File(partial_path(path), "r") as file:
            np.testing.assert_array_equal(file["written"][:], [False, marked])
        assert list(writer.pending(1)) == [range(0, 1)], "it is not done twice"
        writer.commit()


@pytest.mark.parametrize("seed", range(5))
def test_no_row_is_marked_before_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """A power cut keeps what was flushed, and any of the pages that were not: the marks may survive where the rows do not."""
    random = np.random.default_rng(seed)
    monkeypatch.setattr(base, "COMMIT_SECONDS", 0.0 if seed % 2 else 1e9)
    monkeypatch.setattr(base, "COMMIT_BYTES", int(random.integers(1, 10)) * NUM_REGIONS * FEATURE_SIZE * 2)
    path, ids = tmp_path / "store.h5", [f"{i}" for i in range(40)]
    writer = begin(path, ids, boxes=True)
    columns = writer._columns
    on_disk = {name: np.zeros_like(column) for name, column in columns.items()}
    flush = np.memmap.flush

    def cut_the_power() -> None:
        for row in np.flatnonzero(columns["written"]):  # the worst case: the marks got there, and nothing else unflushed did
            content = on_disk["features"][row].tobytes() + on_disk["boxes"][row].tobytes()
            assert on_disk["row_hash"][row] == xxhash.xxh64_intdigest(content)
            assert on_disk["num_regions"][row] == NUM_REGIONS

    def flushed(column: np.memmap) -> None:
        cut_the_power()
        flush(column)
        (name,) = (name for name, other in columns.items() if other is column)
        on_disk[name] = np.array(column)
        cut_the_power()

    monkeypatch.setattr(np.memmap, "flush", flushed)
    features, boxes = random_rows(40), random_boxes(40)
    for start in range(0, 40, 4):
        rows = range(start, start + 4)
        writer.write(rows, features[start : start + 4], [1] * 4, boxes=boxes[start : start + 4])
        cut_the_power()
    writer.finish()
    assert columns["written"].all()
    cut_the_power()


def test_a_damaged_row_is_found_when_a_store_is_opened(tmp_path: Path) -> None:
    make_store(tmp_path / "store.h5", [f"{i}" for i in range(100)])
    with h5py.File(tmp_path / "store.h5", "r") as file:
        offset = file["features"].id.get_offset()
    np.memmap(tmp_path / "store.h5", mode="r+", dtype=np.uint8)[offset] ^= 1  # one bit of the first row
    text = message(open_store, tmp_path / "store.h5")
    assert text == (
        f"{tmp_path / 'store.h5'} is damaged: the features of image 0 are not those that were written; delete it and run "
        "vqa-rnn preprocess again"
    )
    open_store(tmp_path / "store.h5", check_rows=False)


def test_a_weights_file_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    weights = tmp_path / "resnet.pth"
    weights.write_bytes(b"one")
    config = FeaturesConfig(weights=str(weights))
    make_store(tmp_path / "store.h5", ["a"], weights="resnet.pth", weights_file_sha256=weights_file_hash(config))
    check_store(open_store(tmp_path / "store.h5"), config)
    weights.write_bytes(b"two")
    os.utime(weights, ns=(1, 1))
    text = message(check_store, open_store(tmp_path / "store.h5"), config)
    expected = (
        f"{tmp_path / 'store.h5'} was made with the weights resnet.pth, but features.weights={weights} is different now: "
    )
    assert text.startswith(expected)
    weights.unlink()
    check_store(open_store(tmp_path / "store.h5"), config)  # nothing to compare with


def test_weights_of_another_name_are_refused(tmp_path: Path) -> None:
    make_store(tmp_path / "store.h5", ["a"], weights="ResNet50_Weights.IMAGENET1K_V2")
    check_store(open_store(tmp_path / "store.h5"), FeaturesConfig(weights="hub:IMAGENET1K_V2"))
    check_store(open_store(tmp_path / "store.h5"), FeaturesConfig(weights="hub"))
    text = message(check_store, open_store(tmp_path / "store.h5"), FeaturesConfig(weights="hub:IMAGENET1K_V1"))
    assert "made with the weights ResNet50_Weights.IMAGENET1K_V2, but features.weights=hub:IMAGENET1K_V1 is" in text


def test_failed_rows_are_not_images_of_the_store(tmp_path: Path) -> None:
    writer = begin(tmp_path / "store.h5", ["a", "b", "c"])
    writer.write([0, 2], random_rows(2), [0, 0])
    writer.fail(1)
    store = open_store(writer.finish())
    np.testing.assert_array_equal(store.failed, [False, True, False])
    np.testing.assert_array_equal(store.written, [True, False, True])
    assert store.row_of == {"a": 0, "c": 2}
    assert "(b)" in message(store.rows, ["a", "b"])


def test_an_image_that_failed_is_called_unreadable_and_not_merely_missing(tmp_path: Path) -> None:
    """`preprocess` leaves a finished store alone, so telling the user to run it again leads nowhere."""
    writer = begin(tmp_path / "store.h5", ["a", "b"])
    writer.write([0], random_rows(1), [0])
    writer.fail(1)
    text = message(open_store(writer.finish()).rows, ["b"]).replace(str(tmp_path), "")
    assert any(word in text for word in ("could not be read", "damaged", "failed", "skipped")), text


@pytest.mark.parametrize("already", [False, True])
def test_an_image_id_that_comes_twice_is_refused(tmp_path: Path, already: bool) -> None:
    path = tmp_path / "store.h5"
    if not already:
        assert "'b' comes twice" in message(begin, path, ["a", "b", "c", "b"])
        assert list(tmp_path.iterdir()) == []
        return
    make_store(path, ["a", "b"])
    with h5py.File(path, "r+") as file:
        file["image_id"][0] = "b"
    text = message(open_store, path)
    assert "'b' comes twice" in text
    assert str(path) in text


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    make_store(path, ["a"])
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = FORMAT_VERSION + 1
    text = message(open_store, path)
    assert f"format version {FORMAT_VERSION + 1}" in text
    assert "newer vqa-rnn" in text


def test_a_file_that_is_not_hdf5_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    path.write_text("features", encoding="utf-8")
    text = message(open_store, path)
    assert str(path) in text
    assert "HDF5" in text


def test_a_truncated_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    make_store(path, ["a", "b"])
    path.write_bytes(path.read_bytes()[:-40])
    assert str(path) in message(open_store, path)


def drop(name: str):
    def change(file: h5py.File) -> None:
        del file[name]

    return change


def drop_attribute(name: str):
    def change(file: h5py.File) -> None:
        del file.attrs[name]

    return change


def make_chunked(file: h5py.File) -> None:
    features = file["features"][:]
    del file["features"]
    file.create_dataset("features", data=features, chunks=(1, NUM_REGIONS, FEATURE_SIZE), compression="gzip")


def make_boxes_chunked(file: h5py.File) -> None:
    file.create_dataset("boxes", shape=(2, NUM_REGIONS, 4), dtype="float32", chunks=(1, NUM_REGIONS, 4))


def make_columns_hash_chunked(file: h5py.File) -> None:
    del file["columns_hash"]
    file.create_dataset("columns_hash", shape=(1,), dtype="uint64", chunks=(1,))


def make_group(file: h5py.File) -> None:
    del file["features"]
    file.create_group("features")


def make_ids_numbers(file: h5py.File) -> None:
    del file["image_id"]
    file["image_id"] = np.arange(2)


def spoil_transform(file: h5py.File) -> None:
    file.attrs["transform"] = "{not JSON"


def spoil_version(file: h5py.File) -> None:
    file.attrs["format_version"] = "two"


FOREIGN = {
    "no_features": drop("features"),
    "no_image_ids": drop("image_id"),
    "no_written": drop("written"),
    "no_row_hash": drop("row_hash"),
    "no_version": drop_attribute("format_version"),
    "no_transform": drop_attribute("transform"),
    "no_fingerprint": drop_attribute("fingerprint"),
    "chunked_and_compressed": make_chunked,
    "boxes_are_chunked": make_boxes_chunked,
    "columns_hash_is_chunked": make_columns_hash_chunked,
    "features_is_a_group": make_group,
    "ids_are_numbers": make_ids_numbers,
    "transform_is_not_json": spoil_transform,
    "version_is_a_word": spoil_version,
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN)
def test_an_hdf5_file_that_is_no_store_is_refused(tmp_path: Path, change) -> None:
    path = tmp_path / "store.h5"
    make_store(path, ["a", "b"])
    with h5py.File(path, "r+") as file:
        change(file)
    text = message(open_store, path)
    assert str(path) in text
    assert "store" in text


def test_a_missing_store_says_how_to_make_it(tmp_path: Path) -> None:
    text = message(open_store, tmp_path / "store.h5")
    assert f"no feature store at {tmp_path / 'store.h5'}" in text
    assert "vqa-rnn preprocess" in text
    assert "unfinished" not in text


def test_an_unfinished_store_is_named_when_the_finished_one_is_asked_for(tmp_path: Path) -> None:
    begin(tmp_path / "store.h5", ["a"])
    text = message(open_store, tmp_path / "store.h5")
    assert f"{tmp_path / 'store.partial.h5'} is unfinished" in text
    assert "vqa-rnn preprocess" in text


def test_missing_images_are_counted_once_and_the_first_are_named(tmp_path: Path) -> None:
    make_store(tmp_path / "store.h5", ["a"])
    store = open_store(tmp_path / "store.h5")
    text = message(store.rows, ["z4", "a", "z1", "z4", "z2", "z3"])
    assert "4 of the images" in text
    assert "(z4, z1, z2, …)" in text
    assert "vqa-rnn preprocess" in text


def test_a_store_made_as_the_config_says_is_accepted(tmp_path: Path) -> None:
    make_store(tmp_path / "store.h5", ["a"])
    check_store(open_store(tmp_path / "store.h5"), FeaturesConfig())


@pytest.mark.parametrize(
    ("option", "value", "made", "wanted"),
    [
        ("backbone", "resnet18", "backbone=timm/tf_efficientnet_lite0", "timm/resnet18"),
        ("library", "torchvision", "backbone=timm/tf_efficientnet_lite0", "torchvision/tf_efficientnet_lite0"),
        ("layers", ("blocks.1",), "layers=", "blocks.1"),
        ("image_size", 64, "image_size=224", "64"),
        ("resize", "pad", "resize=squash", "pad"),
        ("output", "pooled", "output=grid", "pooled"),
        ("grid_size", 3, "grid_size=None", "3"),
        ("mean", (0.1, 0.1, 0.1), "mean=", "0.1"),
        ("std", (0.9, 0.9, 0.9), "std=", "0.9"),
        ("interpolation", "bilinear", "interpolation=bicubic", "bilinear"),
        ("intensity", "image", "intensity=full", "image"),
        ("dtype", "float32", "dtype=float16", "float32"),
    ],
)
def test_a_store_made_with_another_setting_is_refused(tmp_path: Path, option, value, made, wanted) -> None:
    make_store(tmp_path / "store.h5", ["a"])
    text = message(check_store, open_store(tmp_path / "store.h5"), FeaturesConfig(**{option: value}))
    assert f"was made with features.{made}" in text
    assert wanted in text.split("not", 1)[1]


def test_a_store_of_an_older_version_is_refused(tmp_path: Path) -> None:
    transform = {name: value for name, value in ATTRIBUTES["transform"].items() if name not in ("intensity", "interpolation")}
    make_store(tmp_path / "store.h5", ["a"], transform=transform)
    text = message(check_store, open_store(tmp_path / "store.h5"), FeaturesConfig())
    assert "was made by an older version, which had no features.intensity" in text
    assert "run vqa-rnn preprocess again" in text


def test_the_weights_have_a_name_that_the_fingerprint_does_not_hold(tmp_path: Path) -> None:
    make_store(tmp_path / "named.h5", ["a"], weights="resnet50.a1_in1k")
    make_store(tmp_path / "plain.h5", ["a"])
    named, plain = open_store(tmp_path / "named.h5"), open_store(tmp_path / "plain.h5")
    assert (named.weights, plain.weights) == ("resnet50.a1_in1k", "")
    assert named.description == plain.description


SAME = [{"mean": (0.5, 0.4, 0.3)}, {"interpolation": "bicubic"}, {"batch_rows": 5}, {"precision": "bfloat16"}]


@pytest.mark.parametrize("option", SAME)
def test_settings_that_change_nothing_in_the_store_are_accepted(tmp_path: Path, option) -> None:
    make_store(tmp_path / "store.h5", ["a"])
    check_store(open_store(tmp_path / "store.h5"), FeaturesConfig(**option))


def test_a_pickled_store_is_small_and_opens_the_same_rows(tmp_path: Path) -> None:
    ids = [f"{i}" for i in range(2000)]
    features = make_store(tmp_path / "store.h5", ids)
    content = pickle.dumps(open_store(tmp_path / "store.h5"))
    assert len(content) < 1000 < features.nbytes
    again = pickle.loads(content)
    assert again.row_of == {image_id: row for row, image_id in enumerate(ids)}
    np.testing.assert_array_equal(everything(again), features)


def test_another_process_opens_a_pickled_store(tmp_path: Path) -> None:
    features = make_store(tmp_path / "store.h5", ["a", "b"])
    (tmp_path / "store.pickle").write_bytes(pickle.dumps(open_store(tmp_path / "store.h5")))
    program = (
        "import pickle, sys, pathlib\n"
        "store = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "print(store.image_ids, store.read(store.rows(['a', 'b'])).tobytes().hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "store.pickle")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.strip() == f"['a', 'b'] {features.tobytes().hex()}"
