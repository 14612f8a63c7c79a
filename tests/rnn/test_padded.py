"""What an exported recurrent network computes, with a loop in the place of the operator that it becomes."""

from typing import Any

import pytest
import torch
from torch import Tensor

from vqa_rnn.rnn import CELLS, RecurrentNetwork, State, padded

LENGTHS = torch.tensor([4, 1, 0, 6, 3])


def loop(step: Any, state: State, elements: tuple[Tensor, ...]) -> tuple[State, Tensor]:
    said = []
    for element in zip(*elements, strict=True):
        state, each = step(state, element)
        said.append(each)
    return state, torch.stack(said)


@pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["padded", "of one length"])
@pytest.mark.parametrize("cell", CELLS)
def test_an_exported_network_reads_as_any_other(cell: str, lengths: Tensor | None, monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    network = RecurrentNetwork(cell, 3, 4, num_layers=2, bidirectional=True, first_state="learned").double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    inputs = torch.randn(5, 6, 3, dtype=torch.float64)
    states, final = network(inputs, lengths)
    first = tuple(torch.randn_like(part) for part in final)
    continued = network.final_state(inputs, lengths, first)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    monkeypatch.setattr(padded, "scan", loop)
    exported, end = network(inputs, lengths)
    torch.testing.assert_close(exported, states)
    torch.testing.assert_close(end, final)
    torch.testing.assert_close(network.final_state(inputs, lengths, first), continued)
