"""Regions to image vectors."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vqa_rnn.models.attention import ATTENTIONS, Attended
from vqa_rnn.models.text_encoder import EncodedTexts

B, K, T, D, H, S = 3, 4, 3, 5, 6, 8
MASK = torch.tensor([[True, True, True, True], [True, False, True, False], [False, True, False, False]])
INDEX = torch.tensor([0, 1, 1, 2, 0])
N = len(INDEX)
WORDS = torch.tensor([3, 1, 2, 3, 2])  # of each question
OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "top_down": {"hidden_size": 7},
    "stacked": {"hidden_size": 7, "num_looks": 3},
    "glimpses": {"hidden_size": 7, "num_glimpses": 2},
    "mutan": {"hidden_size": 7, "factor_size": 5, "rank": 3, "num_glimpses": 2},
    "mfb": {"hidden_size": 7, "factors": 3, "score_size": 4, "num_glimpses": 2},
    "co_attention": {"hidden_size": 7},
    "bilinear": {"hidden_size": 7, "num_glimpses": 3},
    "recurrent": {"hidden_size": 7, "num_looks": 3, "cell": "lstm"},
}
Inputs = tuple[Tensor, Tensor, EncodedTexts, Tensor]


def build(name: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    words = {"word_size": S} if ATTENTIONS[name].reads_words else {}
    return ATTENTIONS[name](D, H, **words, **{**OPTIONS[name], **options}).double().eval()


@pytest.fixture
def inputs() -> Inputs:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    mask_NT = torch.arange(T) < WORDS[:, None]
    return draw(B, K, D), MASK, EncodedTexts(draw(N, H), draw(N, T, S) * mask_NT[:, :, None], mask_NT), INDEX


def image_of(found: Attended) -> Tensor:
    return found.image if found.image_index is None else found.image[found.image_index]


def weights_of(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in module.named_parameters()}


def softmax(numbers: np.ndarray) -> np.ndarray:
    powers = np.exp(numbers - numbers.max())
    return powers / powers.sum()


def sigmoid(numbers: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-numbers))


def each_question(inputs: Inputs) -> list[tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Its number, the places of the regions that exist and their features, its vector, and the states of its words."""
    features, mask, questions, index = inputs
    found = []
    for n in range(N):
        places = np.flatnonzero(mask[index[n]])
        words = questions.words[n, : WORDS[n]].numpy()
        found.append((n, places, features[index[n]].numpy()[places], questions.vectors[n].numpy(), words))
    return found


