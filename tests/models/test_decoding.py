"""Writing a text word by word, over decoders whose every probability is known."""

import itertools
import math
from functools import partial

import pytest
import torch
from torch import Tensor

from vqa_rnn.models.decoding import DecoderState, Method, Step, Written, beam_search, draw, greedy, join, raw_beam_search

Text = tuple[int, ...]


class TableDecoder:
    """The next word depends on the context and on all words before: a table of probabilities by what was written so far."""

    def __init__(self, tables: list[dict[Text, list[float]]]) -> None:
        self.tables = tables
        self.num_words = len(next(iter(tables[0].values())))
        self.texts: list[tuple[int, Text]] = []

    def begin(self, context_NJ: Tensor) -> Step:
        self.texts = [(int(number), ()) for number in context_NJ[:, 0]]
        return self._step()

    def go_on(self, words_M: Tensor, state: DecoderState) -> Step:
        chosen = state.network[0][0, :, 0].long().tolist()  # where in the list of texts each one was
        self.texts = [
            (self.texts[place][0], (*self.texts[place][1], word)) for place, word in zip(chosen, words_M.tolist(), strict=True)
        ]
        return self._step()

    def _step(self) -> Step:
        anything = [1 / self.num_words] * self.num_words  # after an end it does not matter
        rows = [self.tables[number].get(text, anything) for number, text in self.texts]
        places = torch.arange(len(rows), dtype=torch.float64)
        return Step(
            torch.tensor(rows, dtype=torch.float64).log(), DecoderState((places[None, :, None],), places[:, None], places)
        )


