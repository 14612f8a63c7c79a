"""Which questions make a batch."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_rnn.data.sampler import ImageGroupedBatches

IMAGE = np.repeat(np.arange(30), 4)[np.random.default_rng(0).permutation(120)]


def batches(seed: int = 0, epoch: int = 0, *, shuffle: bool = True, size: int = 16) -> list[list[int]]:
    sampler = ImageGroupedBatches(IMAGE, size, shuffle=shuffle, seed=seed)
    sampler.epoch = epoch
    return [batch.tolist() for batch in sampler]


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 50), st.booleans(), st.integers(0, 3))
def test_every_question_comes_exactly_once_in_full_batches(images: list[int], size: int, shuffle: bool, epoch: int):
    sampler = ImageGroupedBatches(np.array(images, dtype=np.int64), size, shuffle=shuffle, seed=1)
    sampler.epoch = epoch
    found = [batch.tolist() for batch in sampler]
    assert sorted(question for batch in found for question in batch) == list(range(len(images)))
    assert len(found) == len(sampler)
    assert all(len(batch) == size for batch in found[:-1])
    assert all(1 <= len(batch) <= size for batch in found[-1:])


@pytest.mark.parametrize("shuffle", [True, False])
def test_questions_of_an_image_stay_together_and_in_order(shuffle: bool):
    order = np.array([question for batch in batches(shuffle=shuffle) for question in batch])
    images = IMAGE[order]
    assert (np.diff(images) != 0).sum() == 29
    for image in range(30):
        assert (np.diff(order[images == image]) > 0).all()


def test_an_image_is_split_only_at_the_end_of_a_batch():
    cut = [set(IMAGE[batch]) for batch in batches(size=6)]
    for before, after in itertools.pairwise(cut):
        assert len(before & after) <= 1
    assert sum(len(images) for images in cut) < 2 * 30


def test_without_shuffling_images_come_in_the_order_of_their_number():
    order = [question for batch in batches(shuffle=False) for question in batch]
    assert IMAGE[order].tolist() == sorted(IMAGE.tolist())
    assert batches(shuffle=False, epoch=3) == batches(shuffle=False, seed=9)


def test_the_seed_and_the_epoch_decide_the_order():
    assert batches(seed=1, epoch=2) == batches(seed=1, epoch=2)
    assert batches(seed=1, epoch=2) != batches(seed=1, epoch=3)
    assert batches(seed=1, epoch=2) != batches(seed=2, epoch=2)
    assert batches(seed=1, epoch=2) != batches(seed=2, epoch=1)


def test_an_epoch_can_be_run_again():
    sampler = ImageGroupedBatches(IMAGE, 16, shuffle=True, seed=5)
    first = [batch.tolist() for batch in sampler]
    sampler.epoch = 1
    assert [batch.tolist() for batch in sampler] != first
    sampler.epoch = 0
    assert [batch.tolist() for batch in sampler] == first


def test_images_land_everywhere_over_the_epochs():
    places = [IMAGE[batches(epoch=epoch)[0]][0] for epoch in range(60)]
    assert len(set(places)) > 20
