"""Question and image vectors to one joint vector."""

import pytest
import torch
from torch import Tensor

from vqa_rnn.config import ConcatFusion, ProductFusion
from vqa_rnn.models.fusion import FUSIONS
from vqa_rnn.models.fusion import ConcatFusion as Concat
from vqa_rnn.models.fusion import ProductFusion as Product

H, D, J = 4, 3, 6
INDEX = torch.tensor([1, 0, 1, 1, 2])
OPTIONS = {"concat": ConcatFusion(hidden_size=J, dropout=0.5), "product": ProductFusion(hidden_size=J, dropout=0.5)}


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    question = torch.randn(5, H, generator=generator, dtype=torch.float64)
    return question, torch.randn(3, D, generator=generator, dtype=torch.float64)


def test_concat_is_one_matrix_on_both_vectors(inputs: tuple[Tensor, Tensor]):
    torch.manual_seed(0)
    fusion = Concat(ConcatFusion(hidden_size=J), H, D).double().eval()
    question, image = inputs
    matrix = torch.cat([fusion.project_question.weight, fusion.project_image.weight], dim=1)
    both = torch.cat([question, image[INDEX]], dim=1)
    expected = (both @ matrix.T + fusion.project_question.bias).clamp(min=0)
    torch.testing.assert_close(fusion(question, image, INDEX), expected, rtol=0, atol=1e-12)
    assert (expected > 0).any()
    assert (expected == 0).any()


def test_product_is_tanh_of_the_question_times_relu_of_the_image(inputs: tuple[Tensor, Tensor]):
    torch.manual_seed(0)
    fusion = Product(ProductFusion(hidden_size=J), H, D).double().eval()
    torch.nn.init.normal_(fusion.project_image.weight)
    torch.nn.init.normal_(fusion.project_image.bias)
    question, image = inputs
    left = torch.tanh(question @ fusion.project_question.weight.T + fusion.project_question.bias)
    right = (image[INDEX] @ fusion.project_image.weight.T + fusion.project_image.bias).clamp(min=0)
    torch.testing.assert_close(fusion(question, image, INDEX), left * right, rtol=0, atol=1e-12)
    assert (right == 0).any()


def test_product_starts_with_what_the_question_says(inputs: tuple[Tensor, Tensor]):
    torch.manual_seed(0)
    fusion = Product(ProductFusion(hidden_size=J), H, D).double().eval()
    question, image = inputs
    said = torch.tanh(fusion.project_question(question))
    torch.testing.assert_close(fusion(question, torch.zeros_like(image), INDEX), said, rtol=0, atol=0)
    wide = Product(ProductFusion(hidden_size=20_000), H, D)
    moved = wide.project_image(torch.ones(1, D)) - 1  # a standardised image moves the factor by 1
    assert moved.std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_product_may_have_the_same_activation_on_both_sides(activation: str, inputs: tuple[Tensor, Tensor]):
    torch.manual_seed(0)
    fusion = Product(ProductFusion(hidden_size=J, activation=activation), H, D).double().eval()  # type: ignore[arg-type]
    question, image = inputs
    function = getattr(torch, activation)
    expected = function(fusion.project_question(question)) * function(fusion.project_image(image))[INDEX]
    torch.testing.assert_close(fusion(question, image, INDEX), expected, rtol=0, atol=0)
    assert fusion.project_image.bias.abs().max() < 1  # not the start of ``modulate``


def test_concat_without_a_layer_is_both_side_by_side(inputs: tuple[Tensor, Tensor]):
    fusion = Concat(ConcatFusion(hidden_size=None), H, D)
    question, image = inputs
    assert torch.equal(fusion(question, image, INDEX), torch.cat([question, image[INDEX]], dim=1))
    assert torch.equal(fusion(question, image[INDEX], None), torch.cat([question, image[INDEX]], dim=1))
    assert fusion.output_size == H + D
    assert not list(fusion.parameters())


@pytest.mark.parametrize("name", FUSIONS)
def test_an_image_shared_by_index_equals_an_image_a_question(name: str, inputs: tuple[Tensor, Tensor]):
    torch.manual_seed(0)
    fusion = FUSIONS[name](OPTIONS[name], H, D).double().eval()  # type: ignore[arg-type]
    question, image = inputs
    joint = fusion(question, image, INDEX)
    assert joint.shape == (5, fusion.output_size) == (5, J)
    torch.testing.assert_close(joint, fusion(question, image[INDEX], None), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", FUSIONS)
def test_dropout_acts_in_training_alone(name: str, inputs: tuple[Tensor, Tensor]):
    torch.manual_seed(0)
    fusion = FUSIONS[name](OPTIONS[name], H, D).double()  # type: ignore[arg-type]
    still = fusion.eval()(*inputs, INDEX)
    assert torch.equal(still, fusion(*inputs, INDEX))
    dropped = fusion.train()(*inputs, INDEX)
    assert not torch.equal(dropped, still)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], 2 * still[kept])


@pytest.mark.parametrize("name", FUSIONS)
def test_both_sides_matter(name: str, inputs: tuple[Tensor, Tensor]):
    torch.manual_seed(0)
    fusion = FUSIONS[name](OPTIONS[name], H, D).double().eval()  # type: ignore[arg-type]
    question, image = inputs
    joint = fusion(question, image, INDEX)
    assert not torch.allclose(fusion(-question, image, INDEX), joint)
    assert not torch.allclose(fusion(question, -image, INDEX), joint)
