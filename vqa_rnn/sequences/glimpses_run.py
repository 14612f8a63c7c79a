"""The run of a reader of glimpses: its kind and its model."""

from collections.abc import Sequence
from pathlib import Path

import torch

from vqa_rnn.config.glimpses import GlimpsesConfig
from vqa_rnn.sequences.glimpses import GlimpseReader
from vqa_rnn.sequences.run import Kind, SequenceRun, load_model, load_run

GLIMPSES = Kind("glimpses", "a reader of glimpses", "vqa-rnn glimpses train", GlimpsesConfig)
GlimpsesRun = SequenceRun[GlimpsesConfig]


def load_glimpses_run(path: Path) -> GlimpsesRun:
    """Open the run folder of a reader.

    Args:
        path: The folder.

    Returns:
        The run.

    Raises:
        UserError: The folder is missing, not a run of a reader, damaged, or of another format version.
    """
    return load_run(path, GLIMPSES)


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


def load_reader(run: GlimpsesRun, device: torch.device | str = "cpu") -> GlimpseReader:
    """Build the reader of a run with its trained weights.

    Args:
        run: The run.
        device: The device of the model.

    Returns:
        The reader in evaluation mode.

    Raises:
        UserError: There are no weights yet, or the file is damaged or does not fit the config.
    """
    return load_model(run, build_reader(run.config, run.entries), device)
