"""``vqa-rnn serve``: a web page to ask a trained model."""

import logging
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from vqa_rnn.answering.session import load
from vqa_rnn.engines.interruption import Interruption
from vqa_rnn.page.examples import find_examples
from vqa_rnn.page.server import serve_page

log = logging.getLogger("vqa_rnn")

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(
    path: Path, host: str = "127.0.0.1", port: int | None = None, weights: str | None = None, *, with_examples: bool = True
) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Args:
        path: As in ``answering.session.load``.
        host: The address to listen on.
        port: The port; defaults to the first free one from 7860.
        weights: New location of the backbone's weights, if they moved since training.
        with_examples: Show example images of the run's data set.

    Raises:
        UserError: The model cannot be opened, or the port is in use.
    """
    is_on_hub = str(path).startswith(("hf:", "hub:"))
    source = str(path) if is_on_hub else str(path.resolve())
    session = load(source, weights)
    title = source if is_on_hub else Path(source).name
    examples = find_examples(session) if with_examples else []
    if host not in LOOPBACK:
        log.warning("everybody who reaches %s can ask this model: the page has no password", host)
    with serve_page(session, title, examples, host, port) as url, Interruption() as stop:
        Console().print(Text(f"{title} can be asked at {url} (Ctrl-C to stop)"), soft_wrap=True)
        while not stop.number:
            time.sleep(0.2)
