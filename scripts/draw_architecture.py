"""Draw docs/images/architecture.png: how the model computes an answer from an image, a question and a dialog.

    python scripts/draw_architecture.py [--output FILE.png]

The names of the parts are read from the package. Run the script again when a part is added.
"""

import vqa_rnn  # noqa: F401 - imported before torch, as it sets how threads wait

# isort: split

import argparse
import json
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Polygon, Rectangle

from vqa_rnn.config import FeaturesConfig
from vqa_rnn.files import atomic_path
from vqa_rnn.models.attention import ATTENTIONS
from vqa_rnn.models.fusion import FUSIONS
from vqa_rnn.models.heads import ANSWER_HEADS
from vqa_rnn.models.history import HISTORY_ENCODERS
from vqa_rnn.models.reasoning import REASONING
from vqa_rnn.rnn import CELLS

PICTURE = Path(__file__).parents[1] / "docs/images/architecture.png"
WIDTH, HEIGHT, PER_INCH = 139, 59, 10.4  # size of the drawing in its own units, and units per inch
# Colours that people with colour vision deficiencies can distinguish, after Okabe and Ito.
BLUE, ORANGE, GREEN, PURPLE, GREY, LIGHT = "#0072B2", "#B85400", "#00795A", "#9A4F82", "#555555", "#B8BDC2"
LINE_HEIGHT = 1.8  # of the names in a box
Point = tuple[float, float]


def part_names() -> dict[str, list[str]]:
    """Return the names that each option of the config may have, without ``none``."""
    tables: dict[str, Iterable[str]] = {
        "features.library": get_args(FeaturesConfig.model_fields["library"].annotation),
        "model.question.cell": CELLS,
        "model.history.name": HISTORY_ENCODERS,
        "model.attention.name": ATTENTIONS,
        "model.fusion.name": FUSIONS,
        "model.reasoning.name": REASONING,
        "model.head.name": ANSWER_HEADS,
    }
    return {option: [name for name in names if name != "none"] for option, names in tables.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=PICTURE, help="the PNG file (docs/images/architecture.png)")
    draw(parser.parse_args().output)
    return 0


def draw(path: Path) -> None:
    """Draw the picture. The names are also stored as JSON in the text ``Description`` of the file."""
    names = part_names()
    figure = Figure(figsize=(WIDTH / PER_INCH, HEIGHT / PER_INCH))
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.axis("off")
    top, middle, bottom = 47, 27, 8

    _scene(axes, 10, top)
    _say(axes, 10, middle, "question", "What colour is\nthe square?")
    _say(axes, 10, bottom, "dialog so far", "caption, earlier\nquestions and\nanswers")

    _box(axes, 24, 25, top, BLUE, "Features", "features.library", names)
    _box(axes, 24, 25, middle, ORANGE, "Question encoder", "model.question.cell", names)
    _box(axes, 24, 25, bottom, ORANGE, "History encoder", "model.history.name", names)
    for y in (top, middle, bottom):
        _arrow(axes, (18, y), (24, y))

    axes.add_patch(_rounded(66, 1.5, 43, 56, fc="#F4F5F6", ec=LIGHT, lw=1))
    attention, _ = _box(axes, 68.5, 38, top, GREEN, "Attention", "model.attention.name", names)
    fusion_end, fusion = _box(axes, 68.5, 38, middle, GREEN, "Fusion", "model.fusion.name", names)
    _, reasoning = _box(axes, 68.5, 38, bottom, GREEN, "Reasoning", "model.reasoning.name", names)
    _arrow(axes, (87.5, attention), (87.5, fusion))
    axes.text(89, (attention + fusion) / 2, "image vector", fontsize=9, color=GREY, va="center")
    between = (fusion_end + reasoning) / 2
    axes.text(87.5, between, "or, in place of both", fontsize=10, style="italic", color=GREY, ha="center", va="center")

    _arrow(axes, (49, top), (66, top), "regions of\nthe image")
    _arrow(axes, (49, middle), (61.6, middle), "question vector,\nword states")
    _arrow(axes, (61.6, middle), (66, middle))
    axes.plot((49, 61.6, 61.6), (bottom, bottom, middle), color=GREY, lw=1.4, solid_joinstyle="round", zorder=1)
    axes.add_patch(Circle((61.6, middle), 1.1, fc="white", ec=GREY, lw=1.4, zorder=3))
    axes.text(61.6, middle - 0.05, "+", fontsize=11, color=GREY, ha="center", va="center", zorder=4)

    _, head = _box(axes, 117.5, 20, middle, PURPLE, "Answer head", "model.head.name", names)
    _arrow(axes, (109, middle), (117.5, middle), "joint\nvector")
    _say(axes, 127.5, top, "answer", "orange")
    _arrow(axes, (127.5, head), (127.5, top - 1.7))

    with atomic_path(path) as temporary, temporary.open("wb") as file:
        figure.set_dpi(150)
        canvas.print_png(file, metadata={"Title": "vqa-rnn", "Description": json.dumps(names)})


