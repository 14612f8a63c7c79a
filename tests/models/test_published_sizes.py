"""Recipes of published models have as many weights as the paper or its public code, where these can be counted."""

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
