"""Words and regions to joint vectors, without attention and fusion."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.models.test_attention import (
    B,
    D,
    H,
    Inputs,
    K,
    N,
    S,
    close,
    each_question,
    softmax,
    weights_of,
)
from tests.models.test_attention import inputs as inputs  # a fixture
from vqa_rnn.models.layers import Elu
from vqa_rnn.models.reasoning import REASONING
from vqa_rnn.models.text_encoder import EncodedTexts

OPTIONS: dict[str, dict[str, Any]] = {
    "relation": {"hidden_size": 7, "num_layers": 3},
    "film": {"hidden_size": 16, "num_blocks": 2, "kernel_size": 1, "joint_size": 9},
    "mac": {"hidden_size": 7, "num_steps": 3, "kernel_size": 1, "self_attention": True, "gate": True},
    "mcan": {"hidden_size": 8, "num_layers": 2, "num_heads": 2, "joint_size": 9},
    "word_attention": {"cell": "lstm", "hidden_size": 7},
}


def build(name: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    words = {"word_size": S} if REASONING[name].reads_words else {}
    return REASONING[name](D, H, **words, **{**OPTIONS[name], **options}).double().eval()


def elu(numbers: np.ndarray) -> np.ndarray:
    return np.where(numbers > 0, numbers, np.exp(np.minimum(numbers, 0)) - 1)


def relu(numbers: np.ndarray) -> np.ndarray:
    return np.maximum(numbers, 0)


def sigmoid(numbers: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-numbers))


class Layers:
    """A network's linear layers by name, on numpy."""

    def __init__(self, network: nn.Module) -> None:
        self.weights = weights_of(network)

    def __call__(self, name: str, vectors: np.ndarray) -> np.ndarray:
        weight, bias = self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias", 0)
        return vectors @ weight.reshape(weight.shape[0], -1).T + bias


def test_relation_network_equals_its_equation(inputs: Inputs):
    network = build("relation")
    layer = Layers(network)
    expected = np.zeros((N, 7))
    first = np.concatenate([layer.weights[f"{part}.weight"] for part in ("left", "right", "question")], axis=1)
    for n, _, regions, vector, _ in each_question(inputs):
        total = np.zeros(7)
        for one in regions:
            for other in regions:
                hidden = relu(first @ np.concatenate([one, other, vector]) + layer.weights["left.bias"])
                total += relu(layer("pair.3", relu(layer("pair.1", hidden))))
        expected[n] = relu(layer("joint.0", total / len(regions)))
    assert (expected > 0).any()
    close(network(*inputs).joint, expected)


