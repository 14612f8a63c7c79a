"""Which questions make a batch."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_rnn.data.sampler import QuestionSampler

IMAGE = np.repeat(np.arange(30), 4)[np.random.default_rng(0).permutation(120)]


def batches(
    seed: int = 0, epoch: int = 0, *, shuffle: bool = True, size: int = 16, group_by_image: bool = True
) -> list[list[int]]:
    sampler = QuestionSampler(IMAGE, size, shuffle=shuffle, seed=seed, group_by_image=group_by_image)
    sampler.epoch = epoch
    return [batch.tolist() for (batch,) in sampler]


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 50), st.booleans(), st.booleans(), st.integers(0, 3))
def test_every_question_comes_exactly_once_in_full_batches(
    images: list[int], size: int, shuffle: bool, grouped: bool, epoch: int
):
    sampler = QuestionSampler(np.array(images, dtype=np.int64), size, shuffle=shuffle, group_by_image=grouped, seed=1)
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


@pytest.mark.parametrize("grouped", [True, False])
def test_the_seed_and_the_epoch_decide_the_order(grouped: bool):
    def of(seed: int, epoch: int) -> list[list[int]]:
        return batches(seed, epoch, group_by_image=grouped)

    assert of(1, 2) == of(1, 2)
    assert of(1, 2) != of(1, 3)
    assert of(1, 2) != of(2, 2)
    assert of(1, 2) != of(2, 1)


def test_a_shuffled_batch_holds_many_more_images_than_a_grouped_one():
    image = np.repeat(np.arange(4000), 5)
    image = np.concatenate([image, np.arange(0, 4000, 5).repeat(2)])  # 5.4 questions an image, as VQA v2 has

    def images_a_batch(grouped: bool) -> float:
        sampler = QuestionSampler(image, 512, shuffle=True, group_by_image=grouped)
        return float(np.mean([len(set(image[batch])) for (batch,) in list(sampler)[:-1]]))

    assert 93 <= images_a_batch(grouped=True) <= 97
    # 4000 (1 - (1 - 512 / 21600)^5.4) = 486; with the 82,783 images of VQA v2 it is 511
    assert 480 <= images_a_batch(grouped=False) <= 492


def test_a_shuffled_batch_is_put_in_order_of_its_images():
    for batch in batches(group_by_image=False):
        assert (np.diff(IMAGE[batch]) >= 0).all()


def test_an_epoch_can_be_run_again():
    sampler = QuestionSampler(IMAGE, 16, shuffle=True, seed=5)
    first = [batch.tolist() for (batch,) in sampler]
    sampler.epoch = 1
    assert [batch.tolist() for (batch,) in sampler] != first
    sampler.epoch = 0
    assert [batch.tolist() for (batch,) in sampler] == first


def test_images_land_everywhere_over_the_epochs():
    places = [IMAGE[batches(epoch=epoch)[0]][0] for epoch in range(60)]
    assert len(set(places)) > 20


def parts_of(
    image: np.ndarray, size: int, world_size: int, accumulation: int, *, grouped: bool = True
) -> list[list[list[int]]]:
    """For each step all processes' parts, one after the other."""
    how = {"shuffle": True, "group_by_image": grouped, "seed": 4, "accumulation": accumulation, "world_size": world_size}
    samplers = [QuestionSampler(image, size, rank=rank, **how) for rank in range(world_size)]  # type: ignore[arg-type]
    assert len({len(sampler) for sampler in samplers}) == 1
    return [[part.tolist() for parts in step for part in parts] for step in zip(*samplers, strict=True)]


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=60),
    st.integers(1, 25),
    st.integers(1, 4),
    st.integers(1, 3),
    st.booleans(),
)
def test_a_step_has_the_same_questions_however_many_processes_and_parts_share_it(
    images: list[int], size: int, world_size: int, accumulation: int, grouped: bool
):
    image = np.array(images, dtype=np.int64)
    whole = parts_of(image, size, 1, 1, grouped=grouped)
    cut = parts_of(image, size, world_size, accumulation, grouped=grouped)
    assert len(cut) == len(whole)
    for parts, (batch,) in zip(cut, whole, strict=True):
        assert len(parts) == world_size * accumulation
        assert sorted(question for part in parts for question in part) == sorted(batch)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 60), st.integers(2, 5), st.booleans())
def test_no_process_is_idle_and_none_has_more_than_twice_its_share(
    images: list[int], size: int, world_size: int, grouped: bool
):
    for parts in parts_of(np.array(images, dtype=np.int64), size, world_size, 1, grouped=grouped):
        share = sum(map(len, parts)) / world_size
        assert min(map(len, parts)) >= min(1, int(share))
        assert max(map(len, parts)) <= 1.5 * share + 1


def test_images_stay_whole_where_that_leaves_the_parts_about_equal():
    for parts in parts_of(IMAGE, 40, 2, 1):  # ten images of four questions: an even cut is between two of them
        assert list(map(len, parts)) == [20, 20]
        assert not {int(image) for image in IMAGE[parts[0]]} & {int(image) for image in IMAGE[parts[1]]}


def test_one_image_is_shared_by_all_processes():
    (parts,) = parts_of(np.zeros(8, dtype=np.int64), 8, 4, 1)
    assert list(map(len, parts)) == [2, 2, 2, 2]
    (parts,) = parts_of(np.repeat([0, 1], [9, 1]), 10, 2, 1)  # the border is four questions from the middle
    assert sorted(map(len, parts)) == [5, 5]
    (parts,) = parts_of(np.repeat([0, 1], [6, 4]), 10, 2, 1)  # here it is one question away
    assert sorted(map(len, parts)) == [4, 6]


def test_the_last_part_is_empty_only_if_all_are():
    two_questions = np.zeros(2, dtype=np.int64)
    for rank, sizes in ((0, [0, 1]), (1, [0, 1])):
        ((first, last),) = QuestionSampler(two_questions, 5, shuffle=True, accumulation=2, rank=rank, world_size=2)
        assert [len(first), len(last)] == sizes
    assert sorted(map(len, parts_of(two_questions, 5, 4, 1)[0])) == [0, 0, 1, 1]


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("start", [0, 1, 5, 7, 8])
def test_a_pass_can_begin_in_its_middle(start: int, grouped: bool):
    sampler = QuestionSampler(IMAGE, 16, shuffle=True, seed=0, group_by_image=grouped)
    sampler.start = start
    assert [batch.tolist() for (batch,) in sampler] == batches(group_by_image=grouped)[start:]
    assert len(sampler) == 8, "the length stays that of a whole pass"


@pytest.mark.parametrize("grouped", [True, False])
def test_a_pass_asks_about_each_image_or_its_mirror_image(grouped: bool):
    image = np.concatenate([IMAGE, IMAGE + 30])  # a question's mirrored twin is 120 places behind it
    sampler = QuestionSampler(image, 16, shuffle=True, group_by_image=grouped, mirror=True, seed=0)
    assert (sampler.num_questions, len(sampler)) == (120, 8)
    passes = []
    for sampler.epoch in (1, 2, 1):
        found = np.array([question for (batch,) in sampler for question in batch])
        assert sorted(found % 120) == list(range(120))
        shown = {}
        for question in found:
            shown.setdefault(IMAGE[question % 120], set()).add(question >= 120)
        assert all(len(sides) == 1 for sides in shown.values())  # one way a pass, for all questions of an image
        passes.append(found.tolist())
        assert 5 < sum(True in sides for sides in shown.values()) < 25
    assert passes[0] == passes[2] != passes[1]
