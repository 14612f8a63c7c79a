"""Sequence to sequence: what the model computes, and the pairs that it is trained on."""

import datetime
import itertools
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vqa_rnn.config.seq2seq import NUM_DATES, DatesData, ReversalData
from vqa_rnn.errors import UserError
from vqa_rnn.models.decoding import beam_search, draw, greedy
from vqa_rnn.rnn import CELLS
from vqa_rnn.sequences.seq2seq import Seq2Seq
from vqa_rnn.sequences.seq2seq_attention import ATTENTIONS, AdditiveScore, ProductScore
from vqa_rnn.sequences.seq2seq_data import (
    Pair,
    PairBatch,
    PairVocabulary,
    Vocabulary,
    pad,
    pair_batches,
    read_pairs,
    split_pairs,
)
from vqa_rnn.sequences.seq2seq_generated import (
    CASES,
    DATE_FORMS,
    FIRST_DAY,
    LAST_DAY,
    LONGEST_DATE,
    date_characters,
    date_pairs,
    in_order,
    reverse,
    symbol_pairs,
    write_date,
)
from vqa_rnn.sequences.seq2seq_run import read_splits
from vqa_rnn.sequences.seq2seq_scores import matches, pair_scores, pair_sums
from vqa_rnn.sequences.text_vocabulary import UNKNOWN

NUM_SOURCE, NUM_TARGET = 6, 5
EVERY_ATTENTION = ["none", *ATTENTIONS]


def model_of(attention: str = "bahdanau", cell: str = "gru", size: int = 5, **options: object) -> Seq2Seq:
    torch.manual_seed(0)
    model = Seq2Seq(
        NUM_SOURCE, NUM_TARGET, cell, size, **{"max_tokens": 6, "embedding_size": 4, "attention": attention, **options}
    )  # type: ignore[arg-type]
    for parameter in model.parameters():  # larger than usual, so that the choices are not all alike
        torch.nn.init.normal_(parameter, std=0.7)
    return model.double().eval()


def batch_of(sources: list[list[int]], targets: list[list[int]]) -> PairBatch:
    source, target = (pad([np.array(text, dtype=np.int64) for text in texts]) for texts in (sources, targets))
    return PairBatch(*source, *target, torch.arange(len(sources)))


BATCH = batch_of([[1, 2, 3], [5], [4, 4, 2, 1, 3]], [[1, 2], [4, 3, 2, 1], [3]])
VARIANTS: list[dict[str, object]] = [
    {},
    {"bidirectional": True, "num_layers": 2, "decoder_layers": 1, "first_state": "learned"},
    {"reverse_source": True, "decoder_cell": "lstm", "decoder_size": 5},
]


def with_size(attention: str, options: dict[str, object]) -> dict[str, object]:
    return {**options, "decoder_size": 10} if attention == "luong_dot" and options.get("bidirectional") else options


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("attention", EVERY_ATTENTION)
def test_padding_and_the_other_pairs_of_a_batch_change_nothing(attention: str, options: dict[str, object]) -> None:
    model = model_of(attention, **with_size(attention, options))
    losses, counts = model.losses(model(BATCH), BATCH)
    written = model.write(BATCH.source, BATCH.source_lengths)
    weights = model.alignments(BATCH)
    assert counts.tolist() == [3, 5, 2]
    for row in range(3):
        S, T = int(BATCH.source_lengths[row]), int(BATCH.target_lengths[row])
        alone = batch_of([BATCH.source[row, :S].tolist()], [BATCH.target[row, :T].tolist()])
        torch.testing.assert_close(model.losses(model(alone), alone)[0], losses[row : row + 1], rtol=0, atol=1e-12)
        single = model.write(alone.source, alone.source_lengths)
        assert single.tokens[0].tolist() == written.tokens[row, : written.lengths[row]].tolist()
        torch.testing.assert_close(single.log_p, written.log_p[row : row + 1], rtol=0, atol=1e-12)
        if attention != "none":
            torch.testing.assert_close(model.alignments(alone)[0], weights[row, : T + 1, :S], rtol=0, atol=1e-7)
            assert (weights[row, : T + 1, S:] == 0).all()
            torch.testing.assert_close(weights[row, : T + 1].sum(dim=1), torch.ones(T + 1).double())


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("attention", EVERY_ATTENTION)
def test_a_written_text_has_the_probability_that_the_loss_gives_it(attention: str, options: dict[str, object]) -> None:
    model = model_of(attention, **with_size(attention, options))
    sampling = partial(draw, generator=torch.Generator().manual_seed(0))
    for method in (greedy, sampling):
        written = model.write(BATCH.source, BATCH.source_lengths, method)
        again = PairBatch(BATCH.source, BATCH.source_lengths, written.tokens, written.lengths, BATCH.example_index)
        torch.testing.assert_close(model.losses(model(again), again)[0], -written.log_p, rtol=0, atol=1e-12)
        assert matches(written, again).all()
        assert len(set(written.log_p.tolist())) == 3, "the sources matter"


