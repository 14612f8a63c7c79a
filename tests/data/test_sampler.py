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
    return [batch.tolist() for (batch,) in sampler]


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 50), st.booleans(), st.integers(0, 3))
def test_every_question_comes_exactly_once_in_full_batches(images: list[int], size: int, shuffle: bool, epoch: int):
    sampler = ImageGroupedBatches(np.array(images, dtype=np.int64), size, shuffle=shuffle, seed=1)
    sampler.epoch = epoch
    found = [batch.tolist() for (batch,) in sampler]
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
    first = [batch.tolist() for (batch,) in sampler]
    sampler.epoch = 1
    assert [batch.tolist() for (batch,) in sampler] != first
    sampler.epoch = 0
    assert [batch.tolist() for (batch,) in sampler] == first


def test_images_land_everywhere_over_the_epochs():
    places = [IMAGE[batches(epoch=epoch)[0]][0] for epoch in range(60)]
    assert len(set(places)) > 20


def parts_of(image: np.ndarray, size: int, world_size: int, accumulation: int) -> list[list[list[int]]]:
    """For each step all processes' parts, one after the other."""
    samplers = [
        ImageGroupedBatches(image, size, shuffle=True, seed=4, accumulation=accumulation, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    assert len({len(sampler) for sampler in samplers}) == 1
    return [[part.tolist() for parts in step for part in parts] for step in zip(*samplers, strict=True)]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 25), st.integers(1, 4), st.integers(1, 3))
def test_a_step_has_the_same_questions_however_many_processes_and_parts_share_it(
    images: list[int], size: int, world_size: int, accumulation: int
):
    image = np.array(images, dtype=np.int64)
    whole = parts_of(image, size, 1, 1)
    cut = parts_of(image, size, world_size, accumulation)
    assert len(cut) == len(whole)
    for parts, (batch,) in zip(cut, whole, strict=True):
        assert len(parts) == world_size * accumulation
        assert sorted(question for part in parts for question in part) == sorted(batch)
        owners = [{int(image[question]) for question in part} for part in parts]
        assert sum(map(len, owners)) == len(set().union(*owners)), "an image of a batch belongs to one part"


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_get_about_the_same_number_of_questions(world_size: int):
    for parts in parts_of(IMAGE, 40, world_size, 1):
        assert max(map(len, parts)) - min(map(len, parts)) <= 8, "two images at most"


def test_the_last_part_is_empty_only_if_all_are():
    one_image = np.zeros(5, dtype=np.int64)
    for rank in (0, 1):
        ((first, last),) = ImageGroupedBatches(one_image, 5, shuffle=True, accumulation=2, rank=rank, world_size=2)
        assert [len(first), len(last)] in ([0, 0], [0, 5])
    assert sorted(map(len, parts_of(one_image, 5, 2, 2)[0])) == [0, 0, 0, 5]


@pytest.mark.parametrize("start", [0, 1, 5, 7, 8])
def test_a_pass_can_begin_in_its_middle(start: int):
    sampler = ImageGroupedBatches(IMAGE, 16, shuffle=True, seed=0)
    sampler.start = start
    assert [batch.tolist() for (batch,) in sampler] == batches()[start:]
    assert len(sampler) == 8, "the length stays that of a whole pass"
