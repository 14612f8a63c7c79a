"""``vqa-rnn draw sample``: new digits, drawn step by step."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from vqa_rnn.files import atomic_path
from vqa_rnn.sequences.draw_data import draw_noise
from vqa_rnn.sequences.draw_measures import nearest
from vqa_rnn.sequences.draw_run import DrawRun, build_draw, read_same_digits
from vqa_rnn.sequences.run import load_model

CHUNK = 200  # digits that are drawn at a time
CELL = 0.75  # inches


@dataclass(frozen=True, slots=True)
class Drawn:
    """New digits, each with the nearest training digit.

    Attributes:
        stages: (N, T, S, S) float from 0 to 1, the canvas after each step.
        boxes: (N, T, 4) float x1 y1 x2 y2 in pixels, where each step wrote.
        twins: (N, S, S) float, the nearest training digits by L2 distance.
        labels: (N,) int64, their labels.
        places: (N,) int64, their places among the training digits.
        distance: (N,) float, the distances.
    """

    stages: Tensor
    boxes: Tensor
    twins: Tensor
    labels: Tensor
    places: Tensor
    distance: Tensor

    def nearest(self) -> list[dict[str, Any]]:
        """Describe the nearest training digits.

        Returns:
            For each drawing the ``place`` of the training digit, its ``label`` and the ``distance``.
        """
        values = zip(self.places.tolist(), self.labels.tolist(), self.distance.tolist(), strict=True)
        return [{"place": place, "label": label, "distance": distance} for place, label, distance in values]


def draw_digits(run: DrawRun, num: int, *, seed: int = 0) -> Drawn:
    """Let a model draw.

    Args:
        run: The run.
        num: Number of digits to draw.
        seed: Seed of the random numbers. The first drawings do not depend on how many there are.

    Returns:
        The drawings.

    Raises:
        UserError: There are no weights yet, or the digits cannot be read or are not those of the training.
    """
    train, _ = read_same_digits(run)
    model = load_model(run, build_draw(run.config, run.entries))
    stages, boxes = [], []
    with torch.inference_mode():
        for noise_NTZ in draw_noise(seed, range(num), model.steps, model.latent_size).split(CHUNK):
            drawing = model.sample(noise_NTZ)
            stages.append(drawing.stages())
            boxes.append(drawing.boxes())
    stages_NTSS = torch.cat(stages)
    found = nearest(stages_NTSS[:, -1].float(), train.images)
    return Drawn(
        stages_NTSS, torch.cat(boxes), train.images[found.place], train.labels[found.place], found.place, found.distance
    )


def draw_picture(drawn: Drawn, path: Path) -> None:
    """Draw a row for each digit: the canvas after each step with where it was written to, and the nearest training digit.

    Args:
        drawn: The drawings.
        path: The PNG file.

    Raises:
        UserError: The file cannot be written.
    """
    num, steps, side, _ = drawn.stages.shape
    figure = Figure(figsize=(CELL * (steps + 1.4), CELL * num + 0.4), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(num, steps + 2, squeeze=False, width_ratios=[1] * steps + [0.4, 1])
    for row, cells in enumerate(axes):
        for step, cell in enumerate(cells[:steps]):
            _show(cell, drawn.stages[row, step])
            x1, y1, x2, y2 = (drawn.boxes[row, step].clamp(0.5, side - 0.5) - 0.5).tolist()  # parts outside are left out
            cell.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor="red", linewidth=1))
        cells[-2].axis("off")
        _show(cells[-1], drawn.twins[row])
    for step, cell in enumerate(axes[0, :steps], start=1):
        cell.set_title(f"step {step}" if step == 1 else str(step), fontsize=8)
    axes[0, -1].set_title("nearest", fontsize=8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        canvas.print_png(file)


def _show(axes: Axes, image_SS: Tensor) -> None:
    axes.imshow(image_SS.float().numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