@pytest.mark.parametrize("attention", EVERY_ATTENTION)
def test_a_beam_is_never_less_probable_than_greedy_and_a_wide_one_finds_the_best(attention: str) -> None:
    model = model_of(attention, max_tokens=3)
    first = model.write(BATCH.source, BATCH.source_lengths, greedy)
    for width in (1, 2, 3):
        found = model.write(BATCH.source, BATCH.source_lengths, partial(beam_search, width=width))
        assert (found.log_p >= first.log_p).all()
    best = model.write(BATCH.source, BATCH.source_lengths, partial(beam_search, width=5**3))
    every = [list(text) for length in range(1, 4) for text in itertools.product(range(1, NUM_TARGET), repeat=length)]
    for row in range(3):
        S = int(BATCH.source_lengths[row])
        source = BATCH.source[row, :S].tolist()
        batch = batch_of([source] * len(every), every)
        losses, _ = model.losses(model(batch), batch)
        nothing = batch_of([source], [[1]])
        empty = model(nothing)[0, 0].log_softmax(dim=0)[NUM_TARGET]
        assert best.log_p[row].item() == pytest.approx(max(-losses.min().item(), empty.item()), abs=1e-12)


@pytest.mark.parametrize("attention", EVERY_ATTENTION)
@pytest.mark.parametrize("cell", list(CELLS))
def test_every_cell_is_trained_in_all_its_parts(cell: str, attention: str) -> None:
    model = model_of(attention, cell).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    losses, counts = model.losses(model(BATCH), BATCH)
    before = losses.sum() / counts.sum()
    before.backward()
    assert [name for name, value in model.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0] == []
    optimizer.step()
    losses, _ = model.losses(model(BATCH), BATCH)
    assert losses.sum() / counts.sum() < before


def test_without_attention_the_last_state_of_the_encoder_is_the_first_of_the_decoder() -> None:
    model = model_of("none", "lstm", num_layers=2)
    _, final = model.encoder(model.source_vectors(BATCH.source), BATCH.source_lengths)
    first = model.encode(BATCH.source, BATCH.source_lengths).first
    assert model.bridge is None
    assert len(first) == 2
    assert all(torch.equal(part, state) for part, state in zip(first, final, strict=True))


@pytest.mark.parametrize("attention", EVERY_ATTENTION)
def test_a_source_that_is_read_backwards(attention: str) -> None:
    backwards, forwards = model_of(attention, reverse_source=True), model_of(attention)
    reversed_ = batch_of([[3, 2, 1], [5], [3, 1, 2, 4, 4]], [[1, 2], [4, 3, 2, 1], [3]])
    torch.testing.assert_close(backwards(BATCH)[:, :2], forwards(reversed_)[:, :2], rtol=0, atol=1e-12)
    if attention != "none":
        weights = backwards.alignments(BATCH)
        torch.testing.assert_close(weights[2], forwards.alignments(reversed_)[2].flip(1), rtol=0, atol=1e-7)
        torch.testing.assert_close(weights[0, :, :3], forwards.alignments(reversed_)[0, :, :3].flip(1), rtol=0, atol=1e-7)


