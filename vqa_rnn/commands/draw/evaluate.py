"""``vqa-rnn draw evaluate``: the bound of a model on the validation digits, and whether its drawings are copies."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vqa_rnn.commands.draw.sample import draw_digits
from vqa_rnn.metrics.intervals import bootstrap_interval
from vqa_rnn.sequences.draw_data import evaluation_batches
from vqa_rnn.sequences.draw_measures import classes_floor, entropy, nearest, pixels_floor
from vqa_rnn.sequences.draw_run import DrawRun, bound_parts, build_draw, read_same_digits
from vqa_rnn.sequences.run import load_model

NUM_DRAWN = 1000  # drawings whose distance to the training digits is measured
PERCENTILES = (0, 5, 50, 95, 100)


def evaluate(run: DrawRun) -> dict[str, Any]:
    """Measure a model on the validation digits.

    Args:
        run: The run.

    Returns:
        In nats per image: ``bound``, its 95% ``interval`` by bootstrap over images, its parts ``reconstruction`` and
        ``divergence``, the ``floors`` and the ``limit``, which is the entropy of the pixels. ``copies``: percentiles of the L2
        distance to the nearest training digit, of ``drawings`` and of ``validation`` digits, and the shares of drawings that
        are ``closer_than_any`` validation digit and ``closer_than_95_percent`` of them.

    Raises:
        UserError: There are no weights yet, or the digits cannot be read or are not those of the training.
    """
    train, val = read_same_digits(run)
    model = load_model(run, build_draw(run.config, run.entries))
    options, batch_size = run.config.model, run.config.training.batch_size
    parts = bound_parts(model)
    with torch.inference_mode():
        batches = evaluation_batches(val, batch_size, options.steps, options.latent_size)
        parts_N2 = torch.cat([parts(batch) for (batch,) in batches])
    bounds_N = parts_N2.sum(dim=1)
    reconstruction, divergence = parts_N2.mean(dim=0).tolist()
    return {
        "split": "val",
        "num_images": len(bounds_N),
        "bound": float(bounds_N.mean()),
        "interval": bootstrap_interval(bounds_N.numpy(), [str(place) for place in range(len(bounds_N))]),
        "reconstruction": reconstruction,
        "divergence": divergence,
        "floors": {
            "pixels": float(pixels_floor(val.images, train.images).mean()),
            "classes": float(classes_floor(val.images, train.images, train.labels).mean()),
        },
        "limit": float(entropy(val.images).mean()),
        "copies": _copies(draw_digits(run, NUM_DRAWN).distance, nearest(val.images, train.images).distance),
    }


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


def report(result: dict[str, Any]) -> str:
    """Format what ``evaluate`` returns.

    Args:
        result: The result.

    Returns:
        A few lines of text.
    """
    low, high = result["interval"]
    floors, copies = result["floors"], result["copies"]
    lines = [
        f"{result['num_images']:,} validation digits, nats per image (lower is better)",
        f"  bound                     {result['bound']:8.2f}  [{low:.2f}, {high:.2f}]",
        f"    reconstruction          {result['reconstruction']:8.2f}",
        f"    divergence              {result['divergence']:8.2f}",
        f"  floor: independent pixels {floors['pixels']:8.2f}",
        f"  floor: by class           {floors['classes']:8.2f}",
        f"  limit: entropy of pixels  {result['limit']:8.2f}",
        "",
        f"distance to the nearest training digit, of {copies['num_drawings']:,} drawings",
        "  percentile         " + "".join(f"{percentile:8d}" for percentile in copies["percentiles"]),
        "  drawings           " + "".join(f"{distance:8.3f}" for distance in copies["drawings"]),
        "  validation digits  " + "".join(f"{distance:8.3f}" for distance in copies["validation"]),
        f"  drawings closer than any validation digit: {100 * copies['closer_than_any']:.1f}%; closer than the closest 5%: "
        f"{100 * copies['closer_than_95_percent']:.1f}%",
    ]
    return "\n".join(lines)
