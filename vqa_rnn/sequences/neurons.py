"""What the units of a language model react to: a text coloured by the state of one unit.

After Karpathy, Johnson and Fei-Fei 2016 (https://arxiv.org/abs/1506.02078, figure 2), with the output of the last layer
instead of an LSTM's tanh(c), so that it works with every cell.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.text import Text

from vqa_rnn.sequences.language_model import LanguageModel
from vqa_rnn.templates import html_templates

BLUE, ORANGE = (0, 114, 178), (230, 159, 0)  # state -1 and state 1; colour-blind people can tell them apart
STEPS = 512  # entries that are read at a time

_templates = html_templates(Path(__file__).parent)


@torch.inference_mode()
def unit_states(model: LanguageModel, entries: torch.Tensor) -> NDArray[np.float32]:
    """Read a text and record all units of the last layer.

    Args:
        model: The model, in evaluation mode.
        entries: (M,) int64 the entries of the text.

    Returns:
        (M, H) float32, the states after each entry, scaled so that the largest of each unit has size 1.
    """
    parts = []
    state = None
    for chunk in entries.split(STEPS):
        states_1TH, state = model.states(chunk[None], state)
        parts.append(states_1TH[0].float().cpu())
    states_MH = torch.cat(parts).numpy()
    return states_MH / np.maximum(np.abs(states_MH).max(axis=0), 1e-12)


def persistent_units(states_MH: NDArray[np.float32], count: int) -> list[int]:
    """Find the units that keep their state longest: those react to something that lasts, such as a quotation or a line.

    Only the half of the units that vary most are considered, because a unit that is always on keeps its state too.

    Args:
        states_MH: From ``unit_states``.
        count: Number of units.

    Returns:
        The units with the largest correlation between the states after two consecutive entries, the largest first.
    """
    centred = states_MH - states_MH.mean(axis=0)
    variance = np.maximum((centred**2).mean(axis=0), 1e-12)
    correlation = (centred[1:] * centred[:-1]).mean(axis=0) / variance
    correlation[variance < np.median(variance)] = -1.0
    return np.argsort(-correlation, kind="stable")[:count].tolist()


def neurons_page(title: str, texts: Sequence[str], states_MH: NDArray[np.float32], units: Sequence[int]) -> str:
    """Make a page with the text once for each unit.

    Args:
        title: The title.
        texts: (M,) the entries of the text.
        states_MH: From ``unit_states``.
        units: The units to show.

    Returns:
        HTML that needs no other file.
    """
    shown = [
        {"unit": unit, "parts": [(text, _css(value)) for text, value in zip(texts, states_MH[:, unit].tolist(), strict=True)]}
        for unit in units
    ]
    return _templates.get_template("neurons.html").render(title=title, shown=shown, low=_css(-1.0), high=_css(1.0))


def neuron_text(texts: Sequence[str], states_M: NDArray[np.float32]) -> Text:
    """Colour a text for a terminal.

    Args:
        texts: (M,) the entries of the text.
        states_M: (M,) float32 the states of one unit.

    Returns:
        The text; the background is blue at state -1, orange at state 1, and none in between.
    """
    coloured = Text()
    for text, value in zip(texts, states_M.tolist(), strict=True):
        red, green, blue = _blend(value)
        coloured.append(text, f"black on rgb({red},{green},{blue})")
    return coloured


def _blend(value: float) -> tuple[int, int, int]:
    """Mix white with blue (value -1) or orange (value 1)."""
    share = min(abs(value), 1.0)
    red, green, blue = (round(255 + share * (channel - 255)) for channel in (ORANGE if value > 0 else BLUE))
    return red, green, blue


def _css(value: float) -> str:
    return "#{:02x}{:02x}{:02x}".format(*_blend(value))
