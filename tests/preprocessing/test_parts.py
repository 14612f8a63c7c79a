"""A store made by several processes: cut into parts, killed, taken over by others, joined, and equal to that of one process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from preprocessing.extract_features import extract_features
from tests.preprocessing.test_extract_features import config_for, count_rows, draw_pictures, numbered
from vqa_rnn.commands.preprocess import _own_share
from vqa_rnn.config import Config
from vqa_rnn.errors import UserError
from vqa_rnn.features.find import find_store
from vqa_rnn.features.store import FeatureStore, open_store, partial_path
from vqa_rnn.features.store.parts import Share, count_parts, cut, joined_path, part_path
from vqa_rnn.files import hold
from vqa_rnn.records import Annotations

NUM_IMAGES = 50  # 13 batches of 4


@pytest.fixture
def pictures(tmp_path: Path) -> Annotations:
    return draw_pictures(tmp_path / "images", numbered(NUM_IMAGES), size=8)


def share_out(path: Path, pictures: Annotations, index: int, count: int = 2, **options):
    return extract_features(config_for(path, **options), pictures, share=Share(index, count))


def assert_same(one: FeatureStore, other: FeatureStore) -> None:
    """To the bit, image by image."""
    assert one.image_ids == other.image_ids
    rows = np.arange(len(one.image_ids))
    assert one.read(rows).tobytes() == other.read(rows).tobytes()
    for name in ("num_regions", "written", "failed", "source_hash", "row_hash"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.attributes == other.attributes


@pytest.mark.parametrize(("images", "count", "rows"), [(50, 2, 4), (50, 7, 4), (13, 13, 1), (5, 2, 4), (1000, 3, 16)])
def test_every_image_is_in_one_part_and_batches_are_whole(images: int, count: int, rows: int):
    parts = [cut(range(images), Share(index, count), rows) for index in range(count)]
    assert [row for part in parts for row in part] == list(range(images))
    assert all(len(part) % rows == 0 for part in parts[:-1])
    assert max(map(len, parts)) - min(map(len, parts)) <= 2 * rows


@pytest.mark.parametrize("sizes", [(8, 32), (32, 8)])
def test_automatic_batches_of_several_machines_leave_no_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int]
):
    """The batch size is chosen by the processor, the images of a part are not."""
    pictures = draw_pictures(tmp_path / "images", numbered(100), size=8)
    shared = tmp_path / "shared.h5"
    for index, size in enumerate(sizes):
        monkeypatch.setattr("vqa_rnn.features.extractor.images_a_pass", lambda *_, size=size, **__: size)
        with hold(partial_path(part_path(shared, Share(1 - index, 2))).with_suffix(".lock"), "busy"):
            share_out(shared, pictures, index, batch_rows=None)
        assert (part_path(shared, Share(index, 2))).is_file()
    assert open_store(joined_path(shared)).image_ids == numbered(100)
    computes = [open_store(part_path(shared, Share(index, 2))).attributes["compute"] for index in (0, 1)]
    assert [compute["batch_rows"] for compute in computes] == list(sizes)


def test_batches_at_the_ends_of_a_part_are_those_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The parts are 0 to 63 and 64 to 99, and a batch has 60 to 69."""
    pictures = draw_pictures(tmp_path / "images", numbered(100), size=8)
    pictures.images["062"].write_bytes(b"no image")
    pictures.images["065"].write_bytes(b"no image")
    monkeypatch.setattr("vqa_rnn.features.extractor.images_a_pass", lambda *_, **__: 10)
    batches = count_rows(monkeypatch)
    options = {"batch_rows": None, "skip_damaged": True}
    extract_features(config_for(tmp_path / "whole.h5", **options), pictures)
    assert batches == [10] * 6 + [8] + [10] * 3
    batches.clear()
    report = share_out(tmp_path / "shared.h5", pictures, 0, **options)
    assert batches == [10] * 6 + [8] + [8] + [10] * 3
    assert (report.num_done, set(report.failed)) == (98, {"062", "065"})
    assert_same(open_store(joined_path(tmp_path / "shared.h5")), open_store(tmp_path / "whole.h5"))


