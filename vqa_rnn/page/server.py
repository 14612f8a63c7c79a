"""The server of the page."""

import errno
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio as gr

from vqa_rnn.answering.protocol import AnySession
from vqa_rnn.errors import UserError
from vqa_rnn.page.examples import Example
from vqa_rnn.page.layout import build_page

PORTS = range(7860, 7960)
LARGEST_UPLOAD = 20 * 2**20  # bytes
MOST_COUNTED = 100  # events whose durations Gradio keeps, to estimate waiting times
MOST_VISITORS = 200  # whose image and dialog are kept; those inactive the longest start anew


@contextmanager
def serve_page(
    session: AnySession, title: str, examples: Sequence[Example], host: str = "127.0.0.1", port: int | None = None
) -> Iterator[str]:
    """Serve the page from background threads while the block runs. Uploads are deleted at the end.

    Args:
        session: A session with the model.
        title: The title of the page.
        examples: The examples to show.
        host: The address to listen on.
        port: The port; defaults to the first free one of ``PORTS``.

    Yields:
        The URL of the page.

    Raises:
        UserError: The port is not free, or the host is not an address of this machine.
    """
    port = _free_port(host, port)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio requests its own page once
    with (
        TemporaryDirectory(prefix="vqa-rnn-page-") as uploads,  # readable only by this user
        _environment(GRADIO_TEMP_DIR=uploads, GRADIO_ANALYTICS_MAX_EVENTS=str(MOST_COUNTED)),
    ):
        page = build_page(session, title, examples)
        _, url, _ = page.launch(
            server_name=f"[{host}]" if ":" in host else host,
            server_port=port,
            share=False,
            inbrowser=False,
            quiet=True,
            prevent_thread_lock=True,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            enable_monitoring=False,
            run_history=False,
            footer_links=["api"],
            max_file_size=LARGEST_UPLOAD,
            state_session_capacity=MOST_VISITORS,
            theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
            css_paths=Path(__file__).with_name("page.css"),
        )
        try:
            yield url
        finally:
            page.close(verbose=False)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables while the block runs: Gradio reads some options from them repeatedly."""
    before = {name: os.environ.get(name) for name in values}
    os.environ |= values
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _free_port(host: str, port: int | None) -> int:
    """Return the port if it is free; without a port, the first free one of ``PORTS``."""
    for candidate in PORTS if port is None else (port,):
        try:
            with socket.create_server((host, candidate), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
                return candidate
        except OSError as error:
            reason = str(error.strerror).partition(" (while")[0].lower()  # the rest repeats the address
            if error.errno != errno.EADDRINUSE:
                break
    raise UserError(f"cannot serve at {host}, port {candidate}: {reason}; give another one")
