"""Question and image vectors to one joint vector."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vqa_rnn.models.fusion import FUSIONS, BlockFusion, ConcatFusion, ProductFusion, SumFusion
from vqa_rnn.models.layers import signed_sqrt

H, D, J = 4, 3, 6
INDEX = torch.tensor([1, 0, 1, 1, 2])
OPTIONS: dict[str, dict[str, Any]] = {
    "sum": {},
    "concat": {},
    "product": {"activation": "modulate"},
    "gated": {},
    "mlb": {"rank": 5, "activation": "none"},
    "mutan": {"factor_size": 5, "rank": 3, "activation": "none"},
    "mfb": {"factors": 4},
    "mfh": {"factors": 4, "order": 2},
    "mcb": {},
    "tucker": {"factor_size": 5},
    "block": {"factor_size": 8, "pieces": 2, "rank": 3, "normalise": False},
}


def build(name: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    size = {} if name == "image" else {"hidden_size": J}
    return FUSIONS[name](H, D, **{**size, **OPTIONS.get(name, {}), **options}).double().eval()


def without_biases(name: str, **options: Any) -> tuple[nn.Module, dict[str, Tensor]]:
    """A fusion that is bilinear, and its weights."""
    fusion = build(name, **options)
    for parameter in fusion.parameters():
        if parameter.dim() == 1:
            nn.init.zeros_(parameter)
    return fusion, {key: value.detach() for key, value in fusion.state_dict().items()}


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    question = torch.randn(5, H, generator=generator, dtype=torch.float64)
    return question, torch.randn(3, D, generator=generator, dtype=torch.float64)


def normalised(vectors: Tensor) -> Tensor:
    rooted = vectors.sign() * (vectors.abs() + 1e-12).sqrt()  # which bounds its gradient at 0
    return rooted / rooted.norm(dim=1, keepdim=True)


def close(found: Tensor, expected: Tensor) -> None:
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_concat_is_one_matrix_on_both_vectors(inputs: tuple[Tensor, Tensor]):
    fusion = build("concat")
    question, image = inputs
    matrix = torch.cat([fusion.project_question.weight, fusion.project_image.weight], dim=1)
    both = torch.cat([question, image[INDEX]], dim=1)
    expected = (both @ matrix.T + fusion.project_question.bias).clamp(min=0)
    torch.testing.assert_close(fusion(question, image, INDEX), expected, rtol=0, atol=1e-12)
    assert (expected > 0).any()
    assert (expected == 0).any()


def test_product_is_tanh_of_the_question_times_relu_of_the_image(inputs: tuple[Tensor, Tensor]):
    fusion = build("product")
    torch.nn.init.normal_(fusion.project_image.weight)
    torch.nn.init.normal_(fusion.project_image.bias)
    question, image = inputs
    left = torch.tanh(question @ fusion.project_question.weight.T + fusion.project_question.bias)
    right = (image[INDEX] @ fusion.project_image.weight.T + fusion.project_image.bias).clamp(min=0)
    torch.testing.assert_close(fusion(question, image, INDEX), left * right, rtol=0, atol=1e-12)
    assert (right == 0).any()


def test_product_starts_with_what_the_question_says(inputs: tuple[Tensor, Tensor]):
    fusion = build("product")
    question, image = inputs
    said = torch.tanh(fusion.project_question(question))
    torch.testing.assert_close(fusion(question, torch.zeros_like(image), INDEX), said, rtol=0, atol=0)
    wide = ProductFusion(H, D, hidden_size=20_000, activation="modulate")
    moved = wide.project_image(torch.ones(1, D)) - 1  # a standardised image moves the factor by 1
    assert moved.std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_product_may_have_the_same_activation_on_both_sides(activation: str, inputs: tuple[Tensor, Tensor]):
    fusion = build("product", activation=activation)
    question, image = inputs
    function = getattr(torch, activation)
    expected = function(fusion.project_question(question)) * function(fusion.project_image(image))[INDEX]
    torch.testing.assert_close(fusion(question, image, INDEX), expected, rtol=0, atol=0)
    assert fusion.project_image.bias.abs().max() < 1  # not the start of ``modulate``


def test_concat_and_sum_without_a_layer_take_vectors_as_they_are(inputs: tuple[Tensor, Tensor]):
    question, image = inputs
    concat = ConcatFusion(H, D, hidden_size=None)
    assert torch.equal(concat(question, image, INDEX), torch.cat([question, image[INDEX]], dim=1))
    assert torch.equal(concat(question, image[INDEX], None), torch.cat([question, image[INDEX]], dim=1))
    assert concat.output_size == H + D
    plain = SumFusion(D, D, hidden_size=None)
    assert torch.equal(plain(question[:, :D], image, INDEX), question[:, :D] + image[INDEX])
    assert not [*concat.parameters(), *plain.parameters()]
    with pytest.raises(ValueError, match="hidden_size=null needs question and image vectors of the same size, got 4 and 3"):
        SumFusion(H, D, hidden_size=None)


def test_sum_and_gated_equal_their_equations(inputs: tuple[Tensor, Tensor]):
    question, image = inputs
    fusion = build("sum")
    expected = fusion.project_question(question) + image[INDEX] @ fusion.project_image.weight.T
    close(fusion(question, image, INDEX), expected)
    fusion = build("gated", weight_norm=True)
    sides = []
    for layer, vectors in ((fusion.question_layer, question), (fusion.image_layer, image[INDEX])):
        value, gate = (vectors @ part.weight.T + part.bias for part in (layer.value, layer.gate))
        sides.append(value.tanh() / (1 + (-gate).exp()))
    close(fusion(question, image, INDEX), sides[0] * sides[1])
    length = fusion.question_layer.value.parametrizations.weight.original0
    torch.testing.assert_close(fusion.question_layer.value.weight.norm(dim=1, keepdim=True), length)


@pytest.mark.parametrize("name", ["mlb", "mutan", "tucker", "block", "mfb"])
def test_a_factored_fusion_equals_the_tensor_that_it_factors(name: str, inputs: tuple[Tensor, Tensor]):
    fusion, w = without_biases(name)
    question, image = inputs
    to_question, to_image = w.get("project_question.weight"), w.get("project_image.weight")
    if name == "mlb":
        tensor = torch.einsum("rh,rd,jr->hdj", to_question, to_image, w["project_joint.weight"])
    elif name == "tucker":
        tensor = torch.einsum("fh,gd,jfg->hdj", to_question, to_image, w["core.weight"])
    elif name == "mutan":
        left, right = (w[f"merge_{side}.weight"].unflatten(0, (3, J)) for side in ("question", "image"))
        tensor = torch.einsum("rjf,fh,rjg,gd->hdj", left, to_question, right, to_image)
    elif name == "block":
        left, right = (w[f"merge_{side}"].unflatten(2, (3, 4)) for side in ("question", "image"))  # (pieces, size, rank, size)
        sides = [side.unflatten(0, (2, 4)) for side in (to_question, to_image)]
        joint = w["project_joint.weight"].unflatten(1, (2, 4))
        tensor = torch.einsum("jpt,psrt,purt,psh,pud->hdj", joint, left, right, *sides)
    else:
        left, right = (w[f"project_{side}.0.weight"].unflatten(0, (J, 4)) for side in ("question", "image"))
        tensor = torch.einsum("jkh,jkd->hdj", left, right)
    expected = torch.einsum("hdj,nh,nd->nj", tensor, question, image[INDEX])
    close(fusion(question, image, INDEX), normalised(expected) if name == "mfb" else expected)


def test_mfh_multiplies_each_block_with_the_one_before(inputs: tuple[Tensor, Tensor]):
    fusion, w = without_biases("mfh")
    question, image = inputs
    weights = [w[f"project_{side}.{block}.weight"].unflatten(0, (J, 4)) for block in (0, 1) for side in ("question", "image")]
    picked = image[INDEX]
    first = torch.einsum("jkh,nh,jkd,nd->nj", weights[0], question, weights[1], picked)
    second = torch.einsum(
        "jkh,nh,jkd,nd,jki,ni,jke,ne->nj",
        *(weights[0], question, weights[1], picked, weights[2], question, weights[3], picked),
    )
    assert fusion.output_size == 2 * J
    close(fusion(question, image, INDEX), torch.cat([normalised(first), normalised(second)], dim=1))


def test_compact_pooling_equals_the_circular_convolution(inputs: tuple[Tensor, Tensor]):
    fusion = build("mcb")
    question, image = inputs
    expected = torch.zeros(5, J, dtype=torch.float64)
    for n in range(5):
        for h in range(H):  # the count sketch of the outer product, entry by entry
            for d in range(D):
                place = (int(fusion.question_place[h]) + int(fusion.image_place[d])) % J
                sign = float(fusion.question_sign[h] * fusion.image_sign[d])
                expected[n, place] += sign * question[n, h] * image[INDEX[n], d]
    close(fusion(question, image, INDEX), normalised(expected))
    assert {*fusion.question_sign.tolist(), *fusion.image_sign.tolist()} == {-1.0, 1.0}


def test_block_may_normalise_each_piece(inputs: tuple[Tensor, Tensor]):
    plain, rooted = build("block"), build("block", normalise=True)
    for fusion in (plain, rooted):
        fusion.project_joint = nn.Identity()  # the pieces side by side
    pieces = plain(*inputs, INDEX).unflatten(1, (2, 4))
    expected = functional.normalize(signed_sqrt(pieces), dim=2).flatten(1)
    close(rooted(*inputs, INDEX), expected)
    with pytest.raises(ValueError, match="factor_size=9 cannot be cut into 2 equal pieces"):
        BlockFusion(H, D, hidden_size=J, factor_size=9, pieces=2, rank=1)


def test_power_normalisation_has_a_finite_gradient_at_zero():
    vectors = torch.tensor([0.0, -4.0, 9.0], requires_grad=True)
    rooted = signed_sqrt(vectors)
    torch.testing.assert_close(rooted, torch.tensor([0.0, -2.0, 3.0]))
    rooted.sum().backward()
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()


@pytest.mark.parametrize("name", FUSIONS)
def test_an_image_shared_by_index_equals_an_image_a_question(name: str, inputs: tuple[Tensor, Tensor]):
    fusion = build(name)
    question, image = inputs
    joint = fusion(question, image, INDEX)
    assert joint.shape == (5, fusion.output_size)
    torch.testing.assert_close(joint, fusion(question, image[INDEX], None), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", FUSIONS)
def test_dropout_acts_in_training_alone(name: str, inputs: tuple[Tensor, Tensor]):
    fusion = build(name, dropout=0.5)
    still = fusion(*inputs, INDEX)
    assert torch.equal(still, fusion(*inputs, INDEX))
    assert not torch.equal(fusion.train()(*inputs, INDEX), still)


@pytest.mark.parametrize("name", [name for name in FUSIONS if name != "image"])
def test_both_sides_matter(name: str, inputs: tuple[Tensor, Tensor]):
    fusion = build(name)
    question, image = inputs
    joint = fusion(question, image, INDEX)
    assert not torch.allclose(fusion(-question, image, INDEX), joint)
    assert not torch.allclose(fusion(question, -image, INDEX), joint)
