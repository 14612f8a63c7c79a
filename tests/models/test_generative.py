"""The head that writes: log-probabilities by hand, ranking, and what it writes."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models.test_heads import NOTHING, batch_of
from tests.models.test_model import ALL, TOKENIZER, build, other_features
from tests.models.test_model import batch_of as real_batch
from vqa_rnn.config import GenerativeHead as GenerativeConfig
from vqa_rnn.config import RecurrentTextEncoder
from vqa_rnn.models import generative
from vqa_rnn.models.decoding import Written, beam_search, draw, raw_beam_search
from vqa_rnn.models.generative import GenerativeHead
from vqa_rnn.models.text_encoder import TextEncoder
from vqa_rnn.rnn import RecurrentNetwork

VOCABULARY, END = 9, 9
WAYS = ("first_state", "first_word", "first_step", "every_step")
KINDS = [
    {"conditioning": conditioning, "cell": cell, "num_layers": layers}
    for conditioning in WAYS
    for cell, layers in (("lstm", 1), ("lstm", 2), ("gru", 1), ("nas", 1), ("elman", 2))
]
KINDS += [{"look": "soft", "look_size": 4, **KINDS[place]} for place in (0, 6, 12, 18, 19)]
KINDS += [{"look": "spatial", "look_size": 4, **KINDS[place]} for place in (0, 6, 12, 18)]
IMAGES = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
MASK = torch.tensor([[True, True, True], [True, True, False]])
# Choices that begin alike, one that is the beginning of another, one that comes twice; the last question has none.
TEXTS = {
    "choice_tokens": [[2, 3, 0], [2, 0, 0], [2, 3, 4], [5, 0, 0], [2, 4, 3]],
    "choice_lengths": [2, 1, 3, 1, 3],
    "choice_texts": [0, 1, 2, 3, 4],
    "choice_index": [[0, 1, 2, 4, 0], [3, 0, -1, -1, -1], [2, 1, 0, -1, 3], [-1, -1, -1, -1, -1]],
    "correct_choice": [2, 1, -1, -1],
    "answer_tokens": [[2, 3, 4], [2, 3, 0], [0, 0, 0], [5, 0, 0]],
    "answer_lengths": [3, 2, 0, 1],
    "image_index": [0, 1, 1, 0],
    "region_mask": MASK,
}


def make(**options: Any) -> GenerativeHead:
    torch.manual_seed(0)
    encoder = TextEncoder(RecurrentTextEncoder(embedding_size=4, hidden_size=6), VOCABULARY)
    config = GenerativeConfig(**{"hidden_size": 6, "max_tokens": 5, **options})
    return GenerativeHead(config, 5, 0, 3, encoder).double().eval()


def joint(num_questions: int = 4) -> Tensor:
    return torch.randn(num_questions, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def seen(weight: dict[str, np.ndarray], regions: np.ndarray, state: np.ndarray) -> np.ndarray:
    """The gated context of the attention."""
    keys = regions @ weight["look.project_region.weight"].T + weight["look.project_region.bias"]
    scores = np.exp(np.tanh(keys + weight["look.project_state.weight"] @ state) @ weight["look.score.weight"][0])
    gate = sigmoid(weight["look.gate.weight"] @ state + weight["look.gate.bias"])
    return gate * (scores / scores.sum()) @ regions


def by_hand(head: GenerativeHead, vector: Tensor, image: int, text: list[int]) -> float:
    """The sum of an LSTM's log-probabilities, equation by equation."""
    weight = {name: value.detach().numpy() for name, value in head.named_parameters()}
    z = vector.numpy()
    regions = IMAGES[image][MASK[image]].numpy()
    state, cell = np.zeros(6), np.zeros(6)
    if head.conditioning == "first_state":
        projected = weight["project_joint.weight"] @ z + weight["project_joint.bias"]
        state, cell = np.tanh(projected[:6]), projected[6:]
    words = [weight["start"], *(weight["embedding.weight"][word] for word in text)]
    if head.conditioning == "first_word":
        words.insert(0, weight["joint_word.weight"] @ z + weight["joint_word.bias"])
    total, nexts = 0.0, [*text, END]
    for place, word in enumerate(words):
        is_image = head.conditioning == "first_word" and place == 0
        x = [word]
        if head.conditioning == "every_step" or (head.conditioning == "first_step" and place == 0):
            x.append(z)
        elif head.conditioning == "first_step":
            x.append(np.zeros_like(z))
        if head.looks_first:
            context = np.zeros(3) if is_image else seen(weight, regions, state)
            x.append(context)
        x = np.concatenate(x)
        gates = weight["network.layers.0.0.fused.weight_ih_l0"] @ x + weight["network.layers.0.0.fused.bias_ih_l0"]
        gates = gates + weight["network.layers.0.0.fused.weight_hh_l0"] @ state + weight["network.layers.0.0.fused.bias_hh_l0"]
        entrance, forget, candidate, exit_ = np.split(gates, 4)
        cell = sigmoid(forget) * cell + sigmoid(entrance) * np.tanh(candidate)
        state = sigmoid(exit_) * np.tanh(cell)
        if is_image:
            continue
        output = state
        if head.looks_first:
            output = state + weight["context_output.weight"] @ context + weight["word_output.weight"] @ word
        elif head.look is not None:
            output = state + weight["context_output.weight"] @ seen(weight, regions, state)
        logits = weight["output.weight"] @ output + weight["output.bias"]
        logits[0] = -np.inf
        total += logits[nexts.pop(0)] - np.log(np.exp(logits).sum())
    return float(total)


