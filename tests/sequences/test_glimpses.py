"""Readers of glimpses: the scenes, what a glimpse is, and the gradient that learns where to look."""

import math

import numpy as np
import pytest
import torch

from vqa_rnn.config.glimpses import ScenesConfig
from vqa_rnn.rnn import CELLS
from vqa_rnn.sequences.digits import Digits
from vqa_rnn.sequences.glimpses import GlimpseReader, Looks, Rewarded, accuracies, cut_patches, read_right, right_sums
from vqa_rnn.sequences.glimpses_data import END, IGNORED, SceneBatch, SceneBatches, Scenes, batches_of, make_scenes
from vqa_rnn.sequences.glimpses_run import read_scenes, text_of

DIGITS = Digits(
    np.random.default_rng(0).uniform(0.1, 1, (10, 8, 8)).astype(np.float32), np.random.default_rng(1).permutation(10)
)


def scenes_of(num_scenes: int, **options: int) -> Scenes:
    return make_scenes(DIGITS, ScenesConfig(**options), num_scenes, np.random.default_rng(0))  # type: ignore[arg-type]


def small_reader(num_targets: int = 3, cell: str = "lstm", **options: object) -> GlimpseReader:
    torch.manual_seed(0)
    sizes = {"hidden_size": 6, "glimpse_size": 4, "context_size": 4, **options}
    return GlimpseReader(num_targets, 11, cell, **sizes).double().eval()  # type: ignore[arg-type]


@pytest.mark.parametrize(("most", "fewest", "size"), [(1, None, 8), (2, None, 24), (3, 1, 24), (3, 3, 24)])
def test_a_scene_is_its_digits_from_left_to_right(most: int, fewest: int | None, size: int) -> None:
    scenes = scenes_of(200, num_digits=most, fewest_digits=fewest, canvas_size=size)  # type: ignore[arg-type]
    image_of = {int(label): image for image, label in zip(DIGITS.images, DIGITS.labels, strict=True)}
    counts = set()
    for image, targets, corners in zip(*scenes, strict=True):
        count = targets.tolist().index(END)
        counts.add(count)
        assert (targets[count + 1 :] == IGNORED).all()
        left = corners[:count, 0]
        assert (np.diff(left) >= 8).all(), "no column has two digits"
        drawn = np.zeros_like(image)
        for label, (x, y) in zip(targets[:count].tolist(), corners.tolist(), strict=False):
            drawn[y : y + 8, x : x + 8] = image_of[label]
        assert np.array_equal(image, drawn)
    assert counts == set(range(fewest or most, most + 1))
    reached = scenes.corners[:, 0]
    assert (reached.min(), reached[:, 1].max()) == (0, size - 8), "digits are at the edges, too"


def test_training_scenes_depend_on_seed_epoch_and_batch_only() -> None:
    options = ScenesConfig(num_train=50)
    batches, others = SceneBatches(DIGITS, options, 20, 0), SceneBatches(DIGITS, options, 20, 1)
    batches.epoch = others.epoch = 1
    first = [batch for (batch,) in batches]
    assert [batch.num_examples for batch in first] == [20, 20, 10]
    assert torch.cat([batch.example_index for batch in first]).tolist() == list(range(50))
    batches.start = 1
    assert [torch.equal(batch.images, same.images) for (batch,), same in zip(batches, first[1:], strict=True)] == [True] * 2
    batches.start, batches.epoch = 0, 2
    for different in (next(iter(batches))[0], next(iter(others))[0], first[1]):
        assert not torch.equal(different.images, first[0].images)


def test_a_patch_in_the_middle_of_pixels_is_a_part_of_the_image() -> None:
    image = torch.arange(1.0, 65, dtype=torch.float64).view(1, 8, 8)
    centre = torch.tensor([[0.25, -0.5]], dtype=torch.float64)  # x = 5 and y = 2 pixels from the edges
    patches = cut_patches(image, centre, 2, 2)
    assert patches.shape == (1, 2, 2, 2)
    torch.testing.assert_close(patches[0, 0], image[0, 1:3, 4:6], rtol=0, atol=1e-12)
    wide = image[0, 0:4, 3:7].view(2, 2, 2, 2).mean(dim=(1, 3))
    torch.testing.assert_close(patches[0, 1], wide, rtol=0, atol=1e-12)
    corner = cut_patches(image, torch.tensor([[-1.0, -1.0]], dtype=torch.float64), 2, 1)[0, 0]
    assert corner.tolist() == [[0, 0], [0, 1]], "outside is 0"


@pytest.mark.parametrize("cell", list(CELLS))
def test_batch_mates_and_random_numbers_change_nothing_in_evaluation(cell: str) -> None:
    model = small_reader(cell=cell, num_layers=2, first_state="learned")
    scenes = scenes_of(5)
    images = torch.from_numpy(scenes.images)
    together = model(images)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for number in range(5):
        alone = model(images[number : number + 1])
        for one, many in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], many[number], rtol=0, atol=1e-12)
    assert torch.equal(torch.get_rng_state(), before)
    assert together.logits.shape == (5, 3, 11)
    assert together.places.shape == (5, 6, 2)
    assert not together.log_p.any()


def test_what_is_read_comes_from_the_glimpses_and_not_from_the_coarse_view() -> None:
    model = small_reader()
    images = torch.from_numpy(scenes_of(4).images)
    places = torch.zeros(4, 6, 2).double()
    before = model(images, places)
    assert model.context is not None
    torch.nn.init.normal_(model.context.state.weight)
    assert torch.equal(model(images, places).logits, before.logits)
    assert not torch.equal(model(images).places, model(images, places).places)
    changed = images.clone()
    changed[:, :4] += 1  # no glimpse sees the upper edge
    assert torch.equal(model(changed, places).logits, before.logits)