def _box(
    axes: Axes, x: float, width: float, y: float, colour: str, title: str, option: str, names: dict[str, list[str]]
) -> tuple[float, float]:
    """Draw a part centred at the height ``y``: its title, its option and the names; return its lower and upper end."""
    lines = textwrap.wrap(", ".join(names[option]), width=int(1.33 * width - 4))
    height = 7.4 + LINE_HEIGHT * len(lines)
    start = y + height / 2
    axes.add_patch(_rounded(x, y - height / 2, width, height, fc="white", ec=colour, lw=1.6))
    axes.text(x + 1.5, start - 2.3, title, fontsize=12, fontweight="bold", color=colour, va="center")
    axes.text(x + 1.5, start - 4.6, option, fontsize=8.5, family="monospace", color=GREY, va="center")
    axes.text(x + 1.5, start - 6.1, "\n".join(lines), fontsize=9, family="monospace", va="top", linespacing=1.35)
    return start - height, start


def _say(axes: Axes, x: float, y: float, title: str, text: str) -> None:
    """Draw a speech bubble with a title above it."""
    above = 2.3 + 0.9 * text.count("\n")
    axes.text(x, y + above + 0.8, title, fontsize=10, color=GREY, ha="center", va="center")
    box = {"boxstyle": "round,pad=0.45,rounding_size=0.4", "fc": "#F4F5F6", "ec": LIGHT}
    axes.text(x, y, text, fontsize=10, ha="center", va="center", bbox=box)


def _scene(axes: Axes, x: float, y: float) -> None:
    """Draw the image with three shapes."""
    axes.text(x, y + 8.2, "image", fontsize=10, color=GREY, ha="center", va="center")
    axes.add_patch(Rectangle((x - 7, y - 7), 14, 14, fc="#E8ECEF", ec=LIGHT))
    axes.add_patch(Rectangle((x - 5, y - 4.5), 5, 5, fc="#E69F00"))
    axes.add_patch(Circle((x + 3, y + 2.5), 2.4, fc="#56B4E9"))
    axes.add_patch(Polygon([(x + 1, y - 5), (x + 5, y - 5), (x + 3, y - 1.5)], fc="#009E73"))


def _rounded(x: float, y: float, width: float, height: float, **style: Any) -> FancyBboxPatch:
    return FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=1", **style)


def _arrow(axes: Axes, start: Point, end: Point, text: str = "") -> None:
    """Draw an arrow with a text above it."""
    style = {"arrowstyle": "-|>,head_width=0.25,head_length=0.5", "color": GREY, "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style)
    axes.text((start[0] + end[0]) / 2, start[1] + 0.9, text, fontsize=9, color=GREY, ha="center", va="bottom")


if __name__ == "__main__":
    sys.exit(main())
