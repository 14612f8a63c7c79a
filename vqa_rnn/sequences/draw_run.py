"""The run of a model that draws digits: its kind, its bound and its model."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vqa_rnn.config.draw import DrawConfig
from vqa_rnn.errors import UserError
from vqa_rnn.sequences.draw import DigitBatch, Draw
from vqa_rnn.sequences.draw_data import DrawDigits, digits_hash, read_draw_digits
from vqa_rnn.sequences.run import Kind, SequenceRun

DRAW = Kind("draw", "a model that draws", "vqa-rnn draw train", DrawConfig, ("data.folder",))
DrawRun = SequenceRun[DrawConfig]


def build_draw(config: DrawConfig, entries: Sequence[str] = ()) -> Draw:
    """Build a model with random weights.

    Args:
        config: The config.
        entries: Not needed: a model that draws has no vocabulary.

    Returns:
        The model.
    """
    options, window = config.model, config.model.attention
    return Draw(
        config.data.side,
        options.steps,
        options.cell,
        options.hidden_size,
        options.latent_size,
        read_size=None if window.name == "none" else window.read_size,
        write_size=None if window.name == "none" else window.write_size,
        num_layers=options.num_layers,
        **options.start(),
    )


def read_same_digits(run: DrawRun) -> tuple[DrawDigits, DrawDigits]:
    """Read the digits that a run was trained with.

    Args:
        run: The run.

    Returns:
        The training digits and the validation digits.

    Raises:
        UserError: They cannot be read, or have changed.
    """
    train, val = read_draw_digits(run.config.data, "train"), read_draw_digits(run.config.data, "val")
    if digits_hash([train, val]) != run.data_sha256:
        raise UserError(f"the digits ({run.config.data.source}) have changed since {run.path} was trained: restore them")
    return train, val


def bound_parts(model: Draw) -> Callable[[DigitBatch], Tensor]:
    """Return a function that computes the two parts of the bound of each image.

    Args:
        model: The model.

    Returns:
        A function of a batch. It returns (N, 2) float64 in nats: reconstruction and divergence.
    """

    def parts(batch: DigitBatch) -> Tensor:
        drawing = model(batch)
        return torch.stack([model.reconstruction(drawing, batch.images), drawing.divergence()], dim=1).double()

    return parts


def bound_sums(model: Draw) -> Callable[[DigitBatch], Tensor]:
    """Return a function that measures a model on batches, for ``build_sums_evaluator``.

    Args:
        model: The model.

    Returns:
        A function of a batch. It returns (3,) float64: the summed reconstructions and divergences, and the number of images.
    """
    parts = bound_parts(model)

    def sums(batch: DigitBatch) -> Tensor:
        parts_N2 = parts(batch)
        return torch.cat([parts_N2.sum(dim=0), parts_N2.new_tensor([len(parts_N2)])])

    return sums


def bound(sums: Sequence[float]) -> dict[str, float]:
    """Compute the metrics of a model that draws.

    Args:
        sums: The sums of ``bound_sums`` over a split.

    Returns:
        ``nats``, the negative variational bound per image, and its parts ``reconstruction`` and ``divergence``.
    """
    reconstruction, divergence, count = sums
    return {
        "nats": (reconstruction + divergence) / count,
        "reconstruction": reconstruction / count,
        "divergence": divergence / count,
    }