def test_drawn_places_have_the_density_of_the_normal_distribution() -> None:
    model = small_reader(1, looks_per_target=1, location_std=0.3)
    images = torch.from_numpy(scenes_of(1, num_digits=1).images).expand(4000, -1, -1)
    mean = model(images[:1]).places[0, 0]
    looks = model.train()(images)
    places, log_p = looks.places[:, 0], looks.log_p[:, 0]
    inside = (places.abs() < 1).all(dim=1)
    expected = torch.distributions.Normal(mean, 0.3).log_prob(places).sum(dim=1)
    torch.testing.assert_close(log_p[inside], expected[inside], rtol=0, atol=1e-9)
    assert (places.mean(dim=0) - mean).abs().max() < 0.02
    assert (places - mean).std().item() == pytest.approx(0.3, abs=0.01)


def test_the_gradient_is_that_of_the_expected_reward() -> None:
    """The exact gradient is an integral over all places; that of the loss is a mean over many drawn ones."""
    std = 0.4
    model = small_reader(1, "elman", looks_per_target=1, location_std=std, num_scales=1)
    image = torch.from_numpy(scenes_of(1, num_digits=1, canvas_size=16).images).double()
    model.location.bias.data = torch.tensor([0.2, -0.3]).double()
    model.baseline.bias.data.fill_(0.4)
    mean = model(image).places[0, 0].detach()
    steps = torch.linspace(-5 * std, 5 * std, 81, dtype=torch.float64)
    places = mean + torch.cartesian_prod(steps, steps)
    with torch.no_grad():
        parts = places[:, None].clamp(-1, 1).split(8000)
        logits = torch.cat([model(image.expand(len(part), -1, -1), part).logits[:, 0] for part in parts])
        model.output.bias -= logits.mean(dim=0)  # so that the class depends on the place
        classes = (logits - logits.mean(dim=0)).argmax(dim=1)
        target = int(classes.mode().values)
    rewards = (classes == target).double()
    density = torch.distributions.Normal(mean, std).log_prob(places).sum(dim=1).exp() * (steps[1] - steps[0]) ** 2
    assert density.sum().item() == pytest.approx(1, abs=1e-5)
    assert 0.2 < (rewards * density).sum() < 0.9, "the reward depends on the place"
    by_mean = (rewards * density) @ (places - mean) / std**2
    exact = by_mean * (1 - mean**2) / math.sqrt(6)  # of the tanh and the scale, for the bias

    num = 8000
    batch = SceneBatch(image.expand(num, -1, -1), torch.full((num, 1), target), torch.arange(num))
    rewarded = Rewarded(model.train(), reinforce_weight=2.0)
    looks = rewarded(batch)
    losses, counts = rewarded.losses(looks, batch)
    assert counts.tolist() == [1] * num
    cross_entropy = torch.nn.functional.cross_entropy(looks.logits[:, 0], batch.targets[:, 0], reduction="none")
    torch.testing.assert_close(losses, cross_entropy, rtol=0, atol=1e-12)  # no policy in the value
    losses.mean().backward()
    assert model.location.bias.grad is not None
    found = -model.location.bias.grad / 2
    assert exact.abs().max() > 0.05
    torch.testing.assert_close(found, exact, rtol=0, atol=4 * 0.6 / std / math.sqrt(6 * num))
    assert model.baseline.bias.grad is not None
    error = ((rewards * density).sum() - looks.baselines[0, 0]).item()
    assert model.baseline.bias.grad.item() == pytest.approx(-2 * error, abs=0.04)


def test_a_look_is_rewarded_for_what_is_read_after_it() -> None:
    logits = torch.full((2, 3, 11), -9.0).double()
    for scene, read in enumerate([(4, 7, END), (4, 5, 5)]):
        for place, number in enumerate(read):
            logits[scene, place, number] = 9
    targets = torch.tensor([[4, 1, END], [4, END, IGNORED]])
    log_p = torch.zeros(2, 6).double().requires_grad_()
    baselines = torch.full((2, 6), 0.25).double().requires_grad_()
    batch = SceneBatch(torch.zeros(2, 8, 8), targets, torch.arange(2))
    rewarded = Rewarded(small_reader(), reinforce_weight=0.5)
    losses, counts = rewarded.losses(Looks(logits, torch.zeros(2, 6, 2), log_p, baselines), batch)
    assert counts.tolist() == [3, 2]
    losses.sum().backward()
    to_come = torch.tensor([[2.0, 2, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]]).double()
    torch.testing.assert_close(log_p.grad, -0.5 * (to_come - 0.25))
    torch.testing.assert_close(baselines.grad, 2 * (0.25 - to_come))
    assert read_right(logits, targets).tolist() == [[True, False, True], [True, False, True]]


def test_a_scene_is_right_if_all_digits_and_the_end_are() -> None:
    scenes = scenes_of(40, num_digits=2, fewest_digits=1)
    model = small_reader()
    whole = sum(right_sums(model)(batch) for (batch,) in batches_of(scenes, 7))
    reading = read_scenes(model, scenes)
    is_digit = torch.from_numpy((scenes.targets != END) & (scenes.targets != IGNORED))
    expected = [reading.right.all(dim=1).sum(), 40, (reading.right & is_digit).sum(), is_digit.sum()]
    assert whole.tolist() == [float(value) for value in expected]  # type: ignore[union-attr]
    assert accuracies([1.0, 4.0, 3.0, 8.0]) == {"accuracy": 0.25, "digit_accuracy": 0.375}
    assert text_of([3, 0, END, 4], [str(digit) for digit in range(10)]) == "3 0"
    assert text_of([3, END, IGNORED], [str(digit) for digit in range(10)]) == "3"
