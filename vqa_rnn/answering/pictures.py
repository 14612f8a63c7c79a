"""Drawing answers into a picture file."""

import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vqa_rnn.answering.answer import Answer
from vqa_rnn.files import atomic_path

MOST_BARS = 5
WIDEST_LABEL = 24  # characters of an answer per line, of two lines
WIDEST_TITLE = 40  # characters of a question per line, of three lines
COLUMN_WIDTH, IMAGE_WIDTH = 3.6, 2.8  # inches
WORDS_A_ROW, WORD_WIDTH = 6, 1.7  # pictures of words beside each other, and their width in inches


def draw(answers: Answer | Sequence[Answer], path: str | Path) -> None:
    """Draw answers: the question, the image, where the model looked, the weights of the words, and the answers as bars.

    A caption is drawn with a picture for each of its words, if the model looks before each word.

    Args:
        answers: One answer, or several, which are drawn side by side.
        path: The PNG file.

    Raises:
        UserError: An image can no longer be read, or the file cannot be written.
    """
    answers = [answers] if isinstance(answers, Answer) else list(answers)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # for emoji and scripts that the font lacks
        if all(answer.look_words for answer in answers):
            _draw_captions(answers, Path(path))
        else:
            _draw(answers, Path(path))


def _draw(answers: Sequence[Answer], path: Path) -> None:
    pictures = [answer.pictures() for answer in answers]
    num_pictures = max(1, *map(len, pictures))
    reads_words = any(answer.word_maps is not None for answer in answers)
    tallest = max((seen[0].height / seen[0].width for seen in pictures if seen), default=1.0)
    height = IMAGE_WIDTH * min(tallest, 1.2) + 0.2 if any(pictures) else 0.1
    heights = [height] * num_pictures + [1.4] * reads_words + [1.3]
    figure = Figure(figsize=(COLUMN_WIDTH * len(answers), sum(heights) + 0.7), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(len(heights), len(answers), squeeze=False, height_ratios=heights)
    for answer, seen, column in zip(answers, pictures, axes.T, strict=True):
        for each in column[:-1]:
            each.axis("off")
        for picture, each in zip(seen, column[:num_pictures], strict=False):
            each.imshow(picture, interpolation="nearest")
        column[0].set_title(_plain(_in_lines(answer.question, WIDEST_TITLE, 3)), fontsize=11)
        for number, each in enumerate(column[1 : len(seen)]):
            each.set_title(answer.caption_of(number), fontsize=9)
        if answer.word_maps is not None:
            _draw_words(column[-2], answer)
        _draw_bars(column[-1], answer)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        canvas.print_png(file)


def _draw_captions(answers: Sequence[Answer], path: Path) -> None:
    """Draw where the model looked before each word, as in figure 3 of Xu et al. 2015 (https://arxiv.org/abs/1502.03044)."""
    seen = [answer.pictures() for answer in answers]
    rows = [-(-len(pictures) // WORDS_A_ROW) for pictures in seen]
    tallest = max(pictures[0].height / pictures[0].width for pictures in seen)
    height = WORD_WIDTH * min(tallest, 1.4) + 0.3
    figure = Figure(figsize=(WORD_WIDTH * WORDS_A_ROW, height * sum(rows) + 0.4 * len(answers)), layout="constrained")
    parts = figure.subfigures(len(answers), 1, height_ratios=rows, squeeze=False)[:, 0]
    for answer, pictures, count, part in zip(answers, seen, rows, parts, strict=True):
        part.suptitle(_plain(_in_lines(answer.best, 90, 2)), fontsize=11)
        axes = part.subplots(count, WORDS_A_ROW, squeeze=False).ravel()
        for each in axes:
            each.axis("off")
        for picture, title, each in zip(pictures, ("", *answer.look_words), axes, strict=False):
            each.imshow(picture, interpolation="nearest")
            each.set_title(_plain(title), fontsize=9)
    canvas = FigureCanvasAgg(figure)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        canvas.print_png(file)


def _draw_words(axes: Axes, answer: Answer) -> None:
    """Draw the weight of each word, one row per look."""
    assert answer.word_maps is not None
    axes.axis("on")
    axes.imshow(answer.word_maps, cmap="Blues", vmin=0, aspect="auto", interpolation="nearest")
    axes.set_xticks(
        range(len(answer.words)), [_plain(word) for word in answer.words], rotation=45, ha="right", rotation_mode="anchor"
    )
    looks = len(answer.word_maps)
    axes.set_yticks(range(looks), [str(number) for number in range(1, looks + 1)] if looks > 1 else ["words"])
    axes.set_ylabel("look" if looks > 1 else "", fontsize=8)
    axes.tick_params(labelsize=8, length=0)
    axes.spines[:].set_visible(False)


def _draw_bars(axes: Axes, answer: Answer) -> None:
    best = answer.answers[:MOST_BARS][::-1]
    axes.barh(range(len(best)), [100 * probability for _, probability in best], color="#4472a8")  # labels may be equal
    labels = [_in_lines(text, WIDEST_LABEL, 2) for text, _ in best]
    axes.set_yticks(range(len(best)), [_plain(label) for label in labels], fontsize=6 if "\n" in "".join(labels) else 9)
    axes.set_xlim(0, 100)
    axes.set_xticks([0, 50, 100], ["0", "50", "100%"])
    axes.tick_params(axis="x", labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _in_lines(text: str, width: int, most: int) -> str:
    return "\n".join(textwrap.wrap(text, width, max_lines=most, placeholder=" …"))


def _plain(text: str) -> str:
    """Escape a text that matplotlib would draw as a formula, such as "Is it $5 or $6?"."""
    return text.replace("$", r"\$")
