"""Texts to vectors."""

from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from vqa_rnn import text
from vqa_rnn.config import RecurrentTextEncoder
from vqa_rnn.models import text_encoder
from vqa_rnn.models.text_encoder import UNKNOWN_ID, TextEncoder

TEXTS = ([4, 2, 5], [3], [2, 2, 6, 7, 3], [], [5, 4])


POOLINGS = get_args(RecurrentTextEncoder.model_fields["pooling"].annotation)


def encoder(num_layers: int = 1, bidirectional: bool = False, **options: Any) -> TextEncoder:
    torch.manual_seed(0)
    values = {"embedding_size": 6, "hidden_size": 5, "num_layers": num_layers, "bidirectional": bidirectional}
    config = RecurrentTextEncoder.model_validate({**values, **options})
    return TextEncoder(config, vocabulary_size=9).double().eval()


def padded(texts: tuple[list[int], ...], length: int = 0) -> tuple[Tensor, Tensor]:
    length = max(length, *map(len, texts))
    tokens = torch.tensor([ids + [0] * (length - len(ids)) for ids in texts], dtype=torch.int64)
    return tokens, torch.tensor([len(ids) for ids in texts])


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_batch_equals_each_text_encoded_alone(num_layers: int, bidirectional: bool, pooling: str):
    model = encoder(num_layers, bidirectional, pooling=pooling)
    together = model.encode_texts(*padded(TEXTS, length=8))
    width = (10 if bidirectional else 5) * (2 * num_layers if pooling == "all_states" else 1)
    assert together.shape == (5, model.output_size) == (5, width)
    for row, ids in zip(together, TEXTS, strict=True):
        alone = model.encode_texts(*padded((ids or [UNKNOWN_ID],)))[0]
        torch.testing.assert_close(row, alone, rtol=0, atol=1e-9)
    assert len({tuple(row.tolist()) for row in together}) == 5


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_words_may_stand_alone(pooling: str):
    model = encoder(alone=True, pooling=pooling)
    assert (model.output_size, model.word_size) == (6, 6)
    assert [name for name, _ in model.named_parameters()] == ["embedding.weight"]
    texts = model.encode_words(*padded(TEXTS, length=7))
    assert torch.equal(texts.vectors, model.encode_texts(*padded(TEXTS, length=7)))
    for row, words, ids in zip(texts.vectors, texts.words, TEXTS, strict=True):
        vectors = model.embedding(torch.tensor(ids or [UNKNOWN_ID]))
        assert torch.equal(words[: len(vectors)], vectors)
        assert not words[len(vectors) :].any()
        torch.testing.assert_close(row, vectors.mean(dim=0) if pooling == "mean" else vectors.amax(dim=0))


def test_words_that_stand_alone_have_no_last_state():
    with pytest.raises(ValidationError, match="pooling=last needs the recurrent network that alone=true leaves out"):
        encoder(alone=True, pooling="last")


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_pooling_is_over_the_words_of_a_text(bidirectional: bool, pooling: str):
    model = encoder(bidirectional=bidirectional, pooling=pooling)
    found = model.encode_texts(*padded(TEXTS, length=7))
    for row, ids in zip(found, TEXTS, strict=True):
        states, (last, cells) = model.network(model.embedding(torch.tensor([ids or [UNKNOWN_ID]])))
        expected = {"last": torch.cat([*last[:, 0]]), "mean": states[0].mean(dim=0), "max": states[0].amax(dim=0)}
        expected["all_states"] = torch.cat([*last[:, 0], *cells[:, 0]])
        if model.score is not None:
            hidden, _, weigh = model.score
            powers = ((states[0] @ hidden.weight.T + hidden.bias).tanh() @ weigh.weight[0]).exp()
            expected["attention"] = (powers / powers.sum()) @ states[0]
        torch.testing.assert_close(row, expected[pooling], rtol=0, atol=1e-12)


def test_several_weighted_sums_are_concatenated():
    model = encoder(pooling="attention", num_glimpses=2, score_size=5)
    tokens, lengths = padded(TEXTS)
    texts = model.encode_words(tokens, lengths)
    hidden, _, weigh = model.score
    assert (hidden.weight.shape, weigh.weight.shape) == ((5, model.word_size), (2, 5))
    assert model.output_size == 2 * model.word_size
    for row, words, mask in zip(texts.vectors, texts.words, texts.mask, strict=True):
        states = words[mask]
        weights = weigh(hidden(states).tanh()).softmax(dim=0)
        expected = torch.cat([weights[:, glimpse] @ states for glimpse in range(2)])
        torch.testing.assert_close(row, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.encode_texts(tokens, lengths), texts.vectors)


