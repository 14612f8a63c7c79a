"""``vqa-rnn serve``: a web page."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from vqa_rnn.errors import UserError


def serve(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder or an exported one, such as runs/demo.")],
    host: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 gives other machines access, without a password."),
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to listen on; by default the first free one from 7860.")
    ] = None,
    examples: Annotated[
        bool, typer.Option(help="Show example images from the validation split, if they are on this machine.")
    ] = True,
    weights: Annotated[
        str | None, typer.Option(metavar="PATH", help="New location of the backbone's weights, if they moved since training.")
    ] = None,
) -> None:
    """Serve a web page to ask a trained model: upload an image, ask, see the answers and where the model looked.

    Only this machine can open the page, unless --host is given. The page loads nothing from the internet.
    RUN may also be hub:OWNER/NAME, an exported model on the Hugging Face hub, or hf:OWNER/NAME, a ViLT or BLIP model there.

    Example: vqa-rnn serve runs/demo --port 8000
    """
    if find_spec("gradio") is None:
        raise UserError('serve needs Gradio: pip install "vqa-rnn[web]"')
    from vqa_rnn.commands.serve import serve

    serve(run, host, port, weights, with_examples=examples)