def test_the_scores_are_those_of_the_papers() -> None:
    additive = AdditiveScore(1, 1)
    for parameter, value in ((additive.keys.weight, 2), (additive.keys.bias, 0.5), (additive.query.weight, 3)):
        parameter.data.fill_(value)
    additive.score.weight.data.fill_(10)
    keys = additive.keys(torch.tensor([[[0.1], [-0.2]]]))
    scores = additive(torch.tensor([[[0.3]]]), keys)
    assert scores.flatten().tolist() == pytest.approx([10 * math.tanh(0.9 + 0.7), 10 * math.tanh(0.9 + 0.1)], rel=1e-6)
    product = ProductScore(2, 2, matrix=True)
    product.keys.weight.data = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
    keys = product.keys(torch.tensor([[[1.0, 3.0]]]))  # (7, 3)
    assert product(torch.tensor([[[2.0, -1.0]]]), keys).tolist() == [[[11.0]]]
    dot = ProductScore(2, 2, matrix=False)
    assert dot(torch.tensor([[[2.0, -1.0]]]), dot.keys(torch.tensor([[[1.0, 3.0]]]))).tolist() == [[[-1.0]]]
    with pytest.raises(ValueError, match="states of the same size, got 4 and 2"):
        model_of("luong_dot", size=2, bidirectional=True)
    with pytest.raises(ValueError, match="unknown attention 'additive'"):
        model_of("additive")


def test_neither_padding_nor_the_unknown_word_is_written() -> None:
    model = model_of(unknown_id=1)
    model.output.bias.data[:2] = 100.0
    written = model.write(BATCH.source, BATCH.source_lengths)
    assert written.tokens.shape[1] > 0
    for text, length in zip(written.tokens.tolist(), written.lengths.tolist(), strict=True):
        assert not {0, 1} & set(text[:length])


def test_the_scores_of_a_split_are_ratios_of_sums() -> None:
    model = model_of()
    written = model.write(BATCH.source, BATCH.source_lengths)
    texts = [text[:length] for text, length in zip(written.tokens.tolist(), written.lengths.tolist(), strict=True)]
    wrong = [*texts[0], 1] if len(texts[0]) < 6 else texts[0][:-1]
    batch = batch_of([[1, 2, 3], [5], [4, 4, 2, 1, 3]], [wrong, texts[1], texts[2]])
    losses, counts = model.losses(model(batch), batch)
    sums: Tensor = pair_sums(model)(batch)
    scores = pair_scores(sums.tolist())
    assert scores["exact_match"] == 2 / 3
    assert scores["loss"] == pytest.approx((losses.sum() / counts.sum()).item(), rel=1e-12)