@pytest.mark.parametrize("look", ["none", "soft", "spatial"])
@pytest.mark.parametrize("conditioning", WAYS)
def test_log_probabilities_are_those_of_the_equations(conditioning: str, look: str):
    head, vectors, batch = make(conditioning=conditioning, look=look, look_size=4), joint(), batch_of(4, **TEXTS)
    scores = head(vectors, IMAGES, batch)
    for n, row in enumerate(TEXTS["choice_index"]):
        for c, text in enumerate(row):
            if text < 0:
                assert scores[n, c] == NOTHING
                continue
            words = TEXTS["choice_tokens"][text][: TEXTS["choice_lengths"][text]]
            expected = by_hand(head, vectors[n], TEXTS["image_index"][n], words)
            assert scores[n, c].item() == pytest.approx(expected, abs=1e-12)
    answers = head.train()(vectors, IMAGES, batch)
    for n, length in enumerate(TEXTS["answer_lengths"]):
        words = TEXTS["answer_tokens"][n][:length]
        assert answers[n].item() == pytest.approx(by_hand(head, vectors[n], TEXTS["image_index"][n], words), abs=1e-12)


def test_a_model_that_does_not_look_gives_the_product_of_its_words_without_normalising_for_length():
    head = make()
    chances = torch.tensor([7.0, 0.05, 0.3, 0.1, 0.05, 0.1, 0.05, 0.05, 0.05, 0.25])  # that of padding never counts
    with torch.no_grad():
        head.output.weight.zero_()
        head.output.bias.copy_(chances.log())
    scores = head(joint(), IMAGES, batch_of(4, **TEXTS))
    expected = [0.3 * 0.1 * 0.25, 0.3 * 0.25, 0.3 * 0.1 * 0.05 * 0.25, 0.3 * 0.05 * 0.1 * 0.25, 0.3 * 0.1 * 0.25]
    assert scores[0].exp().tolist() == pytest.approx(expected)
    assert head.probabilities(scores)[1].tolist() == pytest.approx([0.1 / 0.13, 0.03 / 0.13, 0, 0, 0])


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_shared_beginnings_give_what_reading_each_text_by_itself_gives(options: dict[str, Any], monkeypatch: Any):
    head, vectors, batch = make(**options), joint(), batch_of(4, **TEXTS)
    scores = head(vectors, IMAGES, batch)
    for c in range(5):
        index = batch.choice_index[:, c].clamp(min=0)
        alone = replace(batch, answer_tokens=batch.choice_tokens[index], answer_lengths=batch.choice_lengths[index])
        expected = head.answer_log_p(vectors, IMAGES, alone).masked_fill(batch.choice_index[:, c] < 0, NOTHING)
        torch.testing.assert_close(scores[:, c], expected, rtol=0, atol=1e-12)
    monkeypatch.setattr(generative, "PAIRS_AT_ONCE", 3)
    monkeypatch.setattr(generative, "LOGITS_AT_ONCE", 15)
    torch.testing.assert_close(head(vectors, IMAGES, batch), scores, rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_a_distinct_beginning_is_read_once_a_question(options: dict[str, Any], monkeypatch: Any):
    read = []
    step = RecurrentNetwork.step
    monkeypatch.setattr(
        RecurrentNetwork, "step", lambda network, inputs, before: read.append(len(inputs)) or step(network, inputs, before)
    )
    make(**options)(joint(), IMAGES, batch_of(4, **TEXTS))
    # 4 starts; 2, 5 of the first two questions, 2, 5 of the third; then 2 3, 2 4 | 2 3 | 2 3; then 2 3 4, 2 4 3 | 2 3 4
    image_words = [4] if options["conditioning"] == "first_word" else []
    assert read == [*image_words, 4, 5, 4, 3]


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_batch_mates_and_padding_never_change_a_score(options: dict[str, Any]):
    head, vectors = make(**options), joint()
    batch = batch_of(4, **TEXTS)
    scores, answers = head(vectors, IMAGES, batch), head.answer_log_p(vectors, IMAGES, batch)
    for n in range(4):
        alone = replace(
            batch,
            image_index=batch.image_index[n : n + 1],
            choice_index=batch.choice_index[n : n + 1],
            answer_tokens=batch.answer_tokens[n : n + 1],
            answer_lengths=batch.answer_lengths[n : n + 1],
        )
        torch.testing.assert_close(head(vectors[n : n + 1], IMAGES, alone), scores[n : n + 1], rtol=0, atol=1e-9)
        torch.testing.assert_close(head.answer_log_p(vectors[n : n + 1], IMAGES, alone), answers[n : n + 1], rtol=0, atol=1e-9)
    wide = {name: torch.nn.functional.pad(getattr(batch, name), (0, 4)) for name in ("choice_tokens", "answer_tokens")}
    padded = replace(batch, **wide)
    torch.testing.assert_close(head(vectors, IMAGES, padded), scores, rtol=0, atol=1e-9)
    torch.testing.assert_close(head.answer_log_p(vectors, IMAGES, padded), answers, rtol=0, atol=1e-9)


def test_the_loss_is_one_number_in_training_and_in_evaluation():
    head, vectors, batch = make(), joint(), batch_of(4, **TEXTS)
    losses, counts = head.losses(head(vectors, IMAGES, batch), batch)
    assert counts.tolist() == [True, True, False, False]
    trained, trained_counts = head.losses(head.train()(vectors, IMAGES, batch), batch)
    assert trained_counts.tolist() == [True, True, False, True]  # the last has an answer and no choices
    torch.testing.assert_close(trained[:3], losses[:3], rtol=0, atol=1e-12)
    assert losses[2] == trained[2] == losses[3] == 0
    assert losses[0].item() == pytest.approx(-by_hand(head, vectors[0], 0, [2, 3, 4]), abs=1e-12)


def test_questions_without_an_answer_give_no_gradient():
    head, vectors, batch = make().train(), joint().requires_grad_(), batch_of(4, **TEXTS)
    losses, _ = head.losses(head(vectors, IMAGES, batch), batch)
    losses.sum().backward()
    assert vectors.grad is not None
    assert (vectors.grad[2] == 0).all()
    assert (vectors.grad[[0, 1, 3]] != 0).any(dim=1).all()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in head.parameters())
    assert head.output.weight.grad[0].abs().sum() == 0  # padding


