"""What holds for a store of every format: HDF5, LMDB, and several files joined."""

import multiprocessing
import pickle
from pathlib import Path

import lmdb
import numpy as np
import pytest

from tests.conftest import everything
from tests.features.test_store import ATTRIBUTES, FEATURE_SIZE, NUM_REGIONS, message, random_boxes, random_rows
from vqa_rnn import config
from vqa_rnn.errors import UserError
from vqa_rnn.features.store import (
    REGION_COLUMNS,
    WRITERS,
    FeatureStore,
    StoreWriter,
    create_store,
    open_store,
    open_writer,
    partial_path,
    write_joined,
)

SUFFIXES = list(config.SUFFIXES.values())
COUNTS = np.array([4, 1, 3, 4, 2, 0, 4, 2])
IDS = [f"train/{i}" for i in range(len(COUNTS))]
COLUMNS = {
    "boxes": random_boxes(len(IDS)),
    "labels": np.random.default_rng(2).integers(0, 1600, (len(IDS), NUM_REGIONS), dtype=np.int32),
    "scores": np.random.default_rng(3).random((len(IDS), NUM_REGIONS), dtype=np.float32),
}


def begin(path: Path, ids: list[str] = IDS, **options) -> StoreWriter:
    return create_store(
        path,
        ids,
        num_regions=NUM_REGIONS,
        feature_size=FEATURE_SIZE,
        dtype=options.pop("dtype", "float16"),
        attributes={**ATTRIBUTES, **options.pop("attributes", {})},
        region_columns=list(COLUMNS),
        **options,
    )


def write(writer: StoreWriter, rows: list[int], first: int = 0) -> None:
    """Rows of the made-up data; ``first`` is the writer's row 0 among them."""
    features = random_rows(len(IDS))

    def regions(values: np.ndarray) -> list[np.ndarray]:
        return [values[first + row][: COUNTS[first + row]] for row in rows]

    columns = {name: regions(values) for name, values in COLUMNS.items()}
    writer.write(rows, regions(features), [7 + first + row for row in rows], **columns)


def make(path: Path) -> FeatureStore:
    if path.suffix == ".json":
        parts = []
        for number, suffix in enumerate((".h5", ".lmdb")):
            writer = begin(path.with_name(f"part{number}{suffix}"), IDS[4 * number : 4 * number + 4])
            write(writer, [0, 1, 2, 3], 4 * number)
            parts.append(writer.finish())
        write_joined(path, parts)
    else:
        writer = begin(path)
        write(writer, list(range(len(IDS))))
        writer.finish()
    return open_store(path)


def expected(values: np.ndarray) -> np.ndarray:
    exists = np.arange(NUM_REGIONS) < COUNTS[:, None]
    return np.where(exists.reshape(exists.shape + (1,) * (values.ndim - 2)), values, 0)


