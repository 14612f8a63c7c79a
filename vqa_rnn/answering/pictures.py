"""Answers as a picture file."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vqa_rnn.answering.answer import Answer
from vqa_rnn.files import atomic_path

MOST_BARS = 5


def draw(answers: Answer | Sequence[Answer], path: str | Path) -> None:
    """Draw answers: the image under its question, where the model looked, and the answers as bars.

    Args:
        answers: One, or several side by side.
        path: The PNG file.

    Raises:
        UserError: An image cannot be read any more, or the file cannot be written.
    """
    answers = [answers] if isinstance(answers, Answer) else list(answers)
    pictures = [answer.pictures() for answer in answers]
    rows = max(1, *map(len, pictures))
    figure = Figure(figsize=(3.6 * len(answers), 3.0 * rows + 1.6), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(rows + 1, len(answers), squeeze=False, height_ratios=[3] * rows + [1.3])
    for answer, seen, column in zip(answers, pictures, axes.T, strict=True):
        for each in column[:-1]:
            each.axis("off")
        for picture, each in zip(seen, column[:-1], strict=False):
            each.imshow(picture, interpolation="nearest")
        column[0].set_title(answer.question, fontsize=11, wrap=True)
        for number, each in enumerate(column[1 : len(seen)], start=1):
            assert answer.maps is not None
            name = f"look {number}" if len(seen) > 2 else "attention"
            each.set_title(f"{name}: {answer.maps[number - 1].max():.0%} in the outlined region", fontsize=9)
        best = answer.answers[:MOST_BARS][::-1]
        bars = column[-1]
        bars.barh([text for text, _ in best], [100 * probability for _, probability in best], color="#4472a8")
        bars.set_xlim(0, 100)
        bars.set_xticks([0, 50, 100], ["0", "50", "100%"])
        bars.tick_params(labelsize=9)
        bars.spines[["top", "right"]].set_visible(False)
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as file:
        canvas.print_png(file)