def test_options_of_weighted_sums_need_weighted_sums():
    message = "num_glimpses and score_size need pooling=attention, not pooling=last"
    for options in ({"num_glimpses": 2}, {"score_size": 8}):
        with pytest.raises(ValidationError, match=message):
            encoder(pooling="last", **options)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_no_texts_give_no_vectors(bidirectional: bool):
    model = encoder(bidirectional=bidirectional)
    for tokens in (torch.zeros(0, 0, dtype=torch.int64), torch.zeros(0, 4, dtype=torch.int64)):
        vectors = model.encode_texts(tokens, torch.zeros(0, dtype=torch.int64))
        assert vectors.shape == (0, model.output_size)
        assert vectors.dtype == torch.float64


@pytest.mark.parametrize("columns", [0, 1, 3])
def test_texts_without_tokens_are_one_unknown_word(columns: int):
    model = encoder()
    empty = model.encode_texts(torch.zeros(2, columns, dtype=torch.int64), torch.zeros(2, dtype=torch.int64))
    unknown = model.encode_texts(torch.tensor([[UNKNOWN_ID]]), torch.tensor([1]))
    torch.testing.assert_close(empty, unknown.expand(2, -1), rtol=0, atol=1e-12)


def test_what_is_given_is_not_changed():
    tokens, lengths = padded(TEXTS)
    before = tokens.clone(), lengths.clone()
    encoder().encode_texts(tokens, lengths)
    assert torch.equal(tokens, before[0])
    assert torch.equal(lengths, before[1])


def test_calling_the_encoder_encodes():
    model = encoder()
    assert torch.equal(model(*padded(TEXTS)), model.encode_texts(*padded(TEXTS)))


def test_words_are_dropped_in_training_alone():
    model = encoder(word_dropout=0.5)
    unknown = model.encode_texts(torch.tensor([[UNKNOWN_ID]]), torch.tensor([1]))[0]
    word = model.encode_texts(torch.tensor([[4]]), torch.tensor([1]))[0]
    tokens, lengths = torch.full((400, 1), 4), torch.ones(400, dtype=torch.int64)
    assert torch.equal(model.encode_texts(tokens, lengths), model.encode_texts(tokens, lengths))
    found = model.train().encode_texts(tokens, lengths)
    dropped = torch.isclose(found, unknown).all(dim=1)
    assert (dropped | torch.isclose(found, word).all(dim=1)).all()
    assert 140 < int(dropped.sum()) < 260


def test_dropout_acts_in_training_alone():
    model = encoder(dropout=0.5)
    tokens, lengths = padded(TEXTS)
    assert torch.equal(model.encode_texts(tokens, lengths), model.encode_texts(tokens, lengths))
    model.train()
    assert not torch.equal(model.encode_texts(tokens, lengths), model.encode_texts(tokens, lengths))


def test_padding_is_a_zero_vector_that_does_not_learn():
    model = encoder().train()
    assert (model.embedding.weight[0] == 0).all()
    model.encode_texts(*padded(TEXTS)).sum().backward()
    assert model.embedding.weight.grad is not None
    assert (model.embedding.weight.grad[0] == 0).all()
    assert (model.embedding.weight.grad[UNKNOWN_ID] != 0).any()


def test_ids_mean_what_they_mean_to_the_tokenizer():
    assert (text_encoder.PADDING_ID, text_encoder.UNKNOWN_ID) == (text.PADDING_ID, text.UNKNOWN_ID)


@pytest.mark.parametrize("std", [1.0, 0.1])
def test_word_vectors_start_with_the_deviation_that_is_asked_for(std: float):
    torch.manual_seed(0)
    vectors = TextEncoder(RecurrentTextEncoder(embedding_size=64, embedding_std=std), 1001).embedding.weight
    assert vectors[1:].std().item() == pytest.approx(std, rel=0.02)
    assert vectors[1:].mean().item() == pytest.approx(0, abs=0.02 * std)
    assert not vectors[0].any(), "padding stays 0"