@pytest.fixture(params=[*SUFFIXES, ".json"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FeatureStore:
    return make(tmp_path / f"store{request.param}")


def check(store: FeatureStore) -> None:
    np.testing.assert_array_equal(everything(store), expected(random_rows(len(IDS))))
    for name, values in COLUMNS.items():
        column = everything(store, name)
        assert column.dtype == REGION_COLUMNS[name][1]
        np.testing.assert_array_equal(column, expected(values))


def test_what_was_written_is_read(store: FeatureStore) -> None:
    assert store.image_ids == IDS
    assert store.row_of == {image_id: row for row, image_id in enumerate(IDS)}
    assert (store.num_regions_max, store.feature_size, store.dtype) == (NUM_REGIONS, FEATURE_SIZE, np.float16)
    assert store.region_columns == tuple(COLUMNS)
    assert store.attributes["transform"] == ATTRIBUTES["transform"]
    np.testing.assert_array_equal(store.num_regions, COUNTS)
    np.testing.assert_array_equal(store.source_hash, 7 + np.arange(len(IDS)))
    check(store)


def test_rows_come_in_the_order_asked_for_into_the_array_given(store: FeatureStore) -> None:
    rows = store.rows(["train/7", "train/0", "train/5", "train/7"])
    out = np.ones((4, NUM_REGIONS, FEATURE_SIZE), np.float16)
    assert store.read(rows, out) is out
    np.testing.assert_array_equal(out, everything(store)[[7, 0, 5, 7]])
    assert store.read(rows[:0]).shape == (0, NUM_REGIONS, FEATURE_SIZE)
    np.testing.assert_array_equal(store.read_column("boxes", rows), everything(store, "boxes")[[7, 0, 5, 7]])


def test_the_row_hash_does_not_depend_on_the_format(tmp_path: Path) -> None:
    hashes = [make(tmp_path / f"store{suffix}").row_hash.tolist() for suffix in (*SUFFIXES, ".json")]
    assert hashes[0] == hashes[1] == hashes[2]
    assert len(set(hashes[0])) == len(IDS)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_it(store: FeatureStore, method: str) -> None:
    check(store)  # so that there is a handle to inherit
    process = multiprocessing.get_context(method).Process(target=check, args=(store,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    check(store)


def test_a_pickle_holds_no_features(store: FeatureStore) -> None:
    check(pickle.loads(pickle.dumps(store)))
    assert len(pickle.dumps(store)) < 2000


def test_damaged_rows_are_found(store: FeatureStore) -> None:
    assert store.damaged(np.arange(len(IDS))) == []
    changed = store.row_hash.copy()
    changed[[2, 6]] += np.uint64(1)
    for part in getattr(store, "parts", [store]):
        first = IDS.index(part.image_ids[0])
        part.row_hash = changed[first : first + len(part.image_ids)]
    assert store.damaged(np.arange(len(IDS))) == [2, 6]
    assert store.damaged(np.array([6, 0])) == [6]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_unfinished_store_is_taken_up(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"store{suffix}"
    first = begin(path)
    assert [file.name for file in tmp_path.iterdir()] == [f"store.partial{suffix}"]
    write(first, [0, 1, 5])
    first.fail(2)
    first.commit()
    write(first, [3])  # what is not committed may be lost
    assert list(first.pending(4)) == [range(4, 8)]
    del first
    second = open_writer(path)
    assert second.image_ids == IDS
    assert second.attributes["compute"] == ATTRIBUTES["compute"]
    assert list(second.pending(2)) == [range(2, 4), range(4, 6), range(6, 8)]
    second.forget_failures()
    write(second, [2, 3, 4, 6, 7])
    assert list(second.pending(2)) == []
    assert second.finish() == path
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    check(open_store(path))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_failed_images_are_not_there(tmp_path: Path, suffix: str) -> None:
    writer = begin(tmp_path / f"store{suffix}")
    write(writer, [0, 2, 3, 4, 5, 6, 7])
    writer.fail(1)
    store = open_store(writer.finish())
    assert store.skipped == {"train/1"}
    assert "train/1" not in store.row_of
    assert "(train/1)" in message(store.rows, ["train/1"])


@pytest.mark.parametrize("source", [*SUFFIXES, ".json"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_are_taken_over_from_any_format(tmp_path: Path, source: str, suffix: str) -> None:
    old = make(tmp_path / f"old{source}")
    check(open_store(begin(tmp_path / f"new{suffix}", earlier=[old]).finish()))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_store_that_cannot_be_made_leaves_nothing(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"store{suffix}"
    old = make(tmp_path / "old.h5")

    def fail(self, store) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(WRITERS["lmdb" if suffix == ".lmdb" else "hdf5"], "take_over", fail)
    assert message(lambda: begin(path, earlier=[old])) == f"cannot write {partial_path(path)}: No space left on device"
    assert [file.name for file in tmp_path.iterdir()] == ["old.h5"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_store_grows_beyond_the_10_mb_that_lmdb_has_by_default(tmp_path: Path, suffix: str) -> None:
    rows = np.random.default_rng(0).standard_normal((2, 64, 1024)).astype(np.float16)
    ids = [f"{i}" for i in range(120)]
    create_store(tmp_path / f"large{suffix}", ids, num_regions=64, feature_size=1024, dtype="float16", attributes=ATTRIBUTES)
    writer = open_writer(tmp_path / f"large{suffix}")
    for row in range(0, 120, 2):
        writer.write([row, row + 1], rows, [0, 0])
    store = open_store(writer.finish())
    assert store.path.stat().st_size > 15_000_000
    np.testing.assert_array_equal(store.read(np.array([119, 0])), rows[[1, 0]])


def test_an_lmdb_row_is_as_long_as_its_regions_are_many(tmp_path: Path) -> None:
    path = make(tmp_path / "store.lmdb").path
    with lmdb.open(str(path), subdir=False, lock=False, readonly=True).begin() as transaction:
        lengths = [len(transaction.get(row.to_bytes(8, "big"))) for row in range(len(IDS))]
    a_region = 2 * FEATURE_SIZE + 4 * 4 + 4 + 4
    assert lengths == [24 + count * a_region for count in COUNTS]


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.lmdb"
    with lmdb.open(str(path), subdir=False, lock=False) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"0000001", b"of another program")
    assert message(open_store, path) == f"{path} is an LMDB file but not a feature store: meta is missing"
    content = make(tmp_path / "store.lmdb").path.read_bytes()
    for size in (100, 5000, len(content) - 4096):
        cut = tmp_path / f"cut{size}.lmdb"
        cut.write_bytes(content[:size])
        assert str(cut) in message(open_store, cut)
    (tmp_path / "joined.json").write_text("{}")
    assert "does not name the parts" in message(open_store, tmp_path / "joined.json")
    write_joined(tmp_path / "joined.json", [tmp_path / "gone.h5"])
    assert f"joined.json names {tmp_path / 'gone.h5'} as one of its parts" in message(open_store, tmp_path / "joined.json")
    (tmp_path / "gone.h5").write_bytes(b"no store")
    assert f"a part of {tmp_path / 'joined.json'}: cannot open" in message(open_store, tmp_path / "joined.json")
    (tmp_path / "empty.lmdb").touch()
    assert "empty.lmdb is empty" in message(open_store, tmp_path / "empty.lmdb")


def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    paths = []
    for number, fingerprint in enumerate("ab"):
        writer = begin(tmp_path / f"part{number}.h5", [f"{number}"], attributes={"fingerprint": fingerprint})
        writer.fail(0)
        paths.append(writer.finish())
    write_joined(tmp_path / "joined.json", paths)
    text = message(open_store, tmp_path / "joined.json")
    assert text == f"{paths[0]} and {paths[1]} do not belong together: fingerprint a and b"
    write_joined(tmp_path / "joined.json", [paths[0], paths[0]])
    with pytest.raises(UserError, match="'0' comes twice"):
        open_store(tmp_path / "joined.json")


def test_parts_are_found_after_their_folder_was_moved(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    make(tmp_path / "here" / "store.json")
    (tmp_path / "here").rename(tmp_path / "there")
    check(open_store(tmp_path / "there" / "store.json"))


@pytest.mark.parametrize("suffix", [".h5", ".lmdb"])
@pytest.mark.parametrize(("written", "other"), [(b"train/3", b"train/9"), (b"224", b"225")])
def test_an_image_id_or_an_attribute_that_was_changed_is_noticed(
    tmp_path: Path, suffix: str, written: bytes, other: bytes
) -> None:
    path = make(tmp_path / f"store{suffix}").path
    content = path.read_bytes()
    assert written in content
    path.write_bytes(content.replace(written, other))
    assert f"{path} is damaged: its image ids or attributes are not those that were written" in message(open_store, path)
