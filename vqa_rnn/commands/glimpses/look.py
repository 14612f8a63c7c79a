"""``vqa-rnn glimpses look``: pictures of where a reader looks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from vqa_rnn.errors import UserError
from vqa_rnn.files import atomic_path
from vqa_rnn.progress import counted
from vqa_rnn.sequences.glimpses_data import fixed_scenes
from vqa_rnn.sequences.glimpses_run import GlimpsesRun, build_reader, read_scenes, text_of
from vqa_rnn.sequences.run import load_model

COLUMNS = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """A scene and how it was read.

    Attributes:
        image: (S, S) float32.
        places: (K, 2) float, x and y of the centre of each glimpse from -1 to 1.
        read: The digits that were read.
        correct: The digits that are there.
        looks_per_target: Glimpses for each digit and the end.
    """

    image: NDArray[np.float32]
    places: NDArray[np.float32]
    read: str
    correct: str
    looks_per_target: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON.

        Returns:
            ``read``, ``correct`` and ``places``.
        """
        return {"read": self.read, "correct": self.correct, "places": self.places.tolist()}


def look(run: GlimpsesRun, num_scenes: int) -> list[Seen]:
    """Read the first validation scenes.

    Args:
        run: The run.
        num_scenes: Number of scenes.

    Returns:
        The scenes.

    Raises:
        UserError: There are fewer scenes, the digits cannot be read, or there are no weights yet.
    """
    if num_scenes > run.config.data.num_val:
        raise UserError(f"--num {num_scenes}: {run.path} has {counted(run.config.data.num_val, 'validation scenes')}")
    scenes = fixed_scenes(run.config.data).take(slice(num_scenes))
    found = read_scenes(load_model(run, build_reader(run.config, run.entries)), scenes)
    read, correct = (
        [text_of(classes, run.entries) for classes in lists] for lists in (found.classes.tolist(), scenes.targets.tolist())
    )
    places = found.places.float().numpy()
    return [
        Seen(scenes.images[n], places[n], read[n], correct[n], run.config.model.glimpses_per_digit) for n in range(num_scenes)
    ]


def draw(seen: list[Seen], glimpse_size: int, path: Path) -> None:
    """Draw scenes with the path of the glimpses: numbered boxes of the size of the finest patch, joined by a line.

    Args:
        seen: The scenes.
        glimpse_size: Side of a glimpse in pixels.
        path: The PNG file.

    Raises:
        UserError: The file cannot be written.
    """
    rows, columns = -(-len(seen) // COLUMNS), min(len(seen), COLUMNS)
    figure = Figure(figsize=(3.2 * columns, 3.5 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, scene in zip(axes, seen, strict=False):
        _draw_scene(axis, scene, glimpse_size)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _draw_scene(axis: Axes, scene: Seen, glimpse_size: int) -> None:
    side = scene.image.shape[0]
    axis.imshow(scene.image, cmap="gray", vmin=0, vmax=1)
    centres_K2 = (scene.places + 1) / 2 * side - 0.5  # a pixel's centre has whole numbers
    axis.plot(centres_K2[:, 0], centres_K2[:, 1], color="white", linewidth=1, alpha=0.8)
    num_targets = len(centres_K2) / scene.looks_per_target
    for number, (x, y) in enumerate(centres_K2.tolist()):
        colour = colormaps["plasma"](0.45 + 0.45 * (number // scene.looks_per_target) / max(num_targets - 1, 1))
        corner = x - glimpse_size / 2, y - glimpse_size / 2
        axis.add_patch(Rectangle(corner, glimpse_size, glimpse_size, fill=False, edgecolor=colour, linewidth=1.5))
        # each number has a place of its own along the upper edge, so that boxes on top of each other stay readable
        shift = glimpse_size * (0.12 + 0.76 * number / max(len(centres_K2) - 1, 1))
        axis.text(
            corner[0] + shift, corner[1], str(number + 1), color="black", fontsize=8, ha="center", va="center",
            bbox={"boxstyle": "round,pad=0.15", "facecolor": colour, "edgecolor": "none"},
        )  # fmt: skip
    axis.set_xlim(-glimpse_size / 2, side - 1 + glimpse_size / 2)
    axis.set_ylim(side - 1 + glimpse_size / 2, -glimpse_size / 2)
    is_right = scene.read == scene.correct
    axis.set_title(f"read {scene.read}" if is_right else f"read {scene.read or 'nothing'}, not {scene.correct}", fontsize=11)
    axis.title.set_color("black" if is_right else "firebrick")
