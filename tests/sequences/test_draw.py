"""DRAW: its windows against the equations of the paper, its bound, and what it is compared with."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from vqa_rnn.config.draw import DrawDataConfig
from vqa_rnn.engines.sums import build_sums_evaluator
from vqa_rnn.rnn import CELLS
from vqa_rnn.sequences.draw import DigitBatch, Draw
from vqa_rnn.sequences.draw_data import DrawDigits, draw_noise, evaluation_batches, read_draw_digits, training_batches
from vqa_rnn.sequences.draw_measures import classes_floor, entropy, nearest, pixels_floor
from vqa_rnn.sequences.draw_run import bound, bound_parts, bound_sums
from vqa_rnn.sequences.draw_windows import GaussianReader, GaussianWriter, WholeReader, Window

SIDE, STEPS, LATENT = 6, 3, 2


def small(cell: str = "lstm", **options: int | None) -> Draw:
    torch.manual_seed(0)
    return Draw(SIDE, STEPS, cell, 5, LATENT, **{"read_size": 2, "write_size": 3, **options}).double()  # type: ignore[arg-type]


def digits(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return images, torch.randn(count, STEPS, LATENT, generator=generator, dtype=torch.float64)


def window(centre: tuple[float, float], stride: float, variance: float, intensity: float = 1.0) -> Window:
    values = [torch.tensor([value], dtype=torch.float64) for value in (stride, variance, intensity)]
    return Window(torch.tensor([centre], dtype=torch.float64), *values)


def brute_force_filters(centre: float, stride: float, variance: float, grid: int, side: int) -> np.ndarray:
    """Equations 19 and 25, number by number."""
    filters = np.empty((grid, side))
    for i in range(1, grid + 1):
        mean = centre + (i - grid / 2 - 0.5) * stride
        for a in range(1, side + 1):
            filters[i - 1, a - 1] = math.exp(-((a - mean) ** 2) / (2 * variance))
        filters[i - 1] /= filters[i - 1].sum()
    return filters


def test_a_grid_of_two_filters_worked_by_hand() -> None:
    (along_x, along_y) = window((2, 3), 2, 1).filters(2, 3)[0]
    one, half, two = 1.0, math.exp(-0.5), math.exp(-2)  # at 0, 1 and 2 pixels from the mean
    total = one + half + two
    # along x the means are 2 - 1 = 1 and 2 + 1 = 3, along y 2 and 4
    expected_x = [[one / total, half / total, two / total], [two / total, half / total, one / total]]
    np.testing.assert_allclose(along_x.numpy(), expected_x, rtol=1e-14)
    np.testing.assert_allclose(along_y[0].numpy(), np.array([half, one, half]) / (one + 2 * half), rtol=1e-14)
    assert window((2, 3), 2, 1).boxes(2).tolist() == [[0.5, 1.5, 2.5, 3.5]], "from the first filter to the last one"


def test_reading_and_writing_are_the_equations_of_the_paper() -> None:
    torch.manual_seed(3)
    reader, writer = GaussianReader(4, SIDE, 3).double(), GaussianWriter(4, SIDE, 2).double()
    state, images = torch.randn(2, 4, dtype=torch.float64), torch.rand(2, 2, SIDE, SIDE, dtype=torch.float64)
    read, _ = reader(images, state)
    written, _ = writer(state)
    for layer, grid in ((reader, 3), (writer, 2)):
        for image in range(2):
            x, y, log_variance, log_stride, log_intensity = layer.place(state)[image].tolist()
            centre_x, centre_y = ((SIDE + 1) / 2 * (value + 1) for value in (x, y))
            stride = (SIDE - 1) / (grid - 1) * math.exp(log_stride)
            along_x, along_y = (
                brute_force_filters(centre, stride, math.exp(log_variance), grid, SIDE) for centre in (centre_x, centre_y)
            )
            intensity = math.exp(log_intensity)
            if layer is reader:
                expected = [intensity * along_y @ each @ along_x.T for each in images[image].numpy()]
                np.testing.assert_allclose(read[image].detach().numpy(), np.stack(expected).flatten(), rtol=1e-12)
            else:
                patch = writer.patch(state)[image].detach().numpy().reshape(grid, grid)
                expected_image = along_y.T @ patch @ along_x / intensity
                np.testing.assert_allclose(written[image].detach().numpy(), expected_image, rtol=1e-12, atol=1e-15)


def test_a_window_far_outside_reads_the_edge_and_not_nan() -> None:
    filters = window((-1e4, 1e4), 1, 0.1).filters(3, 8)
    np.testing.assert_allclose(filters.sum(dim=3).numpy(), 1, rtol=1e-14)
    assert filters[0, 0, :, 0].tolist() == filters[0, 1, :, 7].tolist() == [1, 1, 1]


def test_reading_without_attention_is_image_and_error_side_by_side() -> None:
    images, noise = digits(3)
    reader = WholeReader(SIDE)
    read, boxes = reader(torch.stack([images, images - 0.5], dim=1), images.new_zeros(3, 5))
    assert torch.equal(read, torch.cat([images.flatten(1), images.flatten(1) - 0.5], dim=1))
    assert boxes.tolist() == [[0, 0, SIDE, SIDE]] * 3
    seen = []
    model = small(read_size=None, write_size=None)
    model.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][:, 0]))
    drawing = model.reconstruct(images, noise)
    before = torch.cat([model.blank.view(1, 1, SIDE, SIDE).expand(3, 1, -1, -1).sigmoid(), drawing.stages()[:, :-1]], dim=1)
    for step, inputs in enumerate(seen):
        expected = torch.cat([images.flatten(1), (images - before[:, step]).flatten(1)], dim=1)
        torch.testing.assert_close(inputs[:, : 2 * SIDE * SIDE], expected)


@pytest.mark.parametrize("cell", list(CELLS))
def test_the_loss_is_the_negative_bound(cell: str) -> None:
    model = small(cell, num_layers=2)
    images, noise = digits(4)
    posteriors, written = [], []
    model.posterior.register_forward_hook(lambda module, inputs, output: posteriors.append(output))
    model.writer.register_forward_hook(lambda module, inputs, output: written.append(output[0]))
    batch = DigitBatch(images, torch.arange(4), noise)
    losses, counts = model.losses(model(batch), batch)
    divergence = torch.zeros(4, dtype=torch.float64)
    for output in posteriors:
        mean, log_std = output.chunk(2, dim=1)
        divergence += kl_divergence(Normal(mean, log_std.exp()), Normal(0.0, 1.0)).sum(dim=1)
    canvas = model.blank.view(SIDE, SIDE) + torch.stack(written).sum(dim=0)
    p = canvas.sigmoid()
    reconstruction = -(images * p.log() + (1 - images) * (1 - p).log()).sum(dim=(1, 2))
    torch.testing.assert_close(losses, reconstruction + divergence, rtol=1e-10, atol=1e-10)
    assert counts.tolist() == [1] * 4
    assert len(posteriors) == len(written) == STEPS
    losses.sum().backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert without == [], "every weight is trained"


def test_a_posterior_equal_to_the_prior_says_nothing_and_draws_as_a_sample() -> None:
    model = small()
    images, noise = digits(4)
    torch.nn.init.zeros_(model.posterior.weight)
    torch.nn.init.zeros_(model.posterior.bias)
    drawing, sample = model.reconstruct(images, noise), model.sample(noise)
    assert drawing.divergence().tolist() == [0] * 4
    assert torch.equal(drawing.stages(), sample.stages())
    assert torch.equal(drawing.boxes(), sample.boxes())
    assert sample.stages().shape == (4, STEPS, SIDE, SIDE)
    assert sample.boxes().shape == (4, STEPS, 4)
    assert sample.divergences == sample.read == []


@pytest.mark.parametrize("write_size", [3, None])
def test_batch_mates_change_nothing(write_size: int | None) -> None:
    model = small(write_size=write_size)
    images, noise = digits(5)
    together = bound_parts(model)(DigitBatch(images, torch.arange(5), noise))
    alone = [bound_parts(model)(DigitBatch(images[[n]], torch.tensor([n]), noise[[n]])) for n in range(5)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-11)
    torch.testing.assert_close(model.sample(noise).stages()[3:4], model.sample(noise[3:4]).stages(), rtol=0, atol=1e-12)


def test_an_evaluation_draws_the_same_random_numbers_whatever_came_before() -> None:
    model = small()
    split = DrawDigits(digits(7)[0], torch.zeros(7, dtype=torch.int64))
    scores = []
    for batch_size in (3, 7, 3):
        torch.manual_seed(batch_size)
        batches = evaluation_batches(split, batch_size, STEPS, LATENT)
        evaluator = build_sums_evaluator(model, bound_sums(model), bound, torch.device("cpu"))
        evaluator.run(batches)
        scores.append(evaluator.state.metrics["nats"])
    assert scores[0] == scores[2]
    assert scores[0] == pytest.approx(scores[1], abs=1e-9)
    assert torch.equal(draw_noise(5, [3, 1], STEPS, LATENT)[0], draw_noise(5, range(9), STEPS, LATENT)[3])
    assert not torch.equal(draw_noise(5, [3], STEPS, LATENT), draw_noise(6, [3], STEPS, LATENT))


def test_training_draws_new_random_numbers_in_an_order_of_its_own() -> None:
    model = small()
    batches = training_batches(DrawDigits(digits(7)[0], torch.zeros(7, dtype=torch.int64)), 4, seed=2)
    orders = []
    for epoch in (1, 2):
        batches.epoch = epoch
        orders.append(torch.cat([batch.example_index for (batch,) in batches]).tolist())
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(7))
    assert orders[0] != orders[1]
    (batch,) = next(iter(batches))
    assert batch.noise is None
    assert not torch.equal(model(batch).canvases[-1], model(batch).canvases[-1])


def test_the_metrics_are_means_over_the_images() -> None:
    assert bound([30.0, 6.0, 3.0]) == {"nats": 12.0, "reconstruction": 10.0, "divergence": 2.0}


def test_floors_and_limit_worked_by_hand() -> None:
    train = torch.tensor([[[1.0]], [[1.0]], [[0.0]], [[0.0]], [[0.0]]])
    labels = torch.tensor([7, 7, 2, 2, 2])
    images = torch.tensor([[[1.0]], [[0.5]]])
    # the mean with one more pixel of 1/2 is 2.5 / 6; by label 2.5 / 3 of 7 and 0.5 / 4 of 2
    mean = 2.5 / 6
    assert pixels_floor(images, train).tolist() == pytest.approx([-math.log(mean), -0.5 * math.log(mean * (1 - mean))])
    seven, two = 2.5 / 3, 0.5 / 4
    expected = [
        -math.log(0.4 * seven + 0.6 * two),
        -math.log(0.4 * math.sqrt(seven * (1 - seven)) + 0.6 * math.sqrt(two * (1 - two))),
    ]
    assert classes_floor(images, train, labels).tolist() == pytest.approx(expected)
    assert entropy(images).tolist() == pytest.approx([0, math.log(2)])


def test_the_nearest_training_image_is_found() -> None:
    train = torch.tensor([[[0.0, 0.0]], [[1.0, 1.0]], [[0.3, 0.4]]])
    found = nearest(torch.tensor([[[1.0, 1.0]], [[0.0, 0.0]], [[0.6, 0.8]]]), train)
    assert found.place.tolist() == [1, 0, 1]
    assert found.distance.tolist() == pytest.approx([0, 0, math.hypot(0.4, 0.2)])


def test_digits_are_enlarged_and_stay_probabilities() -> None:
    plain = read_draw_digits(DrawDataConfig(scale=1), "val")
    large = read_draw_digits(DrawDataConfig(scale=3), "val")
    assert plain.images.shape == (360, 8, 8)
    assert large.images.shape == (360, 24, 24)
    middle = large.images[:, 1::3, 1::3]
    torch.testing.assert_close(middle, plain.images, rtol=0, atol=1e-6, msg="the middle of a pixel keeps its value")
    assert large.images.min() == 0
    assert large.images.max() == 1
    assert torch.equal(plain.labels, large.labels)
