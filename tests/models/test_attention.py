"""Regions to image vectors."""

import numpy as np
import pytest
import torch
from torch import Tensor

from vqa_rnn.config import NoAttention, StackedAttention, TopDownAttention
from vqa_rnn.models.attention import ATTENTIONS, MeanPooling
from vqa_rnn.models.attention import StackedAttention as Stacked
from vqa_rnn.models.attention import TopDownAttention as TopDown

B, K, D, H = 3, 4, 5, 6
MASK = torch.tensor([[True, True, True, True], [True, False, True, False], [False, True, False, False]])
INDEX = torch.tensor([0, 1, 1, 2, 0])


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(B, K, D, generator=generator, dtype=torch.float64)
    question = torch.randn(len(INDEX), H, generator=generator, dtype=torch.float64)
    return features, MASK, question, INDEX


@pytest.fixture
def top_down() -> TopDown:
    torch.manual_seed(0)
    return TopDown(TopDownAttention(hidden_size=7, dropout=0.5), D, H).double().eval()


def per_question(image: Tensor, index: Tensor | None) -> Tensor:
    return image if index is None else image[index]


def test_weights_sum_to_one_over_the_regions_that_exist(top_down: TopDown, inputs: tuple[Tensor, ...]):
    weights = top_down.weights(*inputs)
    assert weights.shape == (len(INDEX), K)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(INDEX), dtype=torch.float64), rtol=0, atol=1e-6)
    assert (weights[~MASK[INDEX]] == 0).all()
    assert (weights[MASK[INDEX]] > 0).all()
    assert weights[3].tolist() == [0, 1, 0, 0]


def test_top_down_equals_its_equations(top_down: TopDown, inputs: tuple[Tensor, ...]):
    features, mask, question, index = (tensor.numpy() for tensor in inputs)
    parameters = {name: value.detach().numpy() for name, value in top_down.named_parameters()}
    size = parameters["score.weight"].shape[1]
    both = np.concatenate([parameters["project_image.weight"], parameters["project_question.weight"]], axis=1)
    value_matrix, gate_matrix = both[:size], both[size:]
    value_bias, gate_bias = parameters["project_image.bias"][:size], parameters["project_image.bias"][size:]
    expected_weights = np.zeros((len(index), K))
    expected = np.zeros((len(index), D))
    for n in range(len(index)):
        a = np.full(K, -np.inf)
        for k in range(K):
            if mask[index[n], k]:
                x = np.concatenate([features[index[n], k], question[n]])
                f = np.tanh(value_matrix @ x + value_bias) / (1 + np.exp(-(gate_matrix @ x + gate_bias)))
                a[k] = parameters["score.weight"][0] @ f + parameters["score.bias"][0]
        expected_weights[n] = np.exp(a - a.max()) / np.exp(a - a.max()).sum()
        expected[n] = sum(expected_weights[n, k] * features[index[n], k] for k in range(K))
    attended, picks = top_down(*inputs)
    assert picks is None
    np.testing.assert_allclose(top_down.weights(*inputs).detach().numpy(), expected_weights, rtol=0, atol=1e-9)
    np.testing.assert_allclose(attended.detach().numpy(), expected, rtol=0, atol=1e-9)


def test_stacked_attention_equals_its_equations(inputs: tuple[Tensor, ...]):
    torch.manual_seed(0)
    stacked = Stacked(StackedAttention(hidden_size=7, num_looks=3), D, H).double().eval()
    features, mask, question, index = (tensor.numpy() for tensor in inputs)
    p = {name: value.detach().numpy() for name, value in stacked.named_parameters()}
    expected = np.zeros((len(index), 7))
    for n in range(len(index)):
        values = np.tanh(features[index[n]] @ p["project_image.weight"].T + p["project_image.bias"])
        u = p["project_question.weight"] @ question[n] + p["project_question.bias"]
        for look in range(3):
            a = np.full(K, -np.inf)
            for k in np.flatnonzero(mask[index[n]]):
                query = p[f"query.{look}.weight"] @ u + p[f"query.{look}.bias"]
                hidden = np.tanh(p[f"key.{look}.weight"] @ values[k] + query)
                a[k] = p[f"score.{look}.weight"][0] @ hidden + p[f"score.{look}.bias"][0]
            weights = np.exp(a - a.max()) / np.exp(a - a.max()).sum()
            u = u + weights @ values
        expected[n] = u
    image, picks = stacked(*inputs)
    assert picks is None
    np.testing.assert_allclose(image.detach().numpy(), expected, rtol=0, atol=1e-9)


