"""Recipes of published models have as many weights as the paper or its public code, where these can be counted."""

import itertools

import pytest

from vqa_rnn.config.files import load_config
from vqa_rnn.models import ModelSizes, VqaModel


def count(recipe: str, sizes: ModelSizes, *overrides: str) -> int:
    model = VqaModel(load_config(recipe, list(overrides)).model, sizes)
    return sum(parameter.numel() for parameter in model.parameters())


def test_mcan_small_has_the_size_of_its_checkpoint():
    """57,812,491 weights of the released checkpoint: https://github.com/MILVLG/mcan-vqa/issues/12."""
    assert count("vqa/mcan_small", ModelSizes(20_572, 2048, 3129)) == 57_812_491


@pytest.mark.parametrize(("glimpses", "published"), [(1, 32_198_378), (4, 44_799_734), (8, 61_601_542)])
def test_ban_has_the_sizes_of_its_code(glimpses: int, published: int):
    """Counted from the layers of jnhwkim/ban-vqa, with the hidden size of the paper's ablations.

    That has a scalar of weight norm for each layer and a bias for each glimpse, which the softmax takes away again.
    """
    found = count("vqa/ban8", ModelSizes(19_902, 2048, 3129), f"model.attention.num_glimpses={glimpses}")
    assert found == published - 5 - 4 * glimpses


def test_stacked_attention_has_the_size_of_its_code():
    """16,769,938 in the authors' code: one bias for a gate of the LSTM, and one of each key beside that of the query."""
    assert count("vqa/san", ModelSizes(13_746, 512, 1000)) == 16_769_938 + 4 * 1024 - 2 * 512


def test_lstm_q_has_the_size_of_its_code():
    """14,997,137 in GT-Vision-Lab/VQA_LSTM_CNN, with a bias of word vectors (200) and a layer that learns nothing (513)."""
    assert count("vqa/v1", ModelSizes(20_572, 4096, 1000)) == 14_997_137 - 200 - 513


@pytest.mark.parametrize(("steps", "published"), [(4, 12_175_902), (12, 14_277_150)])
def test_mac_has_the_size_of_its_code(steps: int, published: int):
    """stanfordnlp/mac-network, with torch's two biases for a gate of the LSTM, as in tohinz/pytorch-mac-network."""
    found = count("clevr/mac", ModelSizes(90, 1024, 28), f"model.reasoning.num_steps={steps}")
    assert found == published + 300 * 90


def test_film_has_the_size_of_its_code_but_for_how_places_enter():
    """59,491,652 in the authors' code, where two numbers of the place enter at each block."""
    assert count("clevr/film", ModelSizes(93, 1024, 28)) == pytest.approx(59_491_652, rel=1e-4)


def test_top_down_has_the_size_of_the_papers_equations():
    """Anderson et al. 2018, section 3.3, with 512 units: GRU, attention, a layer each for question, image and joint vector.

    Gated layers have two matrices. Here weight norm adds a length for each row, and the answers and the score of the attention
    have biases.
    """
    words, answers, size, region = 20_000, 3129, 512, 2048
    gru = 3 * (300 * size + size * size + 2 * size)
    attention = 2 * ((region + size) * size + size) + size
    gated = [2 * (inputs * size + size) for inputs in (size, region, size)]  # question, image, both
    lengths = 2 * 2 * size + 3 * 2 * size + answers
    published = words * 300 + gru + attention + sum(gated) + size * answers
    assert count("vqa/top_down", ModelSizes(words, region, answers)) == published + lengths + answers + 2


def test_mutan_has_the_size_of_its_code():
    """Counted from the layers of Cadene/vqa.pytorch, ``mutan_att_trainval.yaml``, but for the skip-thoughts GRU.

    There a layer of 2048 x 310 projects each glimpse; here one of 4096 x 620 projects both. It has a bias for each glimpse,
    which the softmax takes away again.
    """
    words, answers = 10_000, 2000
    encoder = words * 620 + 3 * (620 * 2400 + 2400 * 2400 + 2 * 2400)
    attention = (2048 + 1) * 310 + (2400 + 1) * 310 + 2 * 5 * (310 + 1) * 510 + (510 + 1) * 2
    fusion = 2 * (2048 + 1) * 310 + (2400 + 1) * 310 + 5 * ((620 + 1) + (310 + 1)) * 510
    published = encoder + attention + fusion + (510 + 1) * answers
    assert count("vqa/mutan", ModelSizes(words, 2048, answers)) == published + 2 * 2048 * 310 - 2


def test_mfh_has_the_size_of_its_code():
    """Counted from the layers of MILVLG/openvqa, ``mfh``, which concatenates two embeddings.

    It has a bias for each glimpse of words and regions, which the softmax takes away again.
    """
    words, answers, gates = 20_572, 3129, 4 * 1024
    lstm = gates * (600 + 1024 + 2)
    words_attention = (1024 + 1) * 512 + (512 + 1) * 2
    regions_attention = 2 * (2048 + 1) * 5000 + (1000 + 1) * 512 + (512 + 1) * 2
    fusion = 2 * ((4096 + 1) + (2048 + 1)) * 5000
    published = 2 * words * 300 + lstm + words_attention + regions_attention + fusion + (2000 + 1) * answers
    assert count("vqa/mfh", ModelSizes(words, 2048, answers)) == published - words * 300 - gates * 300 - 4


def lua_lstm(*sizes: int) -> int:
    """Weights of a stack of ``SeqLSTM``, which has one bias for each gate."""
    return sum(4 * after * (before + after + 1) for before, after in itertools.pairwise(sizes))


@pytest.mark.parametrize("recipe", ["visdial", "visdial/hierarchical", "visdial/memory"])
def test_dialog_encoders_have_the_sizes_of_their_code(recipe: str):
    """Counted from the layers of batra-mlp-lab/visdial, ``encoders/*-ques-im-hist.lua`` with ``decoders/disc.lua``.

    torch's LSTM has two biases for each gate.
    """
    words, image, size = 11_000, 4096, 512
    shared = words * 300 + lua_lstm(300, size, size) + lua_lstm(300, size)  # words, history, choices
    published = {
        "visdial": shared + lua_lstm(300, size, size) + (2 * size + image + 1) * size,
        "visdial/hierarchical": shared + lua_lstm(600, size, size) + (image + 1) * 300 + lua_lstm(2 * size, size),
        "visdial/memory": shared + lua_lstm(300, size, size) + (size + image + 1) * size + 2 * (size + 1) * size,
    }[recipe]
    layers = 6 if recipe == "visdial/hierarchical" else 5
    assert count(recipe, ModelSizes(words, image, 2)) == published + layers * 4 * size
