"""Pictures in a terminal."""

from importlib import import_module

from rich.console import Console
from rich.text import Text

from vqa_rnn.answering.answer import Answer
from vqa_rnn.answering.looks import side_by_side

CELLS = 30  # columns of one picture


def print_pictures(answer: Answer, console: Console) -> None:
    """Print the image of an answer and where the model looked, as Sixel or Kitty graphics where the terminal has them.

    Elsewhere two pixels are one half block.

    Args:
        answer: The answer.
        console: A terminal.

    Raises:
        UserError: The image cannot be read any more.
    """
    pictures = answer.pictures()
    if not pictures:
        return
    renderable = import_module("textual_image.renderable")  # it asks the terminal what it can draw
    width = min(CELLS * len(pictures), console.width - 2)
    console.print(renderable.Image(side_by_side(pictures), width=width, height="auto"))
    captions = ["the image", *(answer.caption_of(look) for look in range(len(pictures) - 1))]
    console.print(Text("; ".join(captions), "dim"))