def test_parts_that_overlap_are_not_joined(pictures: Annotations, tmp_path: Path):
    """As an earlier version cut them on two machines."""
    shared = tmp_path / "shared.h5"
    more = Annotations(questions=(), images=dict(list(pictures.images.items())[:30]))
    extract_features(config_for(part_path(shared, Share(0, 2))), more)
    with pytest.raises(
        UserError, match=r"cannot join the parts of .*shared\.h5: each .* but 024 is in 2: delete shared\.part-\* and run"
    ):
        share_out(shared, pictures, 0)
    assert not joined_path(shared).exists()


def test_two_processes_make_what_one_makes(pictures: Annotations, tmp_path: Path):
    extract_features(config_for(tmp_path / "whole.h5"), pictures)
    shared = tmp_path / "shared.h5"
    with hold(partial_path(part_path(shared, Share(1, 2))).with_suffix(".lock"), "the other process works on its part"):
        first = share_out(shared, pictures, 0)
    assert first.store == part_path(shared, Share(0, 2))
    assert first.num_done == 24
    assert not joined_path(shared).exists()
    second = share_out(shared, pictures, 1)
    assert (second.store, second.num_images, second.num_done) == (joined_path(shared), NUM_IMAGES, 26)
    assert_same(open_store(joined_path(shared)), open_store(tmp_path / "whole.h5"))
    again = share_out(shared, pictures, 0)
    assert (again.store, again.num_done) == (joined_path(shared), 0)
    assert find_store(config_for(shared), pictures.images) == joined_path(shared)


def test_a_process_alone_in_time_makes_the_parts_of_the_others(pictures: Annotations, tmp_path: Path):
    report = share_out(tmp_path / "shared.h5", pictures, 2, count=3)
    assert report.store == joined_path(tmp_path / "shared.h5")
    assert report.num_done == NUM_IMAGES


