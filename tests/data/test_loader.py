"""Batches from a feature store, in this process and in others."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.batch import Batch
from vqa_rnn.data.columns import EncodedQuestions
from vqa_rnn.data.encoding import encode_questions
from vqa_rnn.data.loader import build_loader
from vqa_rnn.data.sampler import QuestionSampler
from vqa_rnn.data.store_features import StoreFeatures
from vqa_rnn.errors import UserError
from vqa_rnn.features.store import FeatureStore, StoreWriter
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
    writer = StoreWriter.create(
        tmp_path / "store.h5", IMAGES, num_regions=4, feature_size=3, dtype="float16", attributes=attributes, boxes=True
    )
    features = np.arange(12 * 4 * 3, dtype=np.float16).reshape(12, 4, 3)
    boxes = np.random.default_rng(0).random((12, 4, 4), dtype=np.float32)
    counts = [1 + i % 4 for i in range(12)]
    some_features = [rows[:count] for rows, count in zip(features, counts, strict=True)]
    some_boxes = [rows[:count] for rows, count in zip(boxes, counts, strict=True)]
    writer.write(range(12), some_features, [0] * 12, some_boxes)
    return FeatureStore(writer.finish())


def run(encoded: EncodedQuestions, store: FeatureStore, num_workers: int) -> list[Batch]:
    sampler = QuestionSampler(encoded.image, 4, shuffle=True, seed=3)
    loader = build_loader(encoded, StoreFeatures(store, encoded.image_ids), sampler, num_workers=num_workers)
    found = []
    for epoch in (0, 1):
        sampler.epoch = epoch
        found += [batch for (batch,) in loader]
    assert len(found) == 2 * len(loader)
    return found


@pytest.mark.filterwarnings("ignore:This DataLoader will create [24] worker processes")
@pytest.mark.parametrize("num_workers", [1, 2, 4])
def test_workers_give_what_none_gives(encoded: EncodedQuestions, store: FeatureStore, num_workers: int):
    alone, helped = run(encoded, store, 0), run(encoded, store, num_workers)
    assert len(alone) == len(helped)
    for one, other in zip(alone, helped, strict=True):
        for name in Batch.__dataclass_fields__:
            first, second = getattr(one, name), getattr(other, name)
            if name == "choice_vectors":  # the evaluator's to fill
                assert first is second is None
                continue
            assert first.dtype == second.dtype, name
            assert torch.equal(first, second), name
    first_of_each_epoch = alone[0].features, alone[len(alone) // 2].features
    assert not torch.equal(*first_of_each_epoch)


def test_features_regions_and_boxes_come_from_the_row_of_the_image(encoded: EncodedQuestions, store: FeatureStore):
    source = StoreFeatures(store, encoded.image_ids)
    features, num_regions, boxes = source.read(np.array([0, 3]))
    assert boxes is not None
    assert store.boxes is not None
    for place, image in enumerate((0, 3)):
        row = IMAGES.index(encoded.image_ids[image])
        count = 1 + row % 4
        assert np.array_equal(features[place, :count], np.arange(3 * count).reshape(count, 3) + row * 12)
        assert (features[place, count:] == 0).all()
        assert num_regions[place] == count
        assert np.array_equal(boxes[place], store.boxes[row])


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
    assert np.array_equal(exchanged.read(images)[0], store.features[exchanged.rows])


def test_another_seed_exchanges_otherwise_and_one_image_stays(encoded: EncodedQuestions, store: FeatureStore):
    source = StoreFeatures(store, encoded.image_ids)
    assert not np.array_equal(source.shuffled(0).rows, source.shuffled(1).rows)
    assert StoreFeatures(store, ("image5",)).shuffled(0).rows.tolist() == [5]


def test_loading_draws_no_random_numbers_that_dropout_uses(encoded: EncodedQuestions, store: FeatureStore):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    run(encoded, store, 0)
    assert torch.equal(torch.get_rng_state(), before)
