"""Pictures in a terminal."""

from importlib import import_module

from rich.console import Console
from rich.text import Text

from vqa_rnn.answering.answer import Answer
from vqa_rnn.answering.looks import side_by_side

CELLS = 30  # columns of one picture


def print_pictures(answer: Answer, console: Console) -> None:
    """Print the image of an answer and where the model looked. Nothing is printed if the answer has no image.

    The pictures are Sixel or Kitty graphics if the terminal supports them. Otherwise, each character shows two pixels as half
    blocks.

    Args:
        answer: The answer.
        console: A terminal.

    Raises:
        UserError: The image can no longer be read.
    """
    pictures = answer.pictures()
    if not pictures:
        return
    renderable = import_module("textual_image.renderable")  # the import asks the terminal what it can draw
    width = min(CELLS * len(pictures), console.width - 2)
    console.print(renderable.Image(side_by_side(pictures), width=width, height="auto"))
    captions = ["the image", *(answer.caption_of(look) for look in range(len(pictures) - 1))]
    console.print(Text("; ".join(captions), "dim"))
