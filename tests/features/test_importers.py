"""Published features: each format in a small file made as the programs of that format make it."""

import base64
import json
import os
import pickle
from pathlib import Path
from typing import Any

import h5py
import lmdb
import numpy as np
import pytest
import torch

from preprocessing.import_features import import_features
from tests.conftest import everything
from vqa_rnn.cli import main
from vqa_rnn.errors import UserError
from vqa_rnn.features.importers import SOURCES
from vqa_rnn.features.store import FeatureStore, open_store, partial_path

SIZE = 5
COUNTS = {"1": 3, "42": 1, "7": 2}
WIDTH, HEIGHT = 640, 480
RANDOM = np.random.default_rng(0)
FEATURES = {name: RANDOM.normal(size=(count, SIZE)).astype(np.float32) for name, count in COUNTS.items()}
PIXELS = {
    name: np.sort(RANDOM.uniform(0, 480, (count, 2, 2)), axis=1).reshape(count, 4).astype(np.float32)
    for name, count in COUNTS.items()
}
LABELS = {name: RANDOM.integers(0, 1600, count) for name, count in COUNTS.items()}
SCORES = {name: RANDOM.random(count, dtype=np.float32) for name, count in COUNTS.items()}


def boxes(name: str) -> np.ndarray:
    return PIXELS[name] / [WIDTH, HEIGHT, WIDTH, HEIGHT]


def base64_of(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def tsv(folder: Path) -> Path:
    lines = [[name, WIDTH, HEIGHT, count, base64_of(PIXELS[name]), base64_of(FEATURES[name])] for name, count in COUNTS.items()]
    return write_tsv(folder / "trainval.tsv", lines)


def lxmert_tsv(folder: Path) -> Path:
    lines = []
    for name, count in COUNTS.items():
        detected = [base64_of(values) for values in (LABELS[name], SCORES[name], LABELS[name], SCORES[name])]
        lines.append([name, HEIGHT, WIDTH, *detected, count, base64_of(PIXELS[name]), base64_of(FEATURES[name])])
    return write_tsv(folder / "train_obj36.tsv", lines)


def write_tsv(path: Path, lines: list[list[Any]]) -> Path:
    path.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines))
    return path


def attention_hdf5(folder: Path) -> Path:
    """10 to 100 regions: the rows of all images end to end."""
    with h5py.File(folder / "train.hdf5", "w") as file:
        file["image_features"] = np.concatenate(list(FEATURES.values()))
        spatial = [np.hstack([boxes(name), np.ones((count, 2))]) for name, count in COUNTS.items()]
        file["spatial_features"] = np.concatenate(spatial).astype(np.float32)
        ends = np.cumsum(list(COUNTS.values()))
        file["pos_boxes"] = np.stack([ends - list(COUNTS.values()), ends], axis=1)
    (folder / "train_imgid2idx.pkl").write_bytes(pickle.dumps({int(name): i for i, name in enumerate(COUNTS)}, protocol=2))
    return folder / "train.hdf5"


def openvqa(folder: Path) -> Path:
    (folder / "train2014").mkdir()
    for name, count in COUNTS.items():
        np.savez(
            folder / "train2014" / f"COCO_train2014_{int(name):012d}.jpg.npz",
            x=FEATURES[name].T,
            bbox=PIXELS[name],
            num_bbox=count,
            image_h=HEIGHT,
            image_w=WIDTH,
        )
    return folder / "train2014"


def mmf_item(name: str) -> dict[str, Any]:
    return {
        "bbox": PIXELS[name],
        "num_boxes": COUNTS[name],
        "objects": LABELS[name],
        "cls_prob": np.stack([SCORES[name], np.zeros(COUNTS[name], np.float32)], axis=1),
        "image_width": WIDTH,
        "image_height": HEIGHT,
        "image_id": name,
    }


def mmf_npy(folder: Path) -> Path:
    (folder / "features").mkdir()
    for name in COUNTS:
        np.save(folder / "features" / f"COCO_{name}.npy", FEATURES[name])
        np.save(folder / "features" / f"COCO_{name}_info.npy", mmf_item(name))  # type: ignore[arg-type]
    return folder / "features"


