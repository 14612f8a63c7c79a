"""What backbones and text encoders of Hugging Face's transformers have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from vqa_rnn.errors import UserError

HUB = "hub"


def library() -> Any:
    """Hugging Face's transformers. It takes most of a second to import, which only those wait for who use it.

    Returns:
        The module.
    """
    return import_module("transformers")


def check_source(option: str, name: str, advice: str = "") -> None:
    """Refuse what can be neither a folder nor a name on the hub, before the hub is asked.

    Args:
        option: Where it was given, for the message.
        name: A name on the hub, ``NAME`` or ``OWNER/NAME``, or a folder.
        advice: What else to say, where it is neither.

    Raises:
        UserError: It is neither.
    """
    if not Path(name).is_dir() and (name.startswith(("/", ".", "~")) or name.count("/") > 1):
        raise UserError(f"{option}={name}: there is no such folder" + (f" ({advice})" if advice else ""))


def fetch(path: str | Path) -> Path:
    """Download a folder from the hub, unless it is on this machine.

    Args:
        path: ``hub:OWNER/NAME``, or the path of a folder.

    Returns:
        The folder; of the hub's, in the library's cache.

    Raises:
        UserError: The hub has no such folder, or cannot be reached.
    """
    kind, _, name = str(path).partition(":")
    if kind != HUB:
        return Path(path)
    hub = import_module("huggingface_hub")  # it takes a second to import
    try:
        return Path(hub.snapshot_download(name))
    except Exception as error:  # of the network, of the hub, of a name that is none
        raise UserError(f"cannot get {path}: {' '.join(str(error).split())}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Let transformers show no bars and no remarks meanwhile.

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
