"""The run of a reader of glimpses: its kind, its model and what it reads.

Shape letters: N scenes, T targets, K looks.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vqa_rnn.config.glimpses import GlimpsesConfig
from vqa_rnn.sequences.glimpses import GlimpseReader, read_right
from vqa_rnn.sequences.glimpses_data import END, Scenes, batches_of
from vqa_rnn.sequences.run import Kind, SequenceRun

GLIMPSES = Kind("glimpses", "a reader of glimpses", "vqa-rnn glimpses train", GlimpsesConfig, ("data.folder",))
GlimpsesRun = SequenceRun[GlimpsesConfig]
READ_TOGETHER = 256


def build_reader(config: GlimpsesConfig, entries: Sequence[str]) -> GlimpseReader:
    """Build a reader with random weights.

    Args:
        config: The config.
        entries: The classes.

    Returns:
        The reader.
    """
    options = config.model
    return GlimpseReader(
        config.data.num_digits + 1,
        len(entries),
        options.cell,
        options.hidden_size,
        num_layers=options.num_layers,
        glimpse_size=options.glimpse_size,
        num_scales=options.num_scales,
        looks_per_target=options.glimpses_per_digit,
        context_size=options.context_size,
        location_std=options.location_std,
        **options.start(),
    )


class Reading(NamedTuple):
    """What was read in scenes.

    Attributes:
        classes: (N, T) int64, the most probable class at each target.
        places: (N, K, 2) float, the places that were looked at.
        right: (N, T) bool, True where the class is right, and behind the end.
    """

    classes: Tensor
    places: Tensor
    right: Tensor


def read_scenes(model: GlimpseReader, scenes: Scenes, places_NK2: Tensor | None = None) -> Reading:
    """Read scenes in batches.

    Args:
        model: The reader; it is put into evaluation mode.
        scenes: The scenes.
        places_NK2: (N, K, 2) float, where to look; None lets the reader choose.

    Returns:
        What was read, on the CPU.
    """
    device = model.output.weight.device
    model.eval()
    readings = []
    with torch.inference_mode():
        for (batch,) in batches_of(scenes, READ_TOGETHER):
            given = None if places_NK2 is None else places_NK2[batch.example_index].to(device)
            looks = model(batch.images.to(device), given)
            logits = looks.logits.cpu()
            readings.append(Reading(logits.argmax(dim=2), looks.places.cpu(), read_right(logits, batch.targets)))
    return Reading(*(torch.cat(parts) for parts in zip(*readings, strict=True)))


def text_of(classes: Sequence[int], entries: Sequence[str]) -> str:
    """Return what was read, up to the end.

    Args:
        classes: Classes from left to right.
        entries: The entries of the run.

    Returns:
        The digits, separated by spaces.
    """
    digits = itertools.takewhile(lambda number: 0 <= number < END, classes)
    return " ".join(entries[number] for number in digits)