def mmf_lmdb(folder: Path) -> Path:
    path = folder / "features.lmdb"
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"keys", pickle.dumps([f"COCO_{name}".encode() for name in COUNTS]))
        for name in COUNTS:
            transaction.put(f"COCO_{name}".encode(), pickle.dumps({"features": FEATURES[name], **mmf_item(name)}))
    return path


RAGGED = {
    "bottom-up-tsv": tsv,
    "bottom-up-hdf5": attention_hdf5,
    "openvqa-npz": openvqa,
    "mmf-npy": mmf_npy,
    "mmf-lmdb": mmf_lmdb,
}


def import_file(kind: str, path: Path, output: Path, **options: Any) -> FeatureStore:
    return open_store(import_features([SOURCES[kind](path)], [path], kind, output, **options))


def check(store: FeatureStore, *, detected: bool = False) -> None:
    assert sorted(store.row_of) == sorted(COUNTS)
    assert (store.num_regions_max, store.feature_size) == (3, SIZE)
    features, places = everything(store), everything(store, "boxes")
    for name, count in COUNTS.items():
        row = store.row_of[name]
        assert store.num_regions[row] == count
        np.testing.assert_array_equal(features[row, :count], FEATURES[name])
        assert not features[row, count:].any()
        np.testing.assert_allclose(places[row, :count], boxes(name), atol=1e-6)
        if detected:
            np.testing.assert_array_equal(everything(store, "labels")[row, :count], LABELS[name])
            np.testing.assert_array_equal(everything(store, "scores")[row, :count], SCORES[name])


@pytest.mark.parametrize("suffix", [".h5", ".lmdb"])
@pytest.mark.parametrize("kind", RAGGED)
def test_a_published_format_is_read(tmp_path: Path, kind: str, suffix: str):
    store = import_file(kind, RAGGED[kind](tmp_path), tmp_path / f"store{suffix}", ids="coco", dtype="float32")
    check(store, detected=kind.startswith("mmf"))
    assert store.attributes["backbone"] == f"imported/{kind}"


def test_the_lines_of_lxmert_have_labels_and_scores(tmp_path: Path):
    check(import_file("bottom-up-tsv", lxmert_tsv(tmp_path), tmp_path / "store.h5", dtype="float32"), detected=True)


def test_36_regions_in_hdf5(tmp_path: Path):
    features = RANDOM.normal(size=(2, 4, SIZE)).astype(np.float32)
    with h5py.File(tmp_path / "train36.hdf5", "w") as file:
        file["image_features"] = features
        file["image_bb"] = np.full((2, 4, 4), 100.0)
        file["spatial_features"] = np.full((2, 4, 6), 0.25, dtype=np.float32)
    (tmp_path / "train36_imgid2idx.pkl").write_bytes(pickle.dumps({9: 1, 8: 0}, protocol=2))
    store = import_file("bottom-up-hdf5", tmp_path / "train36.hdf5", tmp_path / "store.h5", dtype="float32")
    assert store.image_ids == ["8", "9"]
    np.testing.assert_array_equal(everything(store), features)
    assert (everything(store, "boxes") == 0.25).all()


@pytest.mark.parametrize("ids_key", ["image_id", "image_ids"])
@pytest.mark.parametrize("num_regions", [1, 4])
def test_visdial_files_with_both_spellings(tmp_path: Path, ids_key: str, num_regions: int):
    features = RANDOM.normal(size=(2, num_regions, SIZE)).astype(np.float32)
    with h5py.File(tmp_path / "val.h5", "w") as file:
        file["features"] = features[:, 0] if num_regions == 1 else features
        file[ids_key] = [185565, 284024]
        file.attrs["split"] = "val"
    store = import_file("visdial-hdf5", tmp_path / "val.h5", tmp_path / "store.h5", dtype="float32")
    assert store.image_ids == ["185565", "284024"]
    assert not store.has_boxes
    np.testing.assert_array_equal(everything(store), features)