def convolve(weight: np.ndarray, bias: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """(channels, side, side), with zeros around it."""
    pad = weight.shape[2] // 2
    padded = np.pad(grid, ((0, 0), (pad, pad), (pad, pad)))
    _, height, width = grid.shape
    found = np.zeros((len(weight), height, width))
    for y in range(height):
        for x in range(width):
            window = padded[:, y : y + weight.shape[2], x : x + weight.shape[3]]
            found[:, y, x] = (weight * window).sum(axis=(1, 2, 3)) + bias
    return found


def whole(inputs: Inputs) -> Inputs:
    """Every region exists: a grid of 2 x 2."""
    features, mask, questions, index = inputs
    return features, torch.ones_like(mask), questions, index


def as_grid(regions: np.ndarray) -> np.ndarray:
    return regions.T.reshape(-1, 2, 2)


def test_film_equals_its_equations(inputs: Inputs):
    network = build("film", kernel_size=3)
    layer, p = Layers(network), weights_of(network)
    expected = np.zeros((N, 9))
    for n, _, regions, vector, _ in each_question(whole(inputs)):
        x = relu(convolve(p["stem.layers.0.weight"], p["stem.layers.0.bias"], as_grid(regions)))
        parameters = layer("modulate", vector).reshape(2, 2, 16)  # blocks, factor and shift, channels
        for block, (change, shift) in enumerate(parameters):
            h = relu(convolve(p[f"blocks.{block}.first.weight"], p[f"blocks.{block}.first.bias"], x))
            second = convolve(p[f"blocks.{block}.second.weight"], p[f"blocks.{block}.second.bias"], h)
            groups = second.reshape(2, 8, 2, 2)
            mean = groups.mean(axis=(1, 2, 3), keepdims=True)
            deviation = np.sqrt(groups.var(axis=(1, 2, 3), keepdims=True) + 1e-5)
            normal = ((groups - mean) / deviation).reshape(16, 2, 2)
            x = h + relu((1 + change)[:, None, None] * normal + shift[:, None, None])
        expected[n] = relu(convolve(p["joint.weight"], p["joint.bias"], x)).max(axis=(1, 2))
    close(network(*whole(inputs)).joint, expected)


@pytest.mark.parametrize(("self_attention", "gate"), [(False, False), (True, False), (False, True), (True, True)])
def test_mac_equals_its_equations(self_attention: bool, gate: bool, inputs: Inputs):
    network = build("mac", kernel_size=3, self_attention=self_attention, gate=gate)
    layer, p = Layers(network), weights_of(network)
    maps, expected = np.zeros((N, 3, K)), np.zeros((N, 7 + H))
    for n, _, regions, vector, words in each_question(whole(inputs)):
        grid = as_grid(regions)
        for number in (0, 2):
            grid = elu(convolve(p[f"stem.layers.{number}.weight"], p[f"stem.layers.{number}.bias"], grid))
        knowledge, contexts = grid.reshape(7, K).T, layer("project_words", words)
        control, memory = p["first_control"], p["first_memory"]
        controls, memories = [control], [memory]
        for step in range(3):
            query = layer("control", np.concatenate([control, layer(f"position.{step}", vector)]))
            control = softmax(layer("attend_words", query * contexts)[:, 0]) @ contexts
            direct = layer("read_memory", memory) * layer("read_regions", knowledge)
            both = layer("read_both", np.concatenate([direct, knowledge], axis=1))
            weights = softmax(layer("attend_regions", elu(control * both))[:, 0])
            written = layer("write", np.concatenate([weights @ knowledge, memory]))
            if self_attention:
                earlier = softmax(layer("attend_steps", control * np.array(controls))[:, 0])
                written = written + layer("write_before", earlier @ np.array(memories))
            if gate:
                stays = sigmoid(layer("gate", control))
                written = stays * memory + (1 - stays) * written
            memory = written
            controls.append(control)
            memories.append(memory)
            maps[n, step] = weights
        expected[n] = np.concatenate([memory, vector])
    found = network(*whole(inputs))
    close(found.joint, expected)
    close(found.maps, maps)


def normal(layer: Layers, name: str, vectors: np.ndarray) -> np.ndarray:
    centred = vectors - vectors.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt(vectors.var(axis=-1, keepdims=True) + 1e-5)
    return scaled * layer.weights[f"{name}.weight"] + layer.weights[f"{name}.bias"]


def attend(layer: Layers, name: str, queries: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Two heads of 4: equations 1 to 3."""
    weight, bias = layer.weights[f"{name}.in_proj_weight"], layer.weights[f"{name}.in_proj_bias"]
    q, k, v = (
        source @ weight[8 * part : 8 * part + 8].T + bias[8 * part : 8 * part + 8]
        for part, source in enumerate((queries, others, others))
    )
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        weights = np.array([softmax(row) for row in q[:, head] @ k[:, head].T / 2])
        heads.append(weights @ v[:, head])
    return layer(f"{name}.out_proj", np.concatenate(heads, axis=1))


def test_mcan_reads_words_without_a_layer_by_option(inputs: Inputs):
    network = build("mcan", project_words=False)
    assert isinstance(network.project_words, nn.Identity)
    assert network(*inputs).joint.isfinite().all()
    with pytest.raises(ValueError, match="project_words=false needs word states of size 6, got 8"):
        build("mcan", hidden_size=6, project_words=False)


def test_mcan_equals_its_equations(inputs: Inputs):
    network = build("mcan")
    layer = Layers(network)
    maps, expected = np.zeros((N, 1, K)), np.zeros((N, 9))
    for n, places, regions, _, words in each_question(inputs):
        x, y = layer("project_words", words), layer("project_regions", regions)
        for number in range(2):
            name = f"word_layers.{number}"
            x = normal(layer, f"{name}.norm1", x + attend(layer, f"{name}.self_attn", x, x))
            x = normal(layer, f"{name}.norm2", x + layer(f"{name}.linear2", relu(layer(f"{name}.linear1", x))))
        for number in range(2):
            name = f"region_layers.{number}"
            y = normal(layer, f"{name}.norm1", y + attend(layer, f"{name}.self_attn", y, y))
            y = normal(layer, f"{name}.norm2", y + attend(layer, f"{name}.multihead_attn", y, x))
            y = normal(layer, f"{name}.norm3", y + layer(f"{name}.linear2", relu(layer(f"{name}.linear1", y))))
        sides = []
        for part, states in (("words", x), ("regions", y)):
            weights = softmax(layer(f"score_{part}.3", relu(layer(f"score_{part}.0", states)))[:, 0])
            sides.append(layer(f"join_{part}", weights @ states))
        maps[n, 0, places] = weights
        expected[n] = normal(layer, "norm", sides[0] + sides[1])
    with torch.no_grad():
        found = network(*inputs)
    close(found.joint, expected)
    close(found.maps, maps)


def test_word_attention_equals_its_equations(inputs: Inputs):
    network = build("word_attention")
    layer, cell = Layers(network), Layers(network.cell)
    recurrent = {name.rsplit(".", 1)[-1]: weight for name, weight in cell.weights.items()}
    into = np.concatenate([recurrent["weight_ih_l0"], recurrent["weight_hh_l0"]], axis=1)
    expected, maps = np.zeros((N, 7)), np.zeros((N, 1, network(*inputs).maps.shape[2]))
    for n, places, regions, _, words in each_question(inputs):
        h, c, looks = np.zeros(7), np.zeros(7), []
        for word in [layer("first_word", regions.mean(axis=0)), *words]:
            powers = np.exp(layer("score", np.tanh(layer("query", h) + layer("key", regions)))[:, 0])
            looks.append(powers / powers.sum())
            biases = recurrent["bias_ih_l0"] + recurrent["bias_hh_l0"]
            i, f, g, o = np.split(into @ np.concatenate([word, looks[-1] @ regions, h]) + biases, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        expected[n], maps[n, 0, places] = h, np.mean(looks, axis=0)
    found = network(*inputs)
    close(found.joint, expected)
    close(found.maps, maps)


def joint_of(network: nn.Module, inputs: Any) -> Tensor:
    return network(*inputs).joint


@pytest.mark.parametrize("name", REASONING)
def test_what_does_not_exist_changes_nothing(name: str, inputs: Inputs):
    network = build(name)
    features, mask, questions, index = inputs
    before = joint_of(network, inputs)
    assert before.shape == (N, network.output_size)
    garbage = torch.where(mask[:, :, None], features, 1e2)
    longer = torch.cat([garbage, torch.full((B, 9, D), -1e2, dtype=torch.float64)], dim=1)
    longer_mask = torch.cat([mask, torch.zeros(B, 9, dtype=torch.bool)], dim=1)
    more_words = torch.cat([questions.words, torch.zeros(N, 2, S, dtype=torch.float64)], dim=1)
    more_mask = torch.cat([questions.mask, torch.zeros(N, 2, dtype=torch.bool)], dim=1)
    after = joint_of(network, (longer, longer_mask, EncodedTexts(questions.vectors, more_words, more_mask), index))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", REASONING)
def test_each_question_is_answered_by_itself(name: str, inputs: Inputs):
    network = build(name)
    features, mask, questions, index = inputs
    together = joint_of(network, inputs)
    for n, image in enumerate(index.tolist()):
        alone = EncodedTexts(*(part[n : n + 1] for part in questions))
        one = features[image : image + 1], mask[image : image + 1], alone, torch.tensor([0])
        torch.testing.assert_close(joint_of(network, one)[0], together[n], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", REASONING)
def test_words_or_question_and_image_matter(name: str, inputs: Inputs):
    network = build(name)
    features, mask, questions, index = inputs
    joint = joint_of(network, inputs)
    turned = EncodedTexts(-questions.vectors, -questions.words, questions.mask)
    assert not torch.allclose(joint_of(network, (features, mask, turned, index)), joint)
    assert not torch.allclose(joint_of(network, (-features, mask, questions, index)), joint)


@pytest.mark.parametrize("name", REASONING)
def test_an_image_without_regions_gives_numbers_and_no_gradient(name: str, inputs: Inputs):
    network = build(name)
    features, mask, questions, index = inputs
    features.requires_grad_()
    empty = mask.clone()
    empty[1] = False
    found = joint_of(network, (features, empty, questions, index))
    found.square().sum().backward()
    assert found.isfinite().all()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert not features.grad[1].any()


@pytest.mark.parametrize("name", ["film", "mac"])
def test_regions_that_are_no_grid_are_refused_by_a_kernel_of_3(name: str, inputs: Inputs):
    features, mask, questions, index = inputs
    with pytest.raises(ValueError, match="3 regions do not form a square grid"):
        build(name, kernel_size=3)(features[:, :3], mask[:, :3], questions, index)


@pytest.mark.parametrize("name", REASONING)
def test_every_parameter_gets_a_gradient(name: str, inputs: Inputs):
    network = build(name, dropout=0.5).train()
    joint_of(network, inputs).square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())  # type: ignore[union-attr]


def test_the_elu_is_torchs():
    inputs = torch.tensor([-50, -3, -1e-9, 0, 1e-9, 0.5, 40], dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(torch.nn.functional.elu(inputs).square().sum(), inputs)
    (found,) = torch.autograd.grad(Elu()(inputs).square().sum(), inputs)
    torch.testing.assert_close(Elu()(inputs), torch.nn.functional.elu(inputs), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert Elu()(inputs.to(torch.bfloat16)).dtype == torch.bfloat16
