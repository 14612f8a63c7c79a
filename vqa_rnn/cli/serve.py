"""``vqa-rnn serve``: a web page."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.errors import UserError


def serve(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder or an exported one, such as runs/demo.")],
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0 lets other machines in, without a password.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="By default the first free one from 7860.")] = None,
    examples: Annotated[bool, typer.Option(help="Show images of the validation split, where they are on this machine.")] = True,
    weights: Annotated[
        str | None, typer.Option(metavar="PATH", help="Where the backbone's weights are now, if they moved since training.")
    ] = None,
) -> None:
    """Open a web page to ask a trained model: upload an image, ask, see the answers and where the model looked.

    The page is seen on this machine only, unless --host says otherwise, and it loads nothing from the internet.
    RUN may also be hub:OWNER/NAME, an exported model on the Hugging Face hub, or hf:OWNER/NAME, a ViLT or BLIP model there.

    Example: vqa-rnn serve runs/demo --port 8000
    """
    if find_spec("gradio") is None:
        raise UserError('serve needs Gradio: pip install "vqa-rnn[web]"')
    from vqa_rnn.commands.serve import serve

    serve(run, host, port, weights, with_examples=examples)
