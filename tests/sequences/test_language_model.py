"""Language models: what they compute, and the texts they are trained on."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from vqa_rnn.engines.sums import build_sums_evaluator
from vqa_rnn.errors import UserError
from vqa_rnn.rnn import CELLS
from vqa_rnn.sequences.language_model import Carried, LanguageModel, bits, loss_sums
from vqa_rnn.sequences.neurons import neuron_text, neurons_page, persistent_units, unit_states
from vqa_rnn.sequences.sampling import sample
from vqa_rnn.sequences.text_streams import IGNORED, TextStreams
from vqa_rnn.sequences.text_vocabulary import UNKNOWN, TextVocabulary

TEXT = "It's 3.5 km, isn't it?\n\tYes; “no”.\n"


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
def test_a_one_hot_vector_selects_a_column_as_an_embedding_does(cell: str) -> None:
    torch.manual_seed(0)
    one_hot = LanguageModel(7, cell, 5).double()
    embedded = LanguageModel(7, cell, 5, embedding_size=7).double()
    embedded.network.load_state_dict(one_hot.network.state_dict())
    embedded.output.load_state_dict(one_hot.output.state_dict())
    assert embedded.embedding is not None
    embedded.embedding.weight.data = torch.eye(7).double()
    inputs = torch.randint(7, (3, 11))
    torch.testing.assert_close(one_hot(inputs)[0], embedded(inputs)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", list(CELLS))
def test_chunks_that_carry_the_state_equal_the_whole(cell: str) -> None:
    torch.manual_seed(0)
    model = LanguageModel(5, cell, 6, num_layers=2, first_state="learned").double()
    entries = np.random.default_rng(0).integers(5, size=101).astype(np.int32)
    (whole,) = [chunk for (chunk,) in TextStreams(entries, 4, 1000)]
    carried = Carried(model)
    chunks = torch.cat([carried(chunk) for (chunk,) in TextStreams(entries, 4, 7)], dim=1)
    torch.testing.assert_close(chunks, model(whole.inputs)[0], rtol=0, atol=1e-12)
    again = torch.cat([carried(chunk) for (chunk,) in TextStreams(entries, 4, 7)], dim=1)
    assert torch.equal(again, chunks), "the first chunk of a pass resets the state"


@pytest.mark.parametrize("length", [2, 3, 17, 100, 101])
@pytest.mark.parametrize("num_streams", [1, 3, 16, 200])
def test_every_entry_is_predicted_once_from_the_one_before(length: int, num_streams: int) -> None:
    entries = np.arange(length, dtype=np.int32)
    streams = TextStreams(entries, num_streams, 5)
    chunks = [chunk for (chunk,) in streams]
    assert len(chunks) == len(streams)
    inputs, targets = (torch.cat([getattr(chunk, name) for chunk in chunks], dim=1) for name in ("inputs", "targets"))
    is_real = targets != IGNORED
    assert sorted(targets[is_real].tolist()) == list(range(1, length))
    assert torch.equal(inputs[is_real] + 1, targets[is_real])
    assert sum(chunk.num_examples for chunk in chunks) == streams.num_predictions == length - 1
    assert [chunk.is_first for chunk in chunks] == [True] + [False] * (len(chunks) - 1)


def test_a_pass_can_start_in_the_middle() -> None:
    streams = TextStreams(np.arange(50, dtype=np.int32), 3, 4)
    whole = [chunk for (chunk,) in streams]
    streams.start = 2
    rest = [chunk for (chunk,) in streams]
    assert len(rest) == len(whole) - 2
    assert torch.equal(rest[0].inputs, whole[2].inputs)
    assert not rest[0].is_first


def test_the_end_of_the_text_adds_no_loss_and_the_bits_are_those_of_the_text() -> None:
    torch.manual_seed(0)
    model = LanguageModel(9, "gru", 4).double().eval()
    entries = np.random.default_rng(1).integers(9, size=30).astype(np.int32)
    width = math.ceil(29 / 4)
    nats = 0.0
    for start in range(0, 29, width):
        stream = torch.from_numpy(entries[start : start + width + 1]).long()
        logits, _ = model(stream[None, :-1])
        nats += functional.cross_entropy(logits[0], stream[1:], reduction="sum").item()
    evaluator = build_sums_evaluator(model, loss_sums(model), bits, torch.device("cpu"))
    for _ in range(2):
        evaluator.run(TextStreams(entries, 4, 3))
        assert evaluator.state.metrics["bits"] == pytest.approx(nats / 29 / math.log(2), rel=1e-12)


@pytest.mark.parametrize("unit", ["characters", "words"])
def test_a_text_survives_numbering(unit: str) -> None:
    vocabulary = TextVocabulary.build(TEXT, unit)  # type: ignore[arg-type]
    assert vocabulary.decode(vocabulary.encode(TEXT)) == TEXT


def test_words_keep_the_space_before_them_and_rare_ones_are_unknown() -> None:
    vocabulary = TextVocabulary.build("the cat and the dog, the cat", "words", min_count=2)
    assert vocabulary.entries == (UNKNOWN, " cat", " the")
    assert vocabulary.encode("the cat saw the dog").tolist() == [0, 1, 0, 2, 0]


def test_an_unknown_character_is_named() -> None:
    vocabulary = TextVocabulary.build("hello", "characters")
    assert vocabulary.entries == ("e", "h", "l", "o")
    with pytest.raises(UserError, match=r"^the character 'x' is unknown: it does not occur in the text"):
        vocabulary.encode("hex")


def test_sampling_depends_on_the_seed_and_on_nothing_else() -> None:
    torch.manual_seed(0)
    model = LanguageModel(20, "lstm", 8).eval()
    prefix = torch.tensor([3])

    def draw(seed: int, **options: float) -> list[int]:
        return list(sample(model, prefix, 200, generator=torch.Generator().manual_seed(seed), **options))  # type: ignore[arg-type]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert draw(1, temperature=0) == draw(2, top_k=1) == draw(3, temperature=1e-4)
    assert len(set(draw(1))) > 10


def test_top_k_draws_only_from_the_most_likely() -> None:
    torch.manual_seed(0)
    model = LanguageModel(20, "lstm", 8).eval()
    written = list(sample(model, torch.tensor([3]), 100, temperature=5.0, top_k=3, generator=torch.Generator().manual_seed(0)))
    logits, _ = model(torch.tensor([[3, *written[:-1]]]))
    best = logits[0].topk(3, dim=1).indices
    assert all(entry in allowed for entry, allowed in zip(written, best.tolist(), strict=True))
    with pytest.raises(ValueError, match="prefix is empty"):
        next(sample(model, torch.tensor([], dtype=torch.int64), 1))


def test_a_unit_that_keeps_its_state_is_found_and_shown() -> None:
    states = np.random.default_rng(0).uniform(-1, 1, (400, 3)).astype(np.float32)
    states[:, 1] = np.repeat([1, -1, 1, -1], 100)
    states[:, 2] = np.linspace(0.99, 1, 400)  # always on
    assert persistent_units(states, 2) == [1, 0]
    page = neurons_page("a <title>", ["<b>", "\n"], states[:2], [1])
    assert "a &lt;title&gt;" in page
    assert '<i style="background:#e69f00">&lt;b&gt;</i>' in page
    assert "http" not in page
    assert neuron_text(["a", "b"], states[:2, 1]).plain == "ab"


def test_states_are_the_same_however_the_text_is_read() -> None:
    torch.manual_seed(0)
    model = LanguageModel(6, "lstm", 4).eval()
    entries = torch.randint(6, (1300,))
    states = unit_states(model, entries)
    whole = model.states(entries[None])[0][0].detach().numpy()
    np.testing.assert_allclose(states, whole / np.abs(whole).max(axis=0), atol=1e-5)