def test_the_mean_is_over_the_regions_that_exist(inputs: tuple[Tensor, ...]):
    image, picks = MeanPooling(NoAttention(), D, H)(*inputs)
    features = inputs[0]
    assert picks is INDEX
    torch.testing.assert_close(image[0], features[0].mean(dim=0))
    torch.testing.assert_close(image[1], (features[1, 0] + features[1, 2]) / 2)
    torch.testing.assert_close(image[2], features[2, 1])


def test_an_image_without_regions_has_a_zero_mean(inputs: tuple[Tensor, ...]):
    image, _ = MeanPooling(NoAttention(), D, H)(inputs[0], torch.zeros_like(MASK), *inputs[2:])
    assert (image == 0).all()


OPTIONS = {
    "none": NoAttention(),
    "top_down": TopDownAttention(hidden_size=7),
    "stacked": StackedAttention(hidden_size=7),
}


@pytest.mark.parametrize("name", ATTENTIONS)
def test_regions_that_do_not_exist_change_nothing(name: str, inputs: tuple[Tensor, ...]):
    torch.manual_seed(0)
    attention = ATTENTIONS[name](OPTIONS[name], D, H).double().eval()  # type: ignore[arg-type]
    features, mask, question, index = inputs
    before = per_question(*attention(features, mask, question, index))
    assert before.shape == (len(INDEX), attention.output_size)
    garbage = torch.where(mask[:, :, None], features, 1e4)
    longer = torch.cat([garbage, torch.full((B, 9, D), -1e4, dtype=torch.float64)], dim=1)
    longer_mask = torch.cat([mask, torch.zeros(B, 9, dtype=torch.bool)], dim=1)
    after = per_question(*attention(longer, longer_mask, question, index))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_each_question_looks_at_its_own_image(name: str, inputs: tuple[Tensor, ...]):
    torch.manual_seed(0)
    attention = ATTENTIONS[name](OPTIONS[name], D, H).double().eval()  # type: ignore[arg-type]
    features, mask, question, index = inputs
    together = per_question(*attention(features, mask, question, index))
    for n, image in enumerate(index.tolist()):
        one = features[image : image + 1], mask[image : image + 1], question[n : n + 1], torch.tensor([0])
        torch.testing.assert_close(per_question(*attention(*one))[0], together[n], rtol=0, atol=1e-9)


def test_the_mean_does_not_depend_on_the_question_and_top_down_does(top_down: TopDown, inputs: tuple[Tensor, ...]):
    features, mask, question, index = inputs
    mean = MeanPooling(NoAttention(), D, H)
    assert torch.equal(mean(features, mask, question, index)[0], mean(features, mask, -question, index)[0])
    assert not torch.allclose(top_down(features, mask, question, index)[0], top_down(features, mask, -question, index)[0])


@pytest.mark.parametrize("name", ATTENTIONS)
def test_an_image_without_regions_is_a_vector_like_any_other(name: str, inputs: tuple[Tensor, ...]):
    torch.manual_seed(0)
    configs = {"none": NoAttention(), "top_down": TopDownAttention(), "stacked": StackedAttention()}
    attention = ATTENTIONS[name](configs[name], D, H).double().eval()  # type: ignore[arg-type]
    features, mask, question, index = inputs
    features.requires_grad_()
    empty = mask.clone()
    empty[1] = False
    found = per_question(*attention(features, empty, question, index))
    assert found.isfinite().all()
    if name != "stacked":  # whose vector begins with the question
        assert not found[1:3].any()
    found.square().sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert not features.grad[1].any()
    others = per_question(*attention(features, mask, question, index))
    torch.testing.assert_close(found[[0, 3, 4]], others[[0, 3, 4]], rtol=1e-12, atol=0)
