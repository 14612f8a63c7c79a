import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import timm
import torch
import xxhash
from PIL import Image

import preprocessing.extract_features
from preprocessing.extract_features import extract_features
from tests.conftest import everything
from vqa_rnn.cli import main
from vqa_rnn.config import Config, FeaturesConfig, JsonlDataset
from vqa_rnn.errors import UserError
from vqa_rnn.features.backbones.layers import LayerGrids
from vqa_rnn.features.check import check_store
from vqa_rnn.features.extractor import Extractor
from vqa_rnn.features.find import find_store
from vqa_rnn.features.store import base, hdf5, open_store, partial_path
from vqa_rnn.features.store.parts import Share, part_path
from vqa_rnn.features.transform import Transform
from vqa_rnn.features.weights import weights_file
from vqa_rnn.files import hold
from vqa_rnn.records import Annotations


def draw_pictures(folder: Path, ids: list[str], size: int = 24) -> Annotations:
    folder.mkdir(exist_ok=True)
    for image_id in ids:
        seed = xxhash.xxh32_intdigest(image_id.encode())
        pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{image_id}.png")
    return Annotations(questions=(), images={name: folder / f"{name}.png" for name in ids})


def numbered(count: int) -> list[str]:
    return [f"{i:03}" for i in range(count)]


def config_for(store: Path, **features) -> Config:
    options = {"image_size": 32, "layers": ("blocks.1",), "precision": "float32", "batch_rows": 4, **features}
    return Config(dataset=JsonlDataset(), features=FeaturesConfig(store=store, **options))


def content(path: Path) -> dict[str, bytes]:
    with h5py.File(path, "r") as file:
        columns = {name: file[name][:] for name in file if name != "image_id"}
        values = {name: f"{column.dtype}{column.shape}".encode() + column.tobytes() for name, column in columns.items()}
        values["image_id"] = "\n".join(file["image_id"].asstr()[:]).encode()
        values |= {f"@{name}": str(value).encode() for name, value in file.attrs.items()}
        return values


def refusal(config: Config, annotations: Annotations) -> str:
    with pytest.raises(UserError) as caught:
        extract_features(config, annotations)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def interrupt_at(monkeypatch: pytest.MonkeyPatch, image_id: str) -> None:
    """Stand for Ctrl-C while an image is being read."""
    load = Transform.load

    def load_or_stop(self, path: Path, content: bytes | None = None, *, mirror: bool = False) -> Image.Image:
        if path.stem == image_id:
            raise KeyboardInterrupt
        return load(self, path, content, mirror=mirror)

    monkeypatch.setattr(Transform, "load", load_or_stop)


