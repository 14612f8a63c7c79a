"""``vqa-rnn draw evaluate``: the bound of a model on digits, and whether its drawings are copies."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from vqa_rnn.commands.draw.sample import draw_digits
from vqa_rnn.commands.sequences.evaluation import Measured, choose_split, evaluate_run, move_run
from vqa_rnn.commands.sequences.tables import right_aligned
from vqa_rnn.records import Split
from vqa_rnn.sequences.digits import SPLITS
from vqa_rnn.sequences.draw_data import digits_hash, evaluation_batches
from vqa_rnn.sequences.draw_measures import classes_floor, entropy, nearest, pixels_floor
from vqa_rnn.sequences.draw_run import DRAW, DrawRun, bound_parts, build_draw, read_same_digits
from vqa_rnn.sequences.run import load_model

NUM_DRAWN = 1000  # drawings whose distance to the training digits is measured
PERCENTILES = (0, 5, 50, 95, 100)


def evaluate(run: DrawRun, split: Split | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Measure a model on the validation digits, or on the training digits.

    Args:
        run: The run.
        split: ``train`` or ``val``, the default.
        overrides: A new location of MNIST, ``data.folder=…``.

    Returns:
        The report of ``evaluate_run``, in nats per image: ``nats`` is the bound, ``reconstruction`` and ``divergence`` are its
        parts. Lower is better; the ceiling ``entropy`` is that of the pixels. ``copies``: percentiles of the L2 distance to the
        nearest training digit, of ``drawings`` and of ``validation`` digits, and the shares of drawings that are
        ``closer_than_any`` validation digit and ``closer_than_95_percent`` of them.

    Raises:
        UserError: There is no such split, there are no weights yet, or the digits cannot be read or are not those of the
            training.
    """
    run = move_run(run, DRAW, overrides)
    return evaluate_run(run, DRAW, lambda: _measure(run, split))


def _measure(run: DrawRun, split: Split | None) -> Measured:
    chosen = choose_split(run, split, SPLITS)
    train, val = read_same_digits(run)
    digits = train if chosen == "train" else val
    model = load_model(run, build_draw(run.config, run.entries))
    options, data = run.config.model, run.config.data
    parts = bound_parts(model)
    with torch.inference_mode():
        batches = evaluation_batches(digits, run.config.training.batch_size, options.steps, options.latent_size)
        parts_N2 = torch.cat([parts(batch) for (batch,) in batches])
    return Measured(
        data=data.source,
        variant={"side": data.side},
        split=chosen,
        examples="images",
        groups="images",
        group_of=[str(place) for place in range(len(parts_N2))],
        data_sha256=digits_hash([digits]),
        scores={
            "nats": parts_N2.sum(dim=1).numpy(),
            "reconstruction": parts_N2[:, 0].numpy(),
            "divergence": parts_N2[:, 1].numpy(),
        },
        floors={
            "pixels": pixels_floor(digits.images, train.images).numpy(),
            "classes": classes_floor(digits.images, train.images, train.labels).numpy(),
        },
        ceilings={"entropy": entropy(digits.images).numpy()},
        answers=[{"label": str(label)} for label in digits.labels.tolist()],
        parts={"copies": _copies(draw_digits(run, NUM_DRAWN).distance, nearest(val.images, train.images).distance)},
    )


def _copies(drawn: Tensor, val: Tensor) -> dict[str, Any]:
    drawn_distances, val_distances = drawn.numpy(), val.numpy()
    fifth = np.percentile(val_distances, 5)
    return {
        "num_drawings": len(drawn_distances),
        "percentiles": list(PERCENTILES),
        "drawings": np.percentile(drawn_distances, PERCENTILES).tolist(),
        "validation": np.percentile(val_distances, PERCENTILES).tolist(),
        "closer_than_any": float((drawn_distances < val_distances.min()).mean()),
        "closer_than_95_percent": float((drawn_distances < fifth).mean()),
    }


def parts_of(report: Mapping[str, Any]) -> list[Table | str]:
    """Format the part of a report that only models that draw have.

    Args:
        report: From ``evaluate``.

    Returns:
        For ``print_evaluation``: whether the drawings are copies of training digits.
    """
    copies = report["copies"]
    title = f"distance to the nearest training digit, of {copies['num_drawings']:,} drawings"
    table = right_aligned(Table("percentile", *map(str, copies["percentiles"]), title=title, title_justify="left"))
    for name, distances in (("drawings", copies["drawings"]), ("validation digits", copies["validation"])):
        table.add_row(name, *(f"{distance:.3f}" for distance in distances))
    return [
        table,
        f"drawings closer than any validation digit: {100 * copies['closer_than_any']:.1f}%; closer than the closest 5%: "
        f"{100 * copies['closer_than_95_percent']:.1f}%",
    ]
