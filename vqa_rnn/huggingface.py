"""Functions shared by the backbones and the text encoders of Hugging Face transformers."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from vqa_rnn.errors import UserError

HUB = "hub"


def library() -> Any:
    """Import Hugging Face transformers. The import takes most of a second, so it is delayed until first use.

    Returns:
        The module.
    """
    return import_module("transformers")


def check_source(option: str, name: str, advice: str = "") -> None:
    """Check that a source is a folder or may be a name on the hub, before it is looked up on the hub.

    Args:
        option: The option that gave the source, for the error message.
        name: A name on the hub, ``NAME`` or ``OWNER/NAME``, or a folder.
        advice: Advice to add to the error message.

    Raises:
        UserError: The source is a path, but there is no such folder.
    """
    if not Path(name).is_dir() and (name.startswith(("/", ".", "~")) or name.count("/") > 1):
        raise UserError(f"{option}={name}: there is no such folder" + (f" ({advice})" if advice else ""))


def fetch(path: str | Path) -> Path:
    """Download a folder from the hub; a local folder is returned as it is.

    Args:
        path: ``hub:OWNER/NAME``, or the path of a folder.

    Returns:
        The folder; if it comes from the hub, a folder in the library's cache.

    Raises:
        UserError: The hub has no such folder, or cannot be reached.
    """
    kind, _, name = str(path).partition(":")
    if kind != HUB:
        return Path(path)
    hub = import_module("huggingface_hub")  # the import takes a second
    try:
        return Path(hub.snapshot_download(name))
    except Exception as error:  # network and hub errors, invalid names
        raise UserError(f"cannot get {path}: {' '.join(str(error).split())}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars and the warnings of transformers while the block runs.

    Yields:
        Nothing.
    """
    logging = library().utils.logging
    level, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if has_bar:
            logging.enable_progress_bar()
