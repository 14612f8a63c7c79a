"""The HTML of the page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vqa_rnn.answering.answer import Answer
from vqa_rnn.answering.looks import SMALL, data_url, thumbnail
from vqa_rnn.answering.protocol import About
from vqa_rnn.features.images import read_image
from vqa_rnn.page.examples import Example
from vqa_rnn.page.visitor import Visitor
from vqa_rnn.templates import html_templates

LARGE = 2  # number of looks that are shown large; if there are more, all are thumbnails

_templates = html_templates(Path(__file__).parent)
_templates.filters["percent"] = lambda value: f"{100 * value:.1f}%"


def show_about(about: About, title: str) -> str:
    """Render the description of the model.

    Args:
        about: The description.
        title: The title of the page.

    Returns:
        HTML.
    """
    return _templates.get_template("about.html").render(about=about, title=title)


def show_answer(visitor: Visitor, problem: str = "") -> str:
    """Render the last answer and where the model looked.

    Args:
        visitor: The visitor.
        problem: An error message to show; may be empty.

    Returns:
        HTML.
    """
    answer = visitor.answers[-1] if visitor.answers else None
    looks = [] if answer is None else _looks(answer)
    if visitor.occlusion is not None:
        looks += _looks(visitor.occlusion)
    needs_image = visitor.session.sees_images and visitor.picture is None
    return _templates.get_template("answer.html").render(problem=problem, answer=answer, looks=looks, needs_image=needs_image)


def show_dialog(visitor: Visitor) -> str:
    """Render the dialog so far.

    Args:
        visitor: The visitor.

    Returns:
        HTML; empty if there is no caption and no round.
    """
    session = visitor.session
    return _templates.get_template("dialog.html").render(session=session) if session.caption or session.rounds else ""


def show_examples(examples: Sequence[Example]) -> str:
    """Render a button for each example, with a small image and the question.

    Args:
        examples: The examples.

    Returns:
        HTML.

    Raises:
        UserError: An image cannot be read.
    """
    shown = [
        {"question": example.question, **_as_img(thumbnail(read_image(example.image, intensity="image")))}
        for example in examples
    ]
    return _templates.get_template("examples.html").render(examples=shown)


def _looks(answer: Answer) -> list[dict[str, Any]]:
    """Return the caption and the ``img`` values of each look."""
    pictures = answer.pictures()[1:]
    if len(pictures) > LARGE:
        pictures = [thumbnail(picture) for picture in pictures]
    return [{"caption": answer.caption_of(look), **_as_img(picture)} for look, picture in enumerate(pictures)]


def _as_img(picture: Image.Image) -> dict[str, Any]:
    """Return the values for an ``img``; ``is_small`` keeps the browser from blurring a small picture."""
    return {"url": data_url(picture), "is_small": max(picture.size) <= SMALL}
