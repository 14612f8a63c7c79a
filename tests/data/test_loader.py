"""Batches from a feature store, in this process and in others."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import everything
from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.batch import ON_HOST, Batch
from vqa_rnn.data.collate import make_batch
from vqa_rnn.data.columns import EncodedQuestions
from vqa_rnn.data.device import DeviceLoader, NoFeatures, choose_place, hold_on_device
from vqa_rnn.data.encoding import encode_questions
from vqa_rnn.data.loader import build_loader
from vqa_rnn.data.packed import PackedBatch
from vqa_rnn.data.sampler import QuestionSampler
from vqa_rnn.data.sources import MemoryFeatures
from vqa_rnn.data.store_features import StoreFeatures
from vqa_rnn.errors import UserError
from vqa_rnn.features.store import FeatureStore, create_store, open_store
from vqa_rnn.records import Question
from vqa_rnn.text import WordTokenizer

IMAGES = [f"image{i}" for i in range(12)]


def questions() -> list[Question]:
    found = []
    for i, image in enumerate(reversed(IMAGES[2:])):
        for j in range(1 + i % 3):
            choices = ("cat", "dog", "cow")[: 2 + j % 2]
            found.append(
                Question(
                    question_id=f"{i}/{j}",
                    image_id=image,
                    question="what is it ?" if j else "is it a cat ?",
                    split="train",
                    human_answers=("cat",),
                    choices=choices,
                    correct_choice=0,
                    caption="a cat" if i % 2 else None,
                )
            )
    return found


@pytest.fixture
def encoded() -> EncodedQuestions:
    tokenizer = WordTokenizer.build(["what is it ?", "is it a cat ?", "cat dog cow"], min_count=1, max_tokens=9)
    return encode_questions(questions(), tokenizer, AnswerVocabulary(["cat"]))


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    attributes = {
        "backbone": "b",
        "weights_sha256": "w",
        "layer": ["l"],
        "transform": {},
        "compute": {},
        "fingerprint": "f",
    }
    writer = create_store(
        tmp_path / "store.h5",
        IMAGES,
        num_regions=4,
        feature_size=3,
        dtype="float16",
        attributes=attributes,
        region_columns=["boxes"],
    )
    features = np.arange(12 * 4 * 3, dtype=np.float16).reshape(12, 4, 3)
    boxes = np.random.default_rng(0).random((12, 4, 4), dtype=np.float32)
    counts = [1 + i % 4 for i in range(12)]
    some_features = [rows[:count] for rows, count in zip(features, counts, strict=True)]
    some_boxes = [rows[:count] for rows, count in zip(boxes, counts, strict=True)]
    writer.write(range(12), some_features, [0] * 12, boxes=some_boxes)
    return open_store(writer.finish())


def run(encoded: EncodedQuestions, store: FeatureStore, num_workers: int) -> list[Batch]:
    sampler = QuestionSampler(encoded.image, 4, shuffle=True, seed=3)
    loader = build_loader(encoded, StoreFeatures(store, encoded.image_ids), sampler, num_workers=num_workers)
    found: list[Batch] = []
    for epoch in (0, 1):
        sampler.epoch = epoch
        found += [batch.to("cpu") for (batch,) in loader]
    assert len(found) == 2 * len(loader)
    return found


def assert_same(one: Batch, other: Batch) -> None:
    for name in Batch.__dataclass_fields__:
        first, second = getattr(one, name), getattr(other, name)
        if first is None:  # the evaluator's to fill, or boxes where there are none
            assert second is None, name
            continue
        assert first.dtype == second.dtype, name
        assert torch.equal(first, second), name


@pytest.mark.filterwarnings("ignore:This DataLoader will create [24] worker processes")
@pytest.mark.parametrize("num_workers", [1, 2, 4])
def test_workers_give_what_none_gives(encoded: EncodedQuestions, store: FeatureStore, num_workers: int):
    alone, helped = run(encoded, store, 0), run(encoded, store, num_workers)
    assert len(alone) == len(helped)
    for one, other in zip(alone, helped, strict=True):
        assert_same(one, other)
    first_of_each_epoch = alone[0].features, alone[len(alone) // 2].features
    assert not torch.equal(*first_of_each_epoch)


def test_features_regions_and_boxes_come_from_the_row_of_the_image(encoded: EncodedQuestions, store: FeatureStore):
    source = StoreFeatures(store, encoded.image_ids)
    features, num_regions, boxes = source.read(np.array([0, 3]))
    assert boxes is not None
    assert store.has_boxes
    for place, image in enumerate((0, 3)):
        row = IMAGES.index(encoded.image_ids[image])
        count = 1 + row % 4
        assert np.array_equal(features[place, :count], np.arange(3 * count).reshape(count, 3) + row * 12)
        assert (features[place, count:] == 0).all()
        assert num_regions[place] == count
        assert np.array_equal(boxes[place], everything(store, "boxes")[row])


def test_an_image_without_features_is_refused_by_name(store: FeatureStore):
    with pytest.raises(UserError, match=r"no features of 1 of the images asked about \(nowhere\)"):
        StoreFeatures(store, ("image1", "nowhere"))


@pytest.mark.parametrize("seed", range(20))
def test_exchanging_images_leaves_none_in_its_place(encoded: EncodedQuestions, store: FeatureStore, seed: int):
    source = StoreFeatures(store, encoded.image_ids)
    before = source.rows.copy()
    exchanged = source.shuffled(seed)
    assert sorted(exchanged.rows.tolist()) == sorted(before.tolist())
    assert (exchanged.rows != before).all()
    assert np.array_equal(source.rows, before)
    assert np.array_equal(exchanged.rows, source.shuffled(seed).rows)
    images = np.arange(len(before))
    assert np.array_equal(exchanged.read(images)[0], store.read(exchanged.rows))


def test_another_seed_exchanges_otherwise_and_one_image_stays(encoded: EncodedQuestions, store: FeatureStore):
    source = StoreFeatures(store, encoded.image_ids)
    assert not np.array_equal(source.shuffled(0).rows, source.shuffled(1).rows)
    assert StoreFeatures(store, ("image5",)).shuffled(0).rows.tolist() == [5]


def test_loading_draws_no_random_numbers_that_dropout_uses(encoded: EncodedQuestions, store: FeatureStore):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    run(encoded, store, 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_packed_batch_is_two_pieces_that_unpack_to_the_same(encoded: EncodedQuestions, store: FeatureStore):
    batch = make_batch(encoded, np.array([3, 0, 5]), StoreFeatures(store, encoded.image_ids))
    packed = PackedBatch.of(batch)
    assert_same(packed.to("cpu"), batch)
    unpacked = packed.to("cpu")
    assert unpacked.features is batch.features
    assert unpacked.question_tokens.untyped_storage().data_ptr() == packed.buffer.untyped_storage().data_ptr()
    assert torch.equal(packed.example_index, batch.question_index)
    assert packed.num_questions == 3
    there = packed.to("meta")
    assert {name for name in Batch.__dataclass_fields__ if getattr(getattr(there, name), "is_cpu", False)} == set(ON_HOST)


def test_a_packed_batch_without_questions_or_boxes(encoded: EncodedQuestions):
    batch = make_batch(encoded, np.array([], dtype=np.int64), MemoryFeatures(np.zeros((12, 4, 3), dtype=np.float16)))
    assert_same(PackedBatch.of(batch).to("cpu"), batch)


def test_features_on_the_device_are_those_of_the_store(encoded: EncodedQuestions, store: FeatureStore, monkeypatch):
    monkeypatch.setattr("vqa_rnn.data.device._AT_ONCE", 50)  # bytes: several parts
    source = StoreFeatures(store, encoded.image_ids)
    other = store.rows(IMAGES[5:])
    held = hold_on_device(store, [source.rows, other], torch.device("cpu"))
    sampler = QuestionSampler(encoded.image, 4, shuffle=True, seed=3)
    plain = build_loader(encoded, source, sampler)
    on_device = DeviceLoader(build_loader(encoded, NoFeatures(), sampler), torch.device("cpu"), held[0])
    assert len(plain) == len(on_device)
    for (one,), (two,) in zip(plain, on_device, strict=True):
        assert_same(two, one)
    assert torch.equal(held[1].rows, held[0].rows.max() - torch.arange(7).flip(0))


def test_where_features_are_kept(store: FeatureStore, monkeypatch: pytest.MonkeyPatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert choose_place("auto", store, 12, cpu) == choose_place("host", store, 12, gpu) == "host"
    with pytest.raises(UserError, match="keeps features on a GPU, and this run is on cpu"):
        choose_place("device", store, 12, cpu)
    needed = 12 * 4 * 3 * 2
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * needed, 99 * needed))
    assert choose_place("auto", store, 12, gpu) == choose_place("device", store, 12, gpu) == "device"
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * needed - 2, 99 * needed))
    assert choose_place("auto", store, 12, gpu) == "host"
    with pytest.raises(UserError, match=r"set training\.features_on=host"):
        choose_place("device", store, 12, gpu)