def test_grids_keep_their_shape_as_boxes(tmp_path: Path):
    (tmp_path / "grids").mkdir()
    grid = torch.arange(2 * 3 * 4, dtype=torch.float32).view(1, 2, 3, 4)  # size 2, 3 cells high, 4 wide
    torch.save(grid, tmp_path / "grids" / "12.pth")
    torch.save(grid[..., :2], tmp_path / "grids" / "13.pth")
    store = import_file("grid-feats-pth", tmp_path / "grids", tmp_path / "store.h5")
    assert (store.image_ids, store.num_regions.tolist()) == (["12", "13"], [12, 6])
    np.testing.assert_array_equal(everything(store)[0, 5], grid[0, :, 1, 1])
    np.testing.assert_allclose(everything(store, "boxes")[0, 5], [0.25, 1 / 3, 0.5, 2 / 3])


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5"])
def test_arrays_of_any_origin(tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]):
    features = RANDOM.normal(size=(2, 4, SIZE)).astype(np.float32)
    places = RANDOM.random((2, 4, 4), dtype=np.float32)
    path, options = tmp_path / f"mine{suffix}", ["--features-key", "x", "--ids-key", "names"]
    if suffix == ".npy":
        np.save(path, features)
        (tmp_path / "ids.txt").write_text("a.jpg\nb.jpg\n")
        options = ["--ids-file", str(tmp_path / "ids.txt")]
    elif suffix == ".npz":
        np.savez(path, x=features, names=["a.jpg", "b.jpg"], places=places)
    else:
        with h5py.File(path, "w") as file:
            file["x"], file["names"], file["places"] = features, ["a.jpg", "b.jpg"], places
    if suffix != ".npy":
        options += ["--boxes-key", "places"]
    output = tmp_path / "store.h5"
    command = ["features", "import", "arrays", str(path), "-o", str(output), "--dtype", "float32", *options, "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 2
    store = open_store(output)
    assert store.image_ids == ["a.jpg", "b.jpg"]
    np.testing.assert_array_equal(everything(store), features)
    if suffix != ".npy":
        np.testing.assert_array_equal(everything(store, "boxes"), places)


def test_a_file_of_ids_need_not_end_with_a_line_break(tmp_path: Path):
    np.save(tmp_path / "mine.npy", np.zeros((2, 1, SIZE)))
    (tmp_path / "ids.txt").write_text("a.jpg\nb.jpg")
    assert SOURCES["arrays"](tmp_path / "mine.npy", ids_file=tmp_path / "ids.txt").names == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("make", [mmf_npy, mmf_lmdb])
def test_images_that_differ_in_what_is_stored_are_refused(tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(FEATURES, "42", np.zeros((1, SIZE + 1), np.float32))
    kind = "mmf-npy" if make is mmf_npy else "mmf-lmdb"
    with pytest.raises(UserError, match=r"COCO_\d+ has features of size \d with boxes, labels, scores, and COCO_1 of size 5"):
        SOURCES[kind](make(tmp_path))


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("owned",)


def malicious_ids(folder: Path) -> Path:
    path = attention_hdf5(folder)
    (folder / "train_imgid2idx.pkl").write_bytes(pickle.dumps({1: Malicious()}))
    return path


def malicious_info(folder: Path) -> Path:
    path = mmf_npy(folder)
    np.save(path / "COCO_1_info.npy", {"bbox": Malicious()})  # type: ignore[arg-type]
    return path


def malicious_features(folder: Path) -> Path:
    path = mmf_npy(folder)
    np.save(path / "COCO_1.npy", np.array([Malicious()], dtype=object))
    return path


def malicious_keys(folder: Path) -> Path:
    path = mmf_lmdb(folder)
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"keys", pickle.dumps([Malicious()]))
    return path


def malicious_item(folder: Path) -> Path:
    path = mmf_lmdb(folder)
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"COCO_42", pickle.dumps({"features": Malicious()}))
    return path


def malicious_tensor(folder: Path) -> Path:
    (folder / "grids").mkdir()
    torch.save(Malicious(), folder / "grids" / "1.pth")
    return folder / "grids"