def count_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that the backbone runs, its trials left out."""
    sizes: list[int] = []
    begin = Extractor.begin

    def counted(self, images):
        sizes.append(len(images.views))
        return begin(self, images)

    monkeypatch.setattr(Extractor, "begin", counted)
    return sizes


def begin(config: Config, annotations: Annotations, until: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, until)
        with pytest.raises(KeyboardInterrupt):
            extract_features(config, annotations)
    assert not config.features.store.exists()
    assert partial_path(config.features.store).exists()


def test_rows_are_the_extractors_own_in_the_order_of_ids(tmp_path: Path) -> None:
    ids = ["b", "é", "a", "10", "9"]
    annotations = draw_pictures(tmp_path / "images", ids)
    config = config_for(tmp_path / "store.h5")
    report = extract_features(config, annotations)
    assert (report.store, report.num_images, report.num_done, report.failed) == (tmp_path / "store.h5", 5, 5, {})
    store = open_store(report.store)
    assert store.image_ids == sorted(ids)
    extractor = Extractor(config.features)
    for row, image_id in enumerate(store.image_ids):
        path = annotations.images[image_id]
        expected = extractor.regions([extractor.transform.load(path)])[0].astype(np.float32)
        np.testing.assert_allclose(everything(store)[row], expected, rtol=2e-3, atol=1e-4 * np.abs(expected).max())
        assert store.source_hash[row] == xxhash.xxh64(path.read_bytes()).intdigest()
        assert store.row_hash[row] == xxhash.xxh64(everything(store)[row].tobytes()).intdigest()
    assert store.fingerprint == extractor.fingerprint
    assert store.description == extractor.description
    compute = {"precision": "float32", "layout": "channels_last", "compiled": False, "folds_norms": True, "batch_rows": 4}
    assert store.attributes["compute"] == compute
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".h5"] == ["store.h5"]


@pytest.mark.parametrize(("until", "left"), [("000", 18), ("013", 6), ("017", 2)])
def test_a_stopped_job_goes_on_and_ends_in_the_same_bytes(tmp_path: Path, monkeypatch, until: str, left: int) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(18))
    extract_features(config_for(tmp_path / "whole.h5"), annotations)
    config = config_for(tmp_path / "stopped.h5")
    begin(config, annotations, until)
    batches = count_rows(monkeypatch)
    report = extract_features(config, annotations)
    assert (report.num_images, report.num_done) == (18, left)
    assert sum(batches) == left
    assert content(tmp_path / "stopped.h5") == content(tmp_path / "whole.h5")
    assert not partial_path(tmp_path / "stopped.h5").exists()


def test_an_unfinished_store_settles_precision_and_batches(tmp_path: Path) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(10))
    extract_features(config_for(tmp_path / "whole.h5"), annotations)
    begin(config_for(tmp_path / "stopped.h5"), annotations, "005")
    extract_features(config_for(tmp_path / "stopped.h5", precision="bfloat16", batch_rows=3), annotations)
    assert content(tmp_path / "stopped.h5") == content(tmp_path / "whole.h5")


def test_a_finished_store_is_left_alone(tmp_path: Path, monkeypatch) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(5))
    config = config_for(tmp_path / "store.h5")
    extract_features(config, annotations)
    before, changed = content(tmp_path / "store.h5"), (tmp_path / "store.h5").stat().st_mtime_ns
    batches = count_rows(monkeypatch)
    report = extract_features(config, annotations)
    assert (report.num_images, report.num_done, batches) == (5, 0, [])
    assert content(tmp_path / "store.h5") == before
    assert (tmp_path / "store.h5").stat().st_mtime_ns == changed


def test_fewer_images_are_served_by_the_store_that_has_them(tmp_path: Path) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(5))
    config = config_for(tmp_path / "store.h5")
    extract_features(config, annotations)
    fewer = Annotations(questions=(), images=dict(list(annotations.images.items())[:2]))
    report = extract_features(config, fewer)
    assert (report.num_images, report.num_done) == (5, 0)


@pytest.mark.parametrize("added", [["100", "101", "102"], ["001x", "050", "100"], ["0", "004a"]])
def test_images_added_later_are_done_and_the_others_taken_over(tmp_path: Path, monkeypatch, added: list[str]) -> None:
    old = draw_pictures(tmp_path / "images", numbered(8))
    config = config_for(tmp_path / "store.h5")
    extract_features(config, old)
    before = open_store(tmp_path / "store.h5")
    rows_before = {image_id: everything(before)[row] for image_id, row in before.row_of.items()}
    hashes_before = {image_id: (before.source_hash[row], before.row_hash[row]) for image_id, row in before.row_of.items()}
    both = draw_pictures(tmp_path / "images", numbered(8) + added)
    batches = count_rows(monkeypatch)
    report = extract_features(config, both)
    store = open_store(tmp_path / "store.h5")
    assert set(store.row_of) == set(both.images)
    for image_id, features in rows_before.items():
        row = store.row_of[image_id]
        np.testing.assert_array_equal(everything(store)[row], features)
        assert (store.source_hash[row], store.row_hash[row]) == hashes_before[image_id]
        assert store.num_regions[row] == store.num_regions_max
    assert sum(batches) == len(added)
    assert (report.num_images, report.num_done) == (8 + len(added), len(added))


def test_a_job_that_adds_images_computes_as_the_store_was_begun(tmp_path: Path) -> None:
    old = draw_pictures(tmp_path / "images", numbered(4))
    extract_features(config_for(tmp_path / "store.h5"), old)
    made = open_store(tmp_path / "store.h5").attributes["compute"]
    both = draw_pictures(tmp_path / "images", numbered(8))
    extract_features(config_for(tmp_path / "store.h5", precision="bfloat16", batch_rows=3), both)
    assert open_store(tmp_path / "store.h5").attributes["compute"] == made


def test_the_old_store_serves_while_a_job_that_adds_images_is_stopped(tmp_path: Path) -> None:
    old = draw_pictures(tmp_path / "images", numbered(4))
    config = config_for(tmp_path / "store.h5")
    extract_features(config, old)
    both = draw_pictures(tmp_path / "images", numbered(12))
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, "010")
        with pytest.raises(KeyboardInterrupt):
            extract_features(config, both)
    assert set(open_store(tmp_path / "store.h5").row_of) == set(old.images)
    report = extract_features(config, both)
    assert report.num_done == 4
    assert set(open_store(tmp_path / "store.h5").row_of) == set(both.images)
    assert not partial_path(tmp_path / "store.h5").exists()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def write_note(path: Path) -> None:
    path.write_text("not a picture", encoding="utf-8")


DAMAGES = {"truncated": truncate, "text": write_note}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_image_stops_the_job_and_once_repaired_it_goes_on(tmp_path: Path, damage) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(10))
    extract_features(config_for(tmp_path / "whole.h5"), annotations)
    damage(annotations.images["006"])
    config = config_for(tmp_path / "store.h5")
    assert str(annotations.images["006"]) in refusal(config, annotations)
    assert not (tmp_path / "store.h5").exists()
    draw_pictures(tmp_path / "images", ["006"])
    report = extract_features(config, annotations)
    assert report.num_done == 6
    assert content(tmp_path / "store.h5") == content(tmp_path / "whole.h5")


def test_damaged_images_are_skipped_and_listed_on_demand(tmp_path: Path) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(10))
    extract_features(config_for(tmp_path / "whole.h5"), annotations)
    whole = open_store(tmp_path / "whole.h5")
    bad = {"001": truncate, "008": write_note, "009": Path.unlink}
    for image_id, damage in bad.items():
        damage(annotations.images[image_id])
    report = extract_features(config_for(tmp_path / "store.h5", skip_damaged=True), annotations)
    assert set(report.failed) == set(bad)
    assert all(str(annotations.images[image_id]) in reason for image_id, reason in report.failed.items())
    assert (report.num_images, report.num_done) == (10, 7)
    store = open_store(report.store)
    assert [store.image_ids[row] for row in np.flatnonzero(store.failed)] == sorted(bad)
    assert set(store.row_of) == set(annotations.images) - set(bad)
    for image_id, row in store.row_of.items():
        expected = everything(whole)[whole.row_of[image_id]].astype(np.float32)
        np.testing.assert_allclose(everything(store)[row], expected, rtol=2e-3, atol=1e-4 * np.abs(expected).max())


def test_a_batch_of_damaged_images_only_is_passed_over(tmp_path: Path) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(6))
    for image_id in numbered(4):
        truncate(annotations.images[image_id])
    report = extract_features(config_for(tmp_path / "store.h5", skip_damaged=True), annotations)
    assert set(report.failed) == set(numbered(4))
    assert set(open_store(report.store).row_of) == {"004", "005"}


@pytest.mark.parametrize("change", [{"layers": ("blocks.0",)}, {"image_size": 48}, {"resize": "pad"}, {"grid_size": 2}])
def test_a_store_with_other_settings_is_refused_and_kept(tmp_path: Path, change) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(6))
    begin(config_for(tmp_path / "begun.h5"), annotations, "005")
    extract_features(config_for(tmp_path / "finished.h5"), annotations)
    for config, file in (
        (config_for(tmp_path / "begun.h5", **change), tmp_path / "begun.partial.h5"),
        (config_for(tmp_path / "finished.h5", **change), tmp_path / "finished.h5"),
    ):
        before = content(file)
        assert str(file) in refusal(config, annotations)
        assert content(file) == before


def test_a_store_begun_for_other_images_hands_over_its_rows(tmp_path: Path) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(10))
    extract_features(config_for(tmp_path / "whole.h5"), draw_pictures(tmp_path / "images", [*numbered(10), "0000"]))
    config = config_for(tmp_path / "store.h5")
    truncate(annotations.images["006"])
    refusal(config, annotations)  # the first range of four rows is finished
    both = draw_pictures(tmp_path / "images", [*numbered(10), "0000"])
    assert extract_features(config, both).num_done == 7
    ours, whole = open_store(tmp_path / "store.h5"), open_store(tmp_path / "whole.h5")
    assert ours.image_ids == whole.image_ids
    np.testing.assert_allclose(everything(ours).astype(float), everything(whole).astype(float), rtol=2e-2, atol=2e-2)
    np.testing.assert_array_equal(ours.source_hash, whole.source_hash)


def test_a_job_stopped_while_it_takes_rows_over_loses_none(tmp_path: Path, monkeypatch) -> None:
    config = config_for(tmp_path / "store.h5")
    extract_features(config, draw_pictures(tmp_path / "images", numbered(10)))
    before = content(tmp_path / "store.h5")
    more = draw_pictures(tmp_path / "images", numbered(12))
    write = hdf5.Hdf5Writer.write

    def write_or_stop(self, rows, *rest, **columns):
        if 6 in rows:
            raise KeyboardInterrupt
        write(self, rows, *rest, **columns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hdf5.Hdf5Writer, "write", write_or_stop)
        with pytest.raises(KeyboardInterrupt):
            extract_features(config, more)
    assert content(tmp_path / "store.h5") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "store.h5"]
    assert extract_features(config, more).num_done == 2
    assert set(open_store(tmp_path / "store.h5").row_of) == set(numbered(12))


def test_an_image_that_was_replaced_is_extracted_anew(tmp_path: Path) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(10))
    config = config_for(tmp_path / "store.h5")
    extract_features(config, annotations)
    before = open_store(tmp_path / "store.h5").source_hash.copy()
    later = time.time() + 10
    for image_id in ("002", "007"):
        os.utime(annotations.images[image_id], (later, later))  # touched, but the same
    assert extract_features(config, annotations).num_done == 0
    Image.new("RGB", (24, 24), "red").save(annotations.images["007"])
    os.utime(annotations.images["007"], (later, later))
    assert extract_features(config, annotations).num_done == 1
    after = open_store(tmp_path / "store.h5").source_hash
    np.testing.assert_array_equal(np.flatnonzero(before != after), [7])


def test_a_replaced_image_that_is_older_than_the_store_is_found_on_demand(tmp_path: Path) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(10))
    config = config_for(tmp_path / "store.h5")
    extract_features(config, annotations)
    before = open_store(tmp_path / "store.h5").source_hash.copy()
    Image.new("RGB", (24, 24), "red").save(annotations.images["007"])
    later = time.time() + 10
    os.utime(tmp_path / "store.h5", (later, later))  # as if it had been copied
    assert extract_features(config, annotations).num_done == 0
    report = extract_features(config, annotations, check_images=True)
    assert (report.num_done, report.replaced) == (1, ["007"])
    after = open_store(tmp_path / "store.h5").source_hash
    np.testing.assert_array_equal(np.flatnonzero(before != after), [7])


def test_check_images_reads_each_image_once_if_one_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = numbered(6)
    annotations = draw_pictures(tmp_path / "images", ids)
    few = Annotations(questions=(), images={name: annotations.images[name] for name in ids[:5]})
    extract_features(config_for(tmp_path / "store.h5"), few)
    compared: list[str] = []
    compare = preprocessing.extract_features._was_replaced

    def counted(store, image_id: str, *others) -> bool:
        compared.append(image_id)
        return compare(store, image_id, *others)

    monkeypatch.setattr("preprocessing.extract_features._was_replaced", counted)
    assert extract_features(config_for(tmp_path / "store.h5"), annotations, check_images=True).num_done == 1
    assert compared == ids[:5]


def test_a_store_that_is_computed_in_another_way_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(10))
    begin(config_for(tmp_path / "store.h5"), annotations, "005")
    monkeypatch.setattr(LayerGrids, "fold_norms", lambda self, sample: False)
    extract_features(config_for(tmp_path / "store.h5"), annotations)
    text = f"{tmp_path / 'store.partial.h5'} was computed with folds_norms=True, which is not possible here: new rows differ"
    assert text in caplog.text


def test_parts_of_an_earlier_version_share_a_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    annotations = draw_pictures(tmp_path / "images", ids := numbered(8))
    monkeypatch.setattr(Extractor, "compute", {"precision": "float32", "layout": "channels_last", "batch_rows": 4})
    for number in (0, 1):
        few = Annotations(questions=(), images={name: annotations.images[name] for name in ids[4 * number : 4 * number + 4]})
        begin(config_for(part_path(tmp_path / "store.h5", Share(number, 2))), few, ids[4 * number + 1])
    monkeypatch.undo()
    opened: list[Extractor] = []
    load = Extractor.__init__

    def counted(self, *arguments) -> None:
        opened.append(self)
        load(self, *arguments)

    monkeypatch.setattr(Extractor, "__init__", counted)
    assert extract_features(config_for(tmp_path / "store.h5"), annotations).store == tmp_path / "store.json"
    assert len(opened) == 1


def test_check_images_says_which_files_are_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(10))
    config = config_for(tmp_path / "store.h5")
    extract_features(config, annotations)
    annotations.images["003"].unlink()
    annotations.images["004"].unlink()
    assert extract_features(config, annotations, check_images=True).num_done == 0
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "no image at" in record.getMessage()
    assert "003.png" in record.getMessage()
    assert "(and 1 more are missing); their features stay as they are" in record.getMessage()


def test_an_image_that_was_replaced_after_a_stop_is_extracted_anew_when_the_job_goes_on(tmp_path: Path) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(10))
    config, same = config_for(tmp_path / "store.h5"), config_for(tmp_path / "same.h5")
    begin(config, annotations, "006")
    begin(same, annotations, "006")
    left = extract_features(same, annotations).num_done
    assert left < 8
    later = time.time() + 10
    os.utime(annotations.images["000"], (later, later))  # touched, but the same
    Image.new("RGB", (24, 24), "red").save(annotations.images["001"])
    os.utime(annotations.images["001"], (later, later))
    report = extract_features(config, annotations)
    assert (report.num_done, report.replaced) == (left + 1, ["001"])
    whole = config_for(tmp_path / "whole.h5")
    extract_features(whole, annotations)
    one, other = open_store(tmp_path / "store.h5"), open_store(tmp_path / "whole.h5")
    np.testing.assert_array_equal(everything(one), everything(other))
    np.testing.assert_array_equal(one.source_hash, other.source_hash)


def test_a_mended_image_is_tried_again_when_the_job_goes_on(tmp_path: Path) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(10))
    extract_features(config_for(tmp_path / "whole.h5"), annotations)
    truncate(annotations.images["001"])
    config = config_for(tmp_path / "store.h5", skip_damaged=True)
    begin(config, annotations, "006")
    draw_pictures(tmp_path / "images", ["001"])
    assert extract_features(config, annotations).failed == {}
    assert content(tmp_path / "store.h5") == content(tmp_path / "whole.h5")


def test_a_finished_store_still_says_what_could_not_be_read(tmp_path: Path) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(6))
    truncate(annotations.images["001"])
    config = config_for(tmp_path / "store.h5", skip_damaged=True)
    extract_features(config, annotations)
    report = extract_features(config, annotations)
    assert (report.num_done, set(report.failed)) == (0, {"001"})
    with pytest.raises(UserError, match="1 of 6 images could not be read when it was made, such as 001"):
        extract_features(config_for(tmp_path / "store.h5"), annotations)
    draw_pictures(tmp_path / "images", ["001"])  # mended
    later = time.time() + 10
    os.utime(annotations.images["001"], (later, later))
    report = extract_features(config, annotations)
    assert (report.num_done, report.failed) == (1, {})
    assert set(open_store(report.store).row_of) == set(numbered(6))


def test_two_processes_do_not_make_the_same_store(tmp_path: Path) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(6))
    config = config_for(tmp_path / "store.h5")
    with hold(tmp_path / "store.partial.lock", "busy"):
        assert f"another process is making {tmp_path / 'store.h5'}" in refusal(config, annotations)
    extract_features(config, annotations)
    with hold(tmp_path / "store.partial.lock", "busy"):
        assert extract_features(config, annotations).num_done == 0  # what is finished needs nobody's leave


def test_a_disk_without_the_space_is_refused_at_once(tmp_path: Path, monkeypatch) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(6))
    monkeypatch.setattr("vqa_rnn.features.store.base.shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    assert "0.0 GB are free" in refusal(config_for(tmp_path / "store.h5"), annotations)
    assert not list(tmp_path.glob("*.h5"))


def test_a_missing_image_is_named_before_anything_is_written(tmp_path: Path) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(10))
    annotations.images["006"].unlink()
    before = set(tmp_path.iterdir())
    assert str(annotations.images["006"]) in refusal(config_for(tmp_path / "store.h5"), annotations)
    assert set(tmp_path.iterdir()) == before


def test_a_data_set_without_images_is_refused(tmp_path: Path) -> None:
    assert "no images" in refusal(config_for(tmp_path / "store.h5"), draw_pictures(tmp_path / "images", []))
    assert not list(tmp_path.glob("*.h5"))


NUM_KILLED = 300


def rows_written(store: Path) -> np.ndarray:
    partial = partial_path(store)
    if not partial.exists():
        return np.zeros(NUM_KILLED, dtype=bool)
    with h5py.File(partial, "r") as file:
        return file["written"][:]


def preprocess_committing_each_batch(arguments: list[str]) -> None:
    base.COMMIT_SECONDS = 0.0
    main(arguments)


def test_a_job_killed_after_its_last_image_only_has_to_finish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(9))
    extract_features(config_for(tmp_path / "whole.h5"), annotations)

    def stop(writer: base.StoreWriter) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(base.StoreWriter, "finish", stop)
        with pytest.raises(KeyboardInterrupt):
            extract_features(config_for(tmp_path / "killed.h5"), annotations)
    assert partial_path(tmp_path / "killed.h5").is_file()
    assert extract_features(config_for(tmp_path / "killed.h5"), annotations).num_done == 0
    assert content(tmp_path / "killed.h5") == content(tmp_path / "whole.h5")


def test_a_job_killed_twice_goes_on_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    annotations = draw_pictures(tmp_path / "images", numbered(NUM_KILLED), size=8)
    lines = (f'{{"image": "images/{name}.png", "question": "What?", "answer": "this"}}\n' for name in annotations.images)
    (tmp_path / "questions.jsonl").write_text("".join(lines), encoding="utf-8")
    arguments = [
        "preprocess",
        "jsonl",
        f"dataset.path={tmp_path / 'questions.jsonl'}",
        "features.image_size=64",
        "features.layers=[blocks.1]",
        "features.precision=float32",
        "features.batch_rows=4",
    ]
    whole, killed = tmp_path / "whole.h5", tmp_path / "killed.h5"
    assert main([*arguments, f"features.store={whole}"]) == 0

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["preprocessing.extract_features"])
    done_before = 0
    for fraction in (0.05, 0.5):
        job = context.Process(target=preprocess_committing_each_batch, args=([*arguments, f"features.store={killed}"],))
        job.start()
        deadline = time.monotonic() + 60
        while rows_written(killed).mean() < fraction and job.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(job.pid, signal.SIGKILL)
        job.join()
        assert job.exitcode == -signal.SIGKILL
        assert not killed.exists()
        written = rows_written(killed)
        assert fraction <= written.mean() < 1
        assert written.sum() > done_before
        done_before = int(written.sum())
        with h5py.File(partial_path(killed), "r") as file:
            for row in np.flatnonzero(written):
                assert file["row_hash"][row] == xxhash.xxh64_intdigest(file["features"][row].tobytes())

    config = config_for(killed, image_size=64)
    images = {f"images/{name}.png": path for name, path in annotations.images.items()}
    report = extract_features(config, Annotations(questions=(), images=images))
    assert report.num_done == NUM_KILLED - done_before
    assert content(killed) == content(whole)


@pytest.mark.parametrize(
    ("value", "dtype", "why"),
    [
        (1e6, "float16", "contain a value larger than 65,504, the maximum of float16: set features.dtype=float32"),
        (np.nan, "float16", "contain NaN or infinity: check the image and features.weights"),
        (np.inf, "float32", "contain NaN or infinity: check the image and features.weights"),
    ],
)
def test_features_that_cannot_be_stored_are_refused_with_image_and_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, dtype: str, why: str
) -> None:
    annotations = draw_pictures(tmp_path / "images", ["a", "b", "c"])
    layers = ("blocks.1", "blocks.2")
    config = config_for(tmp_path / "store.h5", layers=layers, dtype=dtype)
    grid = Extractor._grid

    def spoiled(self, images):
        output = grid(self, images)
        if len(images) > 1:  # not the trial on a grey image
            output[1, -1, 0, 0] = value  # the last channel is of the last layer
        return output

    monkeypatch.setattr(Extractor, "_grid", spoiled)
    with pytest.raises(UserError) as caught:
        extract_features(config, annotations)
    expected = f"the features of {annotations.images['b']} from the layer blocks.2 of tf_efficientnet_lite0 {why}"
    assert str(caught.value) == expected
    assert not (tmp_path / "store.h5").exists()


def test_features_of_replaced_weights_are_noticed(tmp_path: Path) -> None:
    annotations = draw_pictures(tmp_path / "images", ["a", "b"])
    weights = tmp_path / "resnet18.pth"
    torch.manual_seed(0)
    torch.save(timm.create_model("resnet18").state_dict(), weights)
    config = config_for(tmp_path / "store.h5", backbone="resnet18", weights=str(weights), layers=("layer1",))
    extract_features(config, annotations)
    assert extract_features(config, annotations).num_done == 0
    torch.save(timm.create_model("resnet18").state_dict(), weights)
    with pytest.raises(UserError, match=r"store\.h5 was made with the weights resnet18\.pth, but features\.weights="):
        extract_features(config, annotations)


def test_without_a_library_no_image_is_read_and_each_is_one_region_of_zeros(tmp_path: Path) -> None:
    images = {name: tmp_path / "nowhere" / f"{name}.png" for name in ("a", "b")}
    annotations = Annotations(questions=(), images=images)
    config = config_for(tmp_path / "store.h5", library="none")
    assert extract_features(config, annotations).num_images == 2
    store = open_store(tmp_path / "store.h5")
    check_store(store, config.features)
    assert everything(store).shape == (2, 1, 1)
    assert (everything(store) == 0).all()
    more = Annotations(questions=(), images=images | {"c": tmp_path / "c.png"})
    assert extract_features(config, more).num_images == 3
    assert len(open_store(tmp_path / "store.h5").image_ids) == 3
    with pytest.raises(UserError, match=r"was made with features\.backbone=none/"):
        check_store(store, config_for(tmp_path / "store.h5").features)


def test_a_store_of_a_file_is_not_taken_for_one_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    annotations = draw_pictures(tmp_path / "images", ["a", "b"])
    config = config_for(tmp_path / "any.h5")
    of_file = config.model_copy(update={"features": config.features.model_copy(update={"store": None})})
    extract_features(of_file, annotations)
    of_hub = of_file.model_copy(update={"features": of_file.features.model_copy(update={"weights": "hub"})})
    moved = of_file.model_copy(update={"dataset": JsonlDataset(path=tmp_path / "moved.jsonl")})
    assert find_store(moved, annotations.images) == find_store(of_file, annotations.images)
    assert find_store(of_hub, annotations.images) != find_store(of_file, annotations.images)


def test_a_store_is_not_taken_for_one_of_other_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    annotations = draw_pictures(tmp_path / "images", ["a", "b"])
    here = shutil.copy(weights_file(FeaturesConfig()), tmp_path / "mine.pth")

    def configured(weights: str, store: Path | None = None) -> Config:
        features = config_for(tmp_path / "any.h5").features.model_copy(update={"store": store, "weights": weights})
        place = JsonlDataset(path=tmp_path / f"{len(weights)}.jsonl")
        return config_for(tmp_path / "any.h5").model_copy(update={"features": features, "dataset": place})

    made = extract_features(configured(str(here)), annotations).store
    assert find_store(configured("elsewhere/mine.pth"), annotations.images) == made  # moved: known by its name
    assert find_store(configured("elsewhere/others.pth"), annotations.images) != made
    with pytest.raises(UserError, match=r"no weights at elsewhere/others\.pth"):
        extract_features(configured("elsewhere/others.pth"), annotations)
    for weights in ("elsewhere/others.pth", "hub"):
        with pytest.raises(
            UserError, match=rf"was made with the weights mine.pth, but features.weights={weights} is different"
        ):
            extract_features(configured(weights, store=made), annotations)


def test_a_finished_store_says_what_it_does_not_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    annotations = draw_pictures(tmp_path / "images", ["a", "b"])
    extract_features(config_for(tmp_path / "store.h5"), annotations)
    with caplog.at_level("INFO", "vqa_rnn"):
        extract_features(config_for(tmp_path / "store.h5"), annotations)
        assert not caplog.messages
        extract_features(config_for(tmp_path / "store.h5", compile=True), annotations)
    assert caplog.messages == [f"{tmp_path / 'store.h5'} was made with features.compile=false and keeps it"]
