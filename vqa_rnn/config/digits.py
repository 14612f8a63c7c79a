"""Where single digits come from, for the configs of readers of glimpses and of models that draw."""

from pathlib import Path
from typing import Literal

DigitSource = Literal["sklearn", "mnist"]
DIGIT_SIZES: dict[DigitSource, int] = {"sklearn": 8, "mnist": 28}
"""Side of a digit in pixels."""


def check_folder(source: DigitSource, folder: Path | None) -> None:
    """Check that a folder is given where it is needed.

    Args:
        source: The digits.
        folder: The folder with the files of MNIST.

    Raises:
        ValueError: The folder is missing for MNIST, or is given for other digits.
    """
    if source == "mnist" and folder is None:
        raise ValueError("source=mnist needs data.folder, the folder with its four files")
    if source != "mnist" and folder is not None:
        raise ValueError(f"data.folder is for source=mnist: leave it out with source={source}")