def contexts(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def texts(written: Written) -> list[Text]:
    for row, length in zip(written.tokens, written.lengths, strict=True):
        assert (row[length:] == 0).all()
    return [tuple(row[:length].tolist()) for row, length in zip(written.tokens, written.lengths, strict=True)]


# words: 0 padding, 1, 2, 3, and 4 the end
TRAP = {
    (): [0, 0.6, 0.4, 0, 0],
    (1,): [0, 0.3, 0.3, 0.3, 0.1],
    (2,): [0, 0, 0, 0.1, 0.9],
    **{(1, word): [0, 0, 0, 0, 1] for word in (1, 2, 3)},
    (2, 3): [0, 0, 0, 0, 1],
}
# the greedy path 1 1 falls out of a beam of two at its second word, and would have won
LOST = {
    (): [0, 0.40, 0.35, 0.25, 0],
    (1,): [0, 0.34, 0.33, 0.33, 0],
    (2,): [0, 0.5, 0.5, 0, 0],
    (3,): [0, 1, 0, 0, 0],
    **{(1, word): [0, 0, 0, 0, 1] for word in (1, 2, 3)},
    **{(2, word): [0, 0.25, 0.25, 0, 0.5] for word in (1, 2)},
    (3, 1): [0, 0, 0, 0, 1],
    **{(2, word, last): [0, 0, 0, 0, 1] for word in (1, 2) for last in (1, 2)},
}


def test_greedy_takes_the_best_next_word_and_counts_the_end():
    written = greedy(TableDecoder([TRAP, LOST]), contexts(0, 1), 5)
    assert texts(written) == [(1, 1), (1, 1)]
    assert written.log_p.exp().tolist() == pytest.approx([0.6 * 0.3, 0.40 * 0.34])


def test_a_beam_finds_what_greedy_walks_past():
    written = beam_search(TableDecoder([TRAP]), contexts(0), 5, width=2)
    assert texts(written) == [(2,)]
    assert written.log_p.exp().tolist() == pytest.approx([0.4 * 0.9])


def test_a_raw_beam_may_lose_greedys_path_and_ours_does_not():
    raw = raw_beam_search(TableDecoder([LOST]), contexts(0), 5, width=2)
    assert texts(raw)[0] in ((2, 1), (2, 2))
    assert raw.log_p.exp().tolist() == pytest.approx([0.35 * 0.5 * 0.5])
    ours = beam_search(TableDecoder([LOST]), contexts(0), 5, width=2)
    assert texts(ours) == [(1, 1)]
    assert ours.log_p.exp().tolist() == pytest.approx([0.40 * 0.34])
    assert texts(raw_beam_search(TableDecoder([LOST]), contexts(0), 5, width=6)) == [(3, 1)]  # 0.25: the best of all


@pytest.mark.parametrize("method", [greedy, partial(beam_search, width=3), partial(raw_beam_search, width=1)])
def test_a_text_of_the_most_words_has_to_end(method: Method):
    endless = {(1,) * n: [0, 0.9, 0.1, 0, 0] for n in range(4)} | {(1,) * 4: [0, 0.7, 0, 0, 0.3]}
    written = method(TableDecoder([endless]), contexts(0), 4)
    assert texts(written) == [(1, 1, 1, 1)]
    assert written.log_p.exp().tolist() == pytest.approx([0.9**4 * 0.3])


def test_no_texts_at_all_are_joined():
    joined = join([], torch.device("cpu"))
    assert (joined.tokens.shape, joined.lengths.shape, joined.log_p.shape) == ((0, 0), (0,), (0,))


WORDS, LONGEST = (1, 2, 3), 3


def random_table(generator: torch.Generator, sharpness: float) -> dict[Text, list[float]]:
    """Any text of up to three words; none is empty."""
    table = {}
    for length in range(LONGEST + 1):
        for text in itertools.product(WORDS, repeat=length):
            logits = sharpness * torch.randn(5, generator=generator, dtype=torch.float64)
            logits[0] = -math.inf
            if length == 0:
                logits[4] = -math.inf
            table[text] = logits.softmax(0).tolist()
    return table


def probability(table: dict[Text, list[float]], text: Text) -> float:
    """Of a text with its end."""
    so_far = 1.0
    for place, word in enumerate((*text, 4)):
        so_far *= table[text[:place]][word]
    return so_far


EVERY_TEXT = [text for length in range(1, LONGEST + 1) for text in itertools.product(WORDS, repeat=length)]
TABLES = [random_table(torch.Generator().manual_seed(seed), 0.5 + seed % 5) for seed in range(300)]


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_a_beam_is_never_below_greedy(width: int):
    decoder, every = TableDecoder(TABLES), contexts(*range(len(TABLES)))
    first = greedy(decoder, every, LONGEST)
    raw = raw_beam_search(decoder, every, LONGEST, width=width)
    ours = beam_search(decoder, every, LONGEST, width=width)
    for written in (first, raw, ours):  # what is said of a text is what it has
        exact = [probability(table, text) for table, text in zip(TABLES, texts(written), strict=True)]
        assert written.log_p.exp().tolist() == pytest.approx(exact, rel=1e-12)
    assert (ours.log_p >= first.log_p).all()
    assert (ours.log_p >= raw.log_p).all()
    if width == 1:
        assert texts(raw) == texts(first)
    else:
        assert (ours.log_p > first.log_p + 1e-9).any()
    lost = (raw.log_p < first.log_p - 1e-9).sum().item()
    assert (lost > 0) == (width in (2, 3))  # of 300: it does happen


def test_a_beam_as_wide_as_there_are_texts_finds_the_best():
    wide = raw_beam_search(TableDecoder(TABLES[:40]), contexts(*range(40)), LONGEST, width=27)
    assert texts(wide) == [max(EVERY_TEXT, key=partial(probability, table)) for table in TABLES[:40]]


@pytest.mark.parametrize("method", [greedy, partial(beam_search, width=2), partial(raw_beam_search, width=3)])
def test_others_in_the_batch_change_nothing(method: Method):
    together = method(TableDecoder(TABLES[:20]), contexts(*range(20)), LONGEST)
    for number in range(20):
        alone = method(TableDecoder(TABLES[:20]), contexts(number), LONGEST)
        assert texts(alone) == [texts(together)[number]]
        assert alone.log_p.item() == pytest.approx(together.log_p[number].item(), abs=1e-12)


def test_drawn_texts_come_as_often_as_they_are_probable():
    draws = 3000
    written = draw(TableDecoder([TABLES[0]]), contexts(*[0] * draws), LONGEST, generator=torch.Generator().manual_seed(0))
    found = texts(written)
    # a text of the most words comes whatever its end's probability is
    exact = {text: probability(TABLES[0], text) for text in EVERY_TEXT if len(text) < LONGEST}
    for text, expected in exact.items():
        error = math.sqrt(expected * (1 - expected) / draws)
        assert abs(found.count(text) / draws - expected) < 4 * error + 1e-3, text
    for text, log_p in list(zip(found, written.log_p.tolist(), strict=True))[:200]:
        assert math.exp(log_p) == pytest.approx(probability(TABLES[0], text), rel=1e-9)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_sharpens_and_flattens(temperature: float):
    draws = 3000
    generator = torch.Generator().manual_seed(1)
    written = draw(TableDecoder([TABLES[1]]), contexts(*[0] * draws), 1, temperature=temperature, generator=generator)
    first = torch.tensor(TABLES[1][()], dtype=torch.float64)
    expected = first ** (1 / temperature) / (first ** (1 / temperature)).sum()
    share = torch.bincount(written.tokens[:, 0], minlength=5) / draws
    assert (share - expected).abs().max().item() < 0.04


def test_a_temperature_near_0_is_greedy_and_a_seed_repeats():
    every = contexts(*range(100))
    cold = draw(TableDecoder(TABLES[:100]), every, LONGEST, temperature=1e-6, generator=torch.Generator().manual_seed(0))
    first = greedy(TableDecoder(TABLES[:100]), every, LONGEST)
    assert texts(cold) == texts(first)
    torch.testing.assert_close(cold.log_p, first.log_p)
    again = [draw(TableDecoder(TABLES[:100]), every, LONGEST, generator=torch.Generator().manual_seed(7)) for _ in range(2)]
    assert texts(again[0]) == texts(again[1])
    assert texts(again[0]) != texts(first)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_is_above_0(temperature: float):
    with pytest.raises(ValueError, match="must be above 0"):
        draw(TableDecoder([TRAP]), contexts(0), 3, temperature=temperature, generator=torch.Generator())