def test_a_date_is_written_in_many_ways() -> None:
    date = datetime.date(1985, 5, 3)
    written = [write_date(date, form) for form in DATE_FORMS]
    assert {"Friday, 3 May 1985", "3rd of May 1985", "03/05/85", "19850503", "May 3rd, 1985", "3-May-1985"} <= set(written)
    days = {write_date(datetime.date(2000, 1, day), "{day}{th}") for day in range(1, 32)}
    assert {"1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "23rd", "30th", "31st"} <= days
    assert write_date(datetime.date(2003, 1, 2), "{day:02}.{number:02}.{short:02}") == "02.01.03"
    month_days = [datetime.date(2000, 9, 20) + datetime.timedelta(days=day) for day in range(8)]
    assert max(len(write_date(day, form)) for day in month_days for form in DATE_FORMS) == LONGEST_DATE


def test_no_writing_of_a_date_means_two_dates_and_every_character_is_known() -> None:
    pairs = date_pairs(9_000, seed=1)
    assert len({pair.target for pair in pairs}) == len({pair.source for pair in pairs}) == 9_000
    assert {form for pair in pairs[:2000] for form in CASES if form(pair.source) == pair.source} == set(CASES)
    assert {character for pair in pairs for character in pair.source} <= set(date_characters())
    assert FIRST_DAY + datetime.timedelta(days=NUM_DATES - 1) == LAST_DAY
    meanings: dict[str, str] = {}
    for day in range(0, NUM_DATES, 37):
        date = FIRST_DAY + datetime.timedelta(days=day)
        for form in DATE_FORMS:
            assert meanings.setdefault(write_date(date, form), date.isoformat()) == date.isoformat()


def test_strings_are_all_different_and_of_every_length() -> None:
    pairs = symbol_pairs(reverse, "abc", 2, 6, 500, seed=3)
    assert pairs == symbol_pairs(reverse, "abc", 2, 6, 500, seed=3)
    assert pairs != symbol_pairs(reverse, "abc", 2, 6, 500, seed=4)
    assert len({pair.source for pair in pairs}) == 500
    assert {len(pair.source) for pair in pairs} == {2, 3, 4, 5, 6}
    assert any(len(pair.source) == 2 for pair in pairs[100:]), "the short strings are not all at the beginning"
    assert all(pair.target == pair.source[::-1] for pair in pairs)
    assert in_order("hello") == "ehllo"
    data = ReversalData(num_train=300, num_val=50, num_test=70, num_symbols=3)
    splits = read_splits(data)
    assert {name: len(part) for name, part in splits.items()} == {"train": 300, "val": 50, "test": 70}
    assert len({pair.source for part in splits.values() for pair in part}) == 420
    dates = read_splits(DatesData(num_train=30, num_val=5, num_test=7))
    assert [len(dates[name]) for name in ("train", "val", "test")] == [30, 5, 7]


def test_a_file_of_pairs_is_read_and_split_by_source(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_bytes("\ufeffun chat\ta cat\r\n\r\n le chien \tthe dog\nun chat\tone cat\n".encode())
    pairs = read_pairs(path)
    assert pairs == [Pair("un chat", "a cat"), Pair("le chien", "the dog"), Pair("un chat", "one cat")]
    many = [Pair(str(number // 2), str(number)) for number in range(200)]
    splits = split_pairs(many, 0.2, 0.1, seed=0)
    assert {name: len(part) for name, part in splits.items()} == {"train": 140, "val": 40, "test": 20}
    assert splits["val"] == sorted(splits["val"], key=lambda pair: int(pair.target)), "the order of the file"
    sources = [{pair.source for pair in part} for part in splits.values()]
    assert not any(one & other for one, other in itertools.combinations(sources, 2))
    assert split_pairs(many, 0.2, 0.1, seed=1) != splits
    with pytest.raises(
        UserError, match=r"^2 different sources are too few for data.validation_share=0.1 and data.test_share=0"
    ):
        split_pairs(pairs, 0.1, 0.0, seed=0)


def test_vocabularies_number_what_they_know() -> None:
    words = Vocabulary.build(["the cat, the dog", "the cat"], "words", min_count=2)
    assert words.entries == ("<padding>", UNKNOWN, " the", " cat")
    (numbers,) = words.encode(["the  cat saw the"])
    assert numbers.tolist() == [2, 1, 3, 1, 2]
    assert words.decode([2, 3]) == "the cat"
    assert (words.end_id, words.unknown_id) == (4, 1)
    characters = Vocabulary.build("hello", "characters")
    assert characters.entries == ("<padding>", "e", "h", "l", "o")
    assert characters.decode(characters.encode(["hole"])[0].tolist()) == "hole"
    with pytest.raises(UserError, match=r"^the character 'x' of 'hex' is unknown: it does not occur in the pairs"):
        characters.encode(["he", "hex"])
    both = PairVocabulary(words, words)
    assert PairVocabulary.of(both.entries, "words") == both
    odd = Vocabulary.build(["a <padding> is no word"], "words")
    assert PairVocabulary.of(PairVocabulary(odd, words).entries, "words").source == odd


def test_batches_hold_the_pairs() -> None:
    pairs = [Pair("ab", "a"), Pair("b", "abb"), Pair("aab", "b")]
    vocabulary = PairVocabulary(Vocabulary.build("ab", "characters"), Vocabulary.build("ab", "characters"))
    (first,), (second,) = pair_batches(pairs, vocabulary, 2)
    assert first.source.tolist() == [[1, 2], [2, 0]]
    assert (first.target.tolist(), first.target_lengths.tolist()) == ([[1, 0, 0], [1, 2, 2]], [1, 3])
    assert (second.source.tolist(), second.source_lengths.tolist(), second.num_examples) == ([[1, 1, 2]], [3], 1)
    assert second.example_index.tolist() == [2]