def close(found: Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("weight_norm", [False, True])
def test_top_down_equals_its_equations(weight_norm: bool, inputs: Inputs):
    attention = build("top_down", weight_norm=weight_norm)
    found = attention(*inputs)
    image, question, score = (
        (layer.weight.detach().numpy(), None if layer.bias is None else layer.bias.detach().numpy())
        for layer in (attention.project_image, attention.project_question, attention.score)
    )
    maps, expected = np.zeros((N, 1, K)), np.zeros((N, D))
    both = np.concatenate([image[0], question[0]], axis=1)
    for n, places, regions, vector, _ in each_question(inputs):
        a = np.zeros(len(places))
        for k, region in enumerate(regions):
            x = np.concatenate([region, vector])
            f = np.tanh(both[:7] @ x + image[1][:7]) * sigmoid(both[7:] @ x + image[1][7:])
            a[k] = score[0][0] @ f + score[1][0]
        maps[n, 0, places] = softmax(a)
        expected[n] = maps[n, 0, places] @ regions
    close(found.image, expected)
    close(found.maps, maps)
    assert found.question is inputs[2].vectors


def test_stacked_attention_equals_its_equations(inputs: Inputs):
    attention = build("stacked")
    p = weights_of(attention)
    maps, expected = np.zeros((N, 3, K)), np.zeros((N, 7))
    for n, places, regions, vector, _ in each_question(inputs):
        values = np.tanh(regions @ p["project_image.weight"].T + p["project_image.bias"])
        u = p["project_question.weight"] @ vector + p["project_question.bias"]
        for look in range(3):
            query = p[f"query.{look}.weight"] @ u + p[f"query.{look}.bias"]
            a = np.array(
                [
                    p[f"score.{look}.weight"][0] @ np.tanh(p[f"key.{look}.weight"] @ value + query) + p[f"score.{look}.bias"][0]
                    for value in values
                ]
            )
            maps[n, look, places] = softmax(a)
            u = u + softmax(a) @ values
        expected[n] = u
    found = attention(*inputs)
    close(found.image, expected)
    close(found.maps, maps)


def test_a_question_passes_no_layer_by_option(inputs: Inputs):
    size = inputs[2].vectors.shape[1]
    attention = build("stacked", hidden_size=size, num_looks=1, score_size=5, project_question=False)
    with pytest.raises(ValueError, match="project_question=false needs question vectors of size 7, got 6"):
        build("stacked", project_question=False)
    assert not [name for name, _ in attention.named_parameters() if name.startswith("project_question")]
    assert attention.key[0].weight.shape == (5, size)
    found = attention(*inputs)
    seen = (found.maps.transpose(1, 2) * attention.project_image(inputs[0]).tanh()[inputs[3]]).sum(dim=1)
    torch.testing.assert_close(found.image, inputs[2].vectors + seen)


def test_glimpses_equal_their_equations(inputs: Inputs):
    attention = build("glimpses")
    p = weights_of(attention)
    maps, expected = np.zeros((N, 2, K)), np.zeros((N, 2 * D))
    for n, places, regions, vector, _ in each_question(inputs):
        query = np.tanh(p["project_question.weight"] @ vector + p["project_question.bias"])
        for glimpse in range(2):
            a = np.array(
                [
                    p["score.weight"][glimpse] @ (query * np.tanh(p["project_image.weight"] @ region + p["project_image.bias"]))
                    for region in regions
                ]
            )
            maps[n, glimpse, places] = softmax(a)
            expected[n, glimpse * D : (glimpse + 1) * D] = softmax(a) @ regions
    found = attention(*inputs)
    close(found.image, expected)
    close(found.maps, maps)


def mutan_of(p: dict[str, np.ndarray], question: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Σ_r (M_r tanh(W_q q)) ∘ (N_r tanh(W_v v)), with biases."""
    factors = {"question": question, "image": region}
    terms = []
    for side, vector in factors.items():
        factor = np.tanh(p[f"fusion.project_{side}.weight"] @ vector + p[f"fusion.project_{side}.bias"])
        terms.append(p[f"fusion.merge_{side}.weight"] @ factor + p[f"fusion.merge_{side}.bias"])
    rank, size = OPTIONS["mutan"]["rank"], OPTIONS["mutan"]["hidden_size"]
    return sum(terms[0][r * size : (r + 1) * size] * terms[1][r * size : (r + 1) * size] for r in range(rank))


def mfb_of(p: dict[str, np.ndarray], question: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Sums of consecutive products, their signed roots, scaled to length 1; then a relu layer."""
    left = p["fusion.project_question.0.weight"] @ question + p["fusion.project_question.0.bias"]
    right = p["fusion.project_image.0.weight"] @ region + p["fusion.project_image.0.bias"]
    summed = (left * right).reshape(OPTIONS["mfb"]["hidden_size"], OPTIONS["mfb"]["factors"]).sum(axis=1)
    rooted = np.sign(summed) * np.sqrt(np.abs(summed))
    return np.maximum(0, p["score.0.weight"] @ (rooted / np.linalg.norm(rooted)) + p["score.0.bias"])


@pytest.mark.parametrize(("name", "joint", "score"), [("mutan", mutan_of, "score.weight"), ("mfb", mfb_of, "score.2.weight")])
def test_glimpses_of_a_bilinear_fusion_equal_their_equations(name: str, joint: Any, score: str, inputs: Inputs):
    attention = build(name)
    p = weights_of(attention)
    maps, expected = np.zeros((N, 2, K)), np.zeros((N, 2 * D))
    for n, places, regions, vector, _ in each_question(inputs):
        logits = np.array([p[score] @ joint(p, vector, region) for region in regions])
        for glimpse in range(2):
            weights = softmax(logits[:, glimpse])
            maps[n, glimpse, places] = weights
            expected[n, glimpse * D : (glimpse + 1) * D] = weights @ regions
    found = attention(*inputs)
    close(found.image, expected)
    close(found.maps, maps)


def test_co_attention_equals_its_equations(inputs: Inputs):
    attention = build("co_attention")
    p = weights_of(attention)
    maps, image, question = np.zeros((N, 1, K)), np.zeros((N, D)), np.zeros((N, S))
    for n, places, regions, _, words in each_question(inputs):
        affinity = np.tanh(words @ p["affinity.weight"] @ regions.T)  # (words, regions): Qᵀ W_b V
        seen = regions @ p["project_image.weight"].T + p["project_image.bias"]
        read = words @ p["project_words.weight"].T + p["project_words.bias"]
        maps[n, 0, places] = softmax(np.tanh(seen + affinity.T @ read) @ p["score_regions.weight"][0])
        image[n] = maps[n, 0, places] @ regions
        question[n] = softmax(np.tanh(read + affinity @ seen) @ p["score_words.weight"][0]) @ words
    found = attention(*inputs)
    close(found.image, image)
    close(found.question, question)
    close(found.maps, maps)


def test_bilinear_attention_equals_its_equations(inputs: Inputs):
    attention = build("bilinear")
    p = weights_of(attention)

    def layer(name: str, vectors: np.ndarray) -> np.ndarray:
        return np.maximum(vectors @ p[f"{name}.weight"].T + p[f"{name}.bias"], 0)

    maps, image, question = np.zeros((N, 3, K)), np.zeros((N, S)), np.zeros((N, S))
    for n, places, regions, _, words in each_question(inputs):
        current = words
        query, key = layer("attend_words", words), layer("attend_regions", regions)
        for g in range(3):
            logits = np.array([[np.sum(p["score"][g] * one * other) for other in key] for one in query])
            weights = softmax(logits)  # over all pairs at once
            left, right = layer(f"project_words.{g}", current), layer(f"project_regions.{g}", regions)
            pooled = np.array(
                [
                    sum(weights[i, j] * left[i, r] * right[j, r] for i in range(len(words)) for j in range(len(regions)))
                    for r in range(7)
                ]
            )
            current = current + p[f"project_joint.{g}.weight"] @ pooled + p[f"project_joint.{g}.bias"]
            maps[n, g, places] = weights.sum(axis=0)
        question[n] = words.mean(axis=0)
        image[n] = current.mean(axis=0) - words.mean(axis=0)  # with a sum as the fusion: the mean of the last words
    found = attention(*inputs)
    close(found.image, image)
    close(found.question, question)
    close(found.maps, maps)


@pytest.mark.parametrize("cell", ["gru", "lstm", "mut1"])
def test_recurrent_attention_equals_its_equations(cell: str, inputs: Inputs):
    attention = build("recurrent", cell=cell)
    p = weights_of(attention)
    maps, expected = np.zeros((N, 3, K)), np.zeros((N, 7))
    for n, places, regions, vector, _ in each_question(inputs):
        first = torch.from_numpy(np.tanh(p["begin.weight"] @ vector + p["begin.bias"])[None])
        state = (first, *[torch.zeros_like(first)] * (attention.cell.num_states - 1))
        for look in range(3):
            query = p["query.weight"] @ state[0][0].detach().numpy()
            a = np.array(
                [p["score.weight"][0] @ np.tanh(p["key.weight"] @ region + p["key.bias"] + query) for region in regions]
            )
            maps[n, look, places] = softmax(a)
            glimpse = torch.from_numpy((softmax(a) @ regions)[None])
            state = attention.cell.step(attention.cell.project(glimpse), state)
        expected[n] = state[0][0].detach().numpy()
    found = attention(*inputs)
    close(found.image, expected)
    close(found.maps, maps)


def test_the_mean_is_over_the_regions_that_exist(inputs: Inputs):
    found = build("none")(*inputs)
    features = inputs[0]
    assert found.image_index is INDEX
    assert found.maps is None
    torch.testing.assert_close(found.image[0], features[0].mean(dim=0))
    torch.testing.assert_close(found.image[1], (features[1, 0] + features[1, 2]) / 2)
    torch.testing.assert_close(found.image[2], features[2, 1])


@pytest.mark.parametrize("name", [name for name in ATTENTIONS if name != "none"])
def test_maps_sum_to_one_over_the_regions_that_exist(name: str, inputs: Inputs):
    maps = build(name)(*inputs).maps
    torch.testing.assert_close(maps.sum(dim=2), torch.ones(maps.shape[:2], dtype=torch.float64), rtol=0, atol=1e-6)
    exist = MASK[INDEX][:, None].expand_as(maps)
    assert (maps[~exist] == 0).all()
    assert (maps[exist] > 0).all()


@pytest.mark.parametrize("name", ATTENTIONS)
def test_what_does_not_exist_changes_nothing(name: str, inputs: Inputs):
    attention = build(name)
    features, mask, questions, index = inputs
    before = attention(*inputs)
    assert image_of(before).shape == (N, attention.output_size)
    assert before.question.shape == (N, attention.question_size)
    garbage = torch.where(mask[:, :, None], features, 1e4)
    longer = torch.cat([garbage, torch.full((B, 9, D), -1e4, dtype=torch.float64)], dim=1)
    longer_mask = torch.cat([mask, torch.zeros(B, 9, dtype=torch.bool)], dim=1)
    more_words = torch.cat([questions.words, torch.zeros(N, 2, S, dtype=torch.float64)], dim=1)
    more_mask = torch.cat([questions.mask, torch.zeros(N, 2, dtype=torch.bool)], dim=1)
    after = attention(longer, longer_mask, EncodedTexts(questions.vectors, more_words, more_mask), index)
    torch.testing.assert_close(image_of(after), image_of(before), rtol=0, atol=1e-9)
    torch.testing.assert_close(after.question, before.question, rtol=0, atol=1e-9)
    if before.maps is not None:
        torch.testing.assert_close(after.maps[:, :, :K], before.maps, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_each_question_looks_at_its_own_image(name: str, inputs: Inputs):
    attention = build(name)
    features, mask, questions, index = inputs
    together = image_of(attention(*inputs))
    for n, image in enumerate(index.tolist()):
        alone = EncodedTexts(*(part[n : n + 1] for part in questions))
        one = features[image : image + 1], mask[image : image + 1], alone, torch.tensor([0])
        torch.testing.assert_close(image_of(attention(*one))[0], together[n], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_the_question_matters_to_all_but_the_mean(name: str, inputs: Inputs):
    attention = build(name)
    features, mask, questions, index = inputs
    turned = EncodedTexts(-questions.vectors, -questions.words, questions.mask)
    same = torch.allclose(image_of(attention(features, mask, turned, index)), image_of(attention(*inputs)))
    assert same == (name == "none")


@pytest.mark.parametrize("name", ATTENTIONS)
def test_an_image_without_regions_is_a_vector_like_any_other(name: str, inputs: Inputs):
    attention = build(name)
    features, mask, questions, index = inputs
    features.requires_grad_()
    empty = mask.clone()
    empty[1] = False
    found = image_of(attention(features, empty, questions, index))
    assert found.isfinite().all()
    if name not in ("stacked", "bilinear", "recurrent"):  # their vectors begin with the question
        assert not found[1:3].any()
    found.square().sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert not features.grad[1].any()
    others = image_of(attention(features, mask, questions, index))
    torch.testing.assert_close(found[[0, 3, 4]], others[[0, 3, 4]], rtol=1e-12, atol=0)