def test_one_process_goes_on_with_the_parts_of_several(pictures: Annotations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shared = tmp_path / "shared.h5"
    with hold(partial_path(part_path(shared, Share(1, 2))).with_suffix(".lock"), "busy"):
        share_out(shared, pictures, 0)
    assert count_parts(shared) == 2
    report = extract_features(config_for(shared), pictures)
    assert (report.store, report.num_done) == (joined_path(shared), 26)


def test_another_number_of_processes_is_refused(pictures: Annotations, tmp_path: Path):
    shared = tmp_path / "shared.h5"
    with hold(partial_path(part_path(shared, Share(1, 2))).with_suffix(".lock"), "busy"):
        share_out(shared, pictures, 0)
    with pytest.raises(UserError, match=r"there are 2 parts of .*, not 3: run 2 processes, or one"):
        share_out(shared, pictures, 0, count=3)


def test_more_processes_than_batches(pictures: Annotations, tmp_path: Path):
    report = share_out(tmp_path / "shared.h5", pictures, 18, count=40)
    assert report.store == joined_path(tmp_path / "shared.h5")
    assert count_parts(tmp_path / "shared.h5") == 13


def test_a_finished_store_that_lacks_images_is_made_whole_by_one_process(pictures: Annotations, tmp_path: Path):
    shared, whole = tmp_path / "shared.h5", tmp_path / "whole.h5"
    few = Annotations(questions=(), images=dict(list(pictures.images.items())[:30]))
    share_out(shared, few, 0)
    with pytest.raises(UserError, match=r"shared.json lacks 20 of 50 images: run vqa-rnn preprocess in one process"):
        share_out(shared, pictures, 0)
    report = extract_features(config_for(shared), pictures)
    assert (report.store, report.num_done) == (shared, 20)
    extract_features(config_for(whole), pictures)
    one, other = open_store(shared), open_store(whole)
    np.testing.assert_allclose(
        one.read(np.arange(50)).astype(float), other.read(np.arange(50)).astype(float), rtol=1e-2, atol=1e-3
    )
    assert find_store(config_for(shared), pictures.images) == shared


def test_a_list_of_parts_by_name_is_not_made_whole_elsewhere(pictures: Annotations, tmp_path: Path):
    """A config that names the list would go on reading the old features."""
    with pytest.raises(
        UserError, match=r"shared.json names the parts of a store and is not there: set features.store=.*shared.h5"
    ):
        extract_features(config_for(tmp_path / "shared.json"), pictures)
    few = Annotations(questions=(), images=dict(list(pictures.images.items())[:30]))
    share_out(tmp_path / "shared.h5", few, 0)
    with pytest.raises(UserError, match=r"shared.json names the parts of a store and lacks 20 of 50 images"):
        extract_features(config_for(tmp_path / "shared.json"), pictures)


def test_damaged_images_are_listed_by_the_process_that_met_them(pictures: Annotations, tmp_path: Path):
    pictures.images["003"].write_bytes(b"no image")
    pictures.images["047"].write_bytes(b"no image")
    report = share_out(tmp_path / "shared.h5", pictures, 0, skip_damaged=True)
    assert set(report.failed) == {"003", "047"}
    assert open_store(report.store).skipped == {"003", "047"}


@pytest.mark.parametrize(
    ("environment", "share"),
    [
        ({}, (0, 1)),
        ({"RANK": "3", "WORLD_SIZE": "8", "MASTER_ADDR": "localhost"}, (3, 8)),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}, (2, 4)),
        ({"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "16"}, (4, 16)),
        (
            {
                "SLURM_ARRAY_TASK_ID": "6",
                "SLURM_ARRAY_TASK_MIN": "0",
                "SLURM_ARRAY_TASK_COUNT": "4",
                "SLURM_ARRAY_TASK_STEP": "2",
            },
            (3, 4),
        ),
    ],
)
def test_a_process_knows_its_share(environment: dict[str, str], share: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    for name in list(os.environ):
        if name.startswith("SLURM_") or name in ("RANK", "WORLD_SIZE", "MASTER_ADDR"):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert _own_share() == share


def rows_done(path: Path) -> int:
    """Of a part that is finished or being made."""
    for place in (path, partial_path(path)):
        if place.is_file():
            return int(open_store(place, check_rows=False).written.sum())
    return 0


def start(folder: Path, rank: int, command: list[str]) -> subprocess.Popen:
    environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, *command], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_one_of_two_processes_is_killed_and_started_again(tmp_path: Path):
    annotations = draw_pictures(tmp_path / "images", numbered(200), size=8)
    lines = (f'{{"image": "images/{name}.png", "question": "What?", "answer": "this"}}\n' for name in annotations.images)
    (tmp_path / "questions.jsonl").write_text("".join(lines), encoding="utf-8")
    options = ["jsonl", "dataset.path=questions.jsonl", "features.image_size=64", "features.layers=[blocks.1]"]
    options += ["features.precision=float32", "features.batch_rows=2"]
    commit_often = "from vqa_rnn.features.store import base; base.COMMIT_SECONDS = 0.0; "
    code = f"{commit_often}import sys; from vqa_rnn.cli import main; sys.exit(main(['preprocess', *sys.argv[1:]]))"
    command = ["-c", code, *options, "features.store=shared.h5"]
    shared = tmp_path / "shared.h5"
    own = part_path(shared, Share(1, 2))
    processes = [start(tmp_path, rank, command) for rank in (0, 1)]
    deadline = time.monotonic() + 120
    while rows_done(own) < 30 and processes[1].poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGKILL)
    assert processes[1].wait() == -signal.SIGKILL
    assert 30 <= rows_done(own) < 100
    assert start(tmp_path, 1, command).wait(120) == 0
    assert processes[0].wait(120) == 0
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()
    config = Config.model_validate(config_for(tmp_path / "whole.h5", image_size=64, batch_rows=2))
    images = {f"images/{name}.png": path for name, path in annotations.images.items()}
    extract_features(config, Annotations(questions=(), images=images))
    assert_same(open_store(joined_path(shared)), open_store(tmp_path / "whole.h5"))