@pytest.mark.parametrize("num_questions", [0, 2])
def test_a_batch_without_questions_or_without_choices(num_questions: int):
    head, batch = make(), batch_of(num_questions)
    vectors = joint(num_questions).requires_grad_()
    scores = head(vectors, IMAGES, batch)
    assert scores.shape == (num_questions, 0)
    assert head.question_scores(scores, batch).tolist() == [0.0] * num_questions
    for found in (head.losses(scores, batch), head.losses(head.train()(vectors, IMAGES, batch), batch)):
        assert found[0].tolist() == [0.0] * num_questions
        assert not found[1].any()
    head.losses(head(vectors, IMAGES, batch), batch)[0].sum().backward()
    assert head.eval().generate(joint(num_questions), IMAGES, batch).lengths.shape == (num_questions,)


def test_the_best_choice_earns_one():
    scores = torch.tensor([[-1.0, -2.0, -0.5], [-3.0, -1.0, NOTHING], [-1.0, NOTHING, NOTHING]])
    assert make().question_scores(scores, batch_of(3, correct_choice=[2, 0, -1])).tolist() == [1.0, 0.0, 0.0]


METHODS = {
    "greedy": generative.greedy,
    "beam": partial(beam_search, width=3),
    "draw": partial(draw, generator=torch.Generator().manual_seed(0)),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", KINDS, ids=str)
def test_a_written_text_has_the_probability_it_has_as_a_choice(options: dict[str, Any], method: str, monkeypatch: Any):
    monkeypatch.setattr(generative, "LOGITS_AT_ONCE", 8 * 10 * 7)  # seven questions at once
    head, vectors = make(**options), joint(40)
    images = torch.arange(40) % 2
    batch = batch_of(40, image_index=images, region_mask=MASK)
    written = head.generate(vectors, IMAGES, batch, METHODS[method])
    assert (written.lengths >= 1).all()
    assert written.lengths.max() <= 5
    within = torch.arange(written.tokens.shape[1]) < written.lengths[:, None]
    assert ((written.tokens >= 2) == within).all()  # neither padding nor the unknown word nor the end
    assert ((written.tokens == 0) == ~within).all()
    choices = torch.arange(40)[:, None]
    texts = replace(batch, choice_tokens=written.tokens, choice_lengths=written.lengths, choice_index=choices)
    torch.testing.assert_close(head(vectors, IMAGES, texts).squeeze(1), written.log_p, rtol=0, atol=1e-9)


# this one always repeats one word, whatever the method
UNDECIDED = {"conditioning": "first_step", "cell": "nas", "num_layers": 1}


@pytest.mark.parametrize("options", [kind for kind in KINDS if kind != UNDECIDED], ids=str)
def test_a_beam_of_a_real_model_is_never_below_greedy(options: dict[str, Any]):
    head, vectors = make(**options), 3 * joint(100)
    batch = batch_of(100, image_index=torch.arange(100) % 2, region_mask=MASK)
    with torch.no_grad():
        head.output.weight *= 4  # decided, so that the ways part
    first, raw = head.generate(vectors, IMAGES, batch), head.generate(vectors, IMAGES, batch, partial(raw_beam_search, width=2))
    ours = head.generate(vectors, IMAGES, batch, partial(beam_search, width=2))
    assert (ours.log_p >= first.log_p).all()
    assert (ours.log_p >= raw.log_p).all()
    assert (ours.log_p > first.log_p + 1e-9).any()


def said(written: Written) -> list[str]:
    return [TOKENIZER.decode(row[:n]) for row, n in zip(written.tokens.tolist(), written.lengths.tolist(), strict=True)]


@pytest.mark.parametrize("conditioning", WAYS)
def test_a_model_learns_to_write_its_answers(conditioning: str):
    options = {"conditioning": conditioning, "hidden_size": 16}
    model, batch = build("top_down", "product", "generative", options), real_batch(*ALL)
    answers = said(Written(batch.answer_tokens, batch.answer_lengths, torch.zeros(9)))
    optimizer = torch.optim.Adam(model.train().parameters(), lr=0.02)
    for _ in range(100):
        optimizer.zero_grad()
        model.loss(model(batch), batch).backward()
        optimizer.step()
    model.eval()
    with torch.inference_mode():
        assert model.question_scores(model(batch), batch).mean() == 1
        assert said(model.write(batch)) == answers
        assert said(model.write(batch, partial(beam_search, width=3))) == answers
        changed = model.write(other_features(batch))
    assert changed.log_p.shape == (9,)


def test_other_heads_do_not_write():
    with pytest.raises(TypeError, match=r"only head\.name=generative generates text, not ChoiceHead"):
        build("none", "product", "choice").write(real_batch(0))


def test_scores_are_float32_under_half_precision():
    head, batch, vectors = make().float(), batch_of(4, **TEXTS), joint().float()
    with torch.autocast("cpu", torch.bfloat16):
        assert head.train()(vectors, IMAGES.float(), batch).dtype == torch.float32
        assert head.eval()(vectors, IMAGES.float(), batch).dtype == torch.float32
