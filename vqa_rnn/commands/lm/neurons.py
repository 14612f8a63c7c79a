"""``vqa-rnn lm neurons``: what the units of a language model react to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vqa_rnn.errors import UserError
from vqa_rnn.files import write_text
from vqa_rnn.sequences.language_run import LanguageRun, build_language_model, vocabulary_of
from vqa_rnn.sequences.neurons import neurons_page, persistent_units, unit_states
from vqa_rnn.sequences.run import load_model


@dataclass(frozen=True, slots=True)
class Neurons:
    """A text and the states of some units.

    Attributes:
        texts: (M,) the characters or words of the text.
        states: (M, H) float32 from -1 to 1, the states of all units after each of them.
        units: The chosen units.
    """

    texts: Sequence[str]
    states: NDArray[np.float32]
    units: Sequence[int]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON.

        Returns:
            ``texts``, and ``units`` with the number of each chosen ``unit`` and its ``states`` after each of the texts.
        """
        units = [{"unit": unit, "states": self.states[:, unit].tolist()} for unit in self.units]
        return {"texts": list(self.texts), "units": units}


def watch(run: LanguageRun, text: str, units: Sequence[int] = (), count: int = 5) -> Neurons:
    """Read a text and record the units.

    Args:
        run: The run.
        text: The text.
        units: The units to show; empty chooses ``count`` of them by ``persistent_units``.
        count: Number of units to choose.

    Returns:
        The text with the states.

    Raises:
        UserError: The text is too short, has a character that the model does not know, or there is no such unit.
    """
    vocabulary = vocabulary_of(run)
    entries = vocabulary.encode(text)
    if len(entries) < 2:
        raise UserError("the text is too short: at least two characters or words are needed")
    size = run.config.model.hidden_size
    for unit in units:
        if not 0 <= unit < size:
            raise UserError(f"there is no unit {unit}: the units are 0 to {size - 1}")
    model = load_model(run, build_language_model(run.config, run.entries))
    states = unit_states(model, torch.from_numpy(entries).long())
    texts = [vocabulary.entries[number] for number in entries.tolist()]
    return Neurons(texts, states, units or persistent_units(states, count))


def write_page(neurons: Neurons, title: str, path: Path) -> None:
    """Write the coloured text as an HTML file.

    Args:
        neurons: From ``watch``.
        title: Title of the page.
        path: The file.

    Raises:
        UserError: The file cannot be written.
    """
    write_text(path, neurons_page(title, neurons.texts, neurons.states, neurons.units))