def malicious_npz(folder: Path) -> Path:
    path = openvqa(folder)
    np.savez(path / "COCO_1.jpg.npz", x=np.array([Malicious()], dtype=object))
    return path


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("bottom-up-hdf5", malicious_ids),
        ("mmf-npy", malicious_info),
        ("mmf-npy", malicious_features),
        ("mmf-lmdb", malicious_keys),
        ("mmf-lmdb", malicious_item),
        ("grid-feats-pth", malicious_tensor),
        ("openvqa-npz", malicious_npz),
    ],
    ids=["ids", "info", "features", "keys", "item", "tensor", "npz"],
)
def test_a_malicious_pickle_is_refused_and_runs_nothing(
    tmp_path: Path, kind: str, make: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    path = make(tmp_path)
    assert main(["features", "import", kind, str(path), "-o", "store.h5"]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert "\n" not in error
    assert not Path("owned").exists()
    assert not Path("store.h5").exists()


def spoil_number(lines: list[list[Any]]) -> None:
    lines[1][3] = "three"


def spoil_tab(lines: list[list[Any]]) -> None:
    lines[1] = lines[1][:5]


def add_labels(lines: list[list[Any]]) -> None:
    name, width, height, *others = lines[1]
    lines[1] = [name, height, width, *[base64_of(np.zeros(1))] * 4, *others]


def cut_off(lines: list[list[Any]]) -> None:
    lines[1][5] = lines[1][5][:-3]


def shorten(lines: list[list[Any]]) -> None:
    lines[1][4] = base64_of(np.zeros(3, np.float32))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_number, ":2: num_boxes is b'three', not a number"),
        (spoil_tab, ":2: 5 fields between tabs"),
        (add_labels, ":2: 10 fields between tabs, but line 1 has 6: put lines of different kinds into separate files"),
        (cut_off, ":2: features is cut off"),
        (shorten, ":2: boxes has 3 numbers, not 1 regions of 4"),
    ],
)
def test_a_line_that_is_not_right_is_named(tmp_path: Path, spoil: Any, words: str, capsys: pytest.CaptureFixture[str]):
    lines = [line.split("\t") for line in tsv(tmp_path).read_text().splitlines()]
    spoil(lines)
    path = write_tsv(tmp_path / "spoilt.tsv", lines)
    assert main(["features", "import", "bottom-up-tsv", str(path), "-o", str(tmp_path / "store.h5")]) == 2
    assert f"error: {path}{words}" in capsys.readouterr().err


def test_an_import_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vqa_rnn.features.store.copying.ROWS_AT_ONCE", 1)
    source, output = SOURCES["bottom-up-tsv"](tsv(tmp_path)), tmp_path / "store.h5"
    read, seen = source.read, []

    def stop_at_the_second(index: int):
        if len(seen) == 1:
            raise KeyboardInterrupt
        seen.append(index)
        return read(index)

    monkeypatch.setattr(source, "read", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        import_features([source], [tmp_path / "trainval.tsv"], "bottom-up-tsv", output, dtype="float32")
    assert partial_path(output).exists()
    monkeypatch.setattr(source, "read", lambda index: seen.append(index) or read(index))
    import_features([source], [tmp_path / "trainval.tsv"], "bottom-up-tsv", output, dtype="float32")
    assert seen == [0, 1, 2]
    check(open_store(output))


def test_several_files_become_one_store_and_the_first_line_of_an_image_counts(tmp_path: Path):
    (tmp_path / "more").mkdir()
    first, second = tsv(tmp_path), tmp_path / "more.tsv"
    line = ["99", WIDTH, HEIGHT, 1, base64_of(PIXELS["42"]), base64_of(FEATURES["42"])]
    again = ["1", WIDTH, HEIGHT, 1, base64_of(PIXELS["42"]), base64_of(FEATURES["42"])]
    write_tsv(second, [line, again])
    sources = [SOURCES["bottom-up-tsv"](path) for path in (first, second)]
    store = open_store(import_features(sources, [first, second], "bottom-up-tsv", tmp_path / "store.h5", dtype="float32"))
    assert store.image_ids == [*COUNTS, "99"]
    np.testing.assert_array_equal(store.read(store.rows(["1"]))[0], FEATURES["1"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bottom-up-tvs", "F"], "unknown format 'bottom-up-tvs': did you mean 'bottom-up-tsv'"),
        (["bottom-up-tsv", "gone.tsv"], "no file or folder at gone.tsv"),
        (["bottom-up-tsv", "F", "--ids", "number"], "unknown --ids 'number'"),
        (["bottom-up-tsv", "F", "--dtype", "float64"], "unknown --dtype 'float64'"),
        (["visdial-hdf5", "F"], "as HDF5"),
        (["arrays", "F"], "cannot read"),
        (["openvqa-npz", "."], "there are no .npz files of features"),
        (["mmf-lmdb", "F"], "as LMDB"),
    ],
)
def test_what_is_wrong_gets_one_line(
    tmp_path: Path, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    path = tsv(tmp_path)
    arguments = [str(path) if argument == "F" else argument for argument in arguments]
    assert main(["features", "import", *arguments, "-o", "store.h5"]) == 2
    error = capsys.readouterr().err.strip()
    assert words in error
    assert "\n" not in error


def test_a_value_beyond_float16_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    line = ["5", WIDTH, HEIGHT, 1, base64_of(PIXELS["42"]), base64_of(np.full((1, SIZE), 1e6, np.float32))]
    path = write_tsv(tmp_path / "large.tsv", [line])
    assert main(["features", "import", "bottom-up-tsv", str(path), "-o", str(tmp_path / "store.h5")]) == 2
    assert "image 5 has a value that is too large for float16: import with --dtype float32" in capsys.readouterr().err


def test_a_value_that_is_no_number_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    line = ["5", WIDTH, HEIGHT, 1, base64_of(PIXELS["42"]), base64_of(np.full((1, SIZE), np.nan, np.float32))]
    path = write_tsv(tmp_path / "nan.tsv", [line])
    arguments = ["features", "import", "bottom-up-tsv", str(path), "-o", str(tmp_path / "store.h5"), "--dtype", "float32"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "the features of image 5 contain NaN or infinity" in error
    assert f"what was done until then is in {tmp_path / 'store.partial.h5'}: delete it if the input changes" in error


def test_the_names_of_arrays_are_refused_beside_other_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["bottom-up-tsv", str(tsv(tmp_path)), "-o", str(tmp_path / "store.h5"), "--ids-key", "names"]
    assert main(["features", "import", *arguments]) == 2
    assert "--ids-key is for the format arrays" in capsys.readouterr().err


def test_pickled_objects_are_not_advised(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    np.savez(tmp_path / "objects.npz", features=np.array([{"a": 1}], dtype=object))
    (tmp_path / "objects").mkdir()
    np.savez(tmp_path / "objects/1.npz", x=np.array([{"a": 1}], dtype=object))
    for kind, file in (("arrays", "objects.npz"), ("openvqa-npz", "objects")):
        assert main(["features", "import", kind, str(tmp_path / file), "-o", str(tmp_path / "store.h5")]) == 2
        error = capsys.readouterr().err
        assert "pickled objects, which are not read" in error
        assert "allow_pickle" not in error


def test_imported_features_train_and_are_measured_and_ask_says_why_not(
    own_questions: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(own_questions.parent)
    images = sorted({json.loads(line)["image"] for line in own_questions.read_text().splitlines()})
    np.savez("mine.npz", features=RANDOM.normal(size=(len(images), 3, SIZE)), image_id=images)
    assert main(["features", "import", "arrays", "mine.npz", "-o", "features/mine.h5"]) == 0
    options = [f"dataset.path={own_questions}", "features.library=imported", "features.store=features/mine.h5"]
    small = ["model.question.hidden_size=8", "training.max_epochs=1", "run.name=mine", "evaluation.bootstrap_samples=50"]
    assert main(["preprocess", "jsonl", *options]) == 0
    assert main(["train", "jsonl", *options, *small]) == 0
    assert main(["evaluate", "runs/mine", "--json"]) == 0
    capsys.readouterr()
    picture = own_questions.parent / images[0]
    assert main(["ask", "runs/mine", "--image", str(picture), "--question", "what is it?"]) == 2
    assert "imported features (arrays), which cannot be extracted from another image" in capsys.readouterr().err
    assert main(["preprocess", "jsonl", f"dataset.path={own_questions}", "features.store=features/mine.h5"]) == 2
    assert "was imported, and features.library is timm: set features.library=imported" in capsys.readouterr().err


def test_imported_features_of_other_images_are_named(
    own_questions: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(own_questions.parent)
    import_file("bottom-up-tsv", tsv(own_questions.parent), own_questions.parent / "store.h5")
    options = [f"dataset.path={own_questions}", "features.library=imported"]
    assert main(["preprocess", "jsonl", *options, "features.store=store.h5"]) == 2
    assert "its images are called like 1: import it with other --ids" in capsys.readouterr().err
    assert main(["preprocess", "jsonl", *options]) == 2
    assert "library=imported needs store" in capsys.readouterr().err
    assert main(["preprocess", "jsonl", *options, "features.store=store.txt"]) == 2
    assert "store=store.txt must end in .h5 or .lmdb" in capsys.readouterr().err


def test_imported_features_of_some_images_are_called_too_few(
    own_questions: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(own_questions.parent)
    images = sorted({json.loads(line)["image"] for line in own_questions.read_text().splitlines()})[1:]
    np.savez("mine.npz", features=RANDOM.normal(size=(len(images), 3, SIZE)), image_id=images)
    assert main(["features", "import", "arrays", "mine.npz", "-o", "mine.h5"]) == 0
    options = [f"dataset.path={own_questions}", "features.library=imported", "features.store=mine.h5"]
    assert main(["preprocess", "jsonl", *options]) == 2
    assert "import theirs too, or set features.skip_damaged=true" in capsys.readouterr().err
    assert main(["preprocess", "jsonl", *options, "features.skip_damaged=true"]) == 0
    assert ", 1 of them skipped" in capsys.readouterr().out
    assert main(["train", "jsonl", *options]) == 2
    assert "import those too" in capsys.readouterr().err


def test_every_format_is_tested():
    assert {*RAGGED, "visdial-hdf5", "grid-feats-pth", "arrays"} == set(SOURCES)


def test_what_a_file_holds_is_part_of_what_features_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """A file that was corrected after an import had stopped at it does not go on with what was read before."""
    monkeypatch.setattr("vqa_rnn.features.store.copying.ROWS_AT_ONCE", 1)
    path, output = tsv(tmp_path), tmp_path / "store.h5"
    good = path.read_text()
    lines = good.splitlines()
    broken = lines[-1].split("\t")
    broken[-1] = broken[-1][:-8] + "!!!!" + broken[-1][-4:]
    path.write_text("\n".join([*lines[:-1], "\t".join(broken)]) + "\n")
    arguments = ["features", "import", "bottom-up-tsv", str(path), "-o", str(output), "--dtype", "float32"]
    first = import_file("bottom-up-tsv", write_tsv(tmp_path / "x.tsv", [line.split("\t") for line in lines]), tmp_path / "x.h5")
    other = lines[0].split("\t")
    other[-1] = base64_of(FEATURES["1"] + 1)
    write_tsv(tmp_path / "x.tsv", [other, *(line.split("\t") for line in lines[1:])])
    assert import_file("bottom-up-tsv", tmp_path / "x.tsv", tmp_path / "y.h5").fingerprint != first.fingerprint
    assert main(arguments) == 2
    if partial_path(output).exists():
        path.write_text(good)
        capsys.readouterr()
        assert main(arguments) == 2
        assert f"{partial_path(output)} was begun with other features: delete it" in capsys.readouterr().err


def test_a_folder_of_tsv_files_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tsv(tmp_path)
    assert main(["features", "import", "bottom-up-tsv", str(tmp_path), "-o", str(tmp_path / "store.h5")]) == 2
    assert f"error: {tmp_path} is a folder: give its .tsv files" in capsys.readouterr().err
