"""``vqa-rnn generate``: generated data sets of drawn scenes."""

import os
import shlex
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from preprocessing.shapes_captions import write_shapes_captions
from preprocessing.shapes_dialog import write_shapes_dialog
from preprocessing.shapes_vqa import write_shapes_vqa
from vqa_rnn.errors import UserError
from vqa_rnn.files import unknown_name, write_json
from vqa_rnn.records import Split

MARK = "generated.json"
"""The file in each generated folder that describes how it was generated. Folders without it are never replaced."""
HELD_OUT_SHARE = 0.1
"""Number of val images, and of test images, per training image."""


class _Generated(NamedTuple):
    """A data set that can be generated: the function that writes it, and its default number of training images."""

    write: Callable[[Path, Mapping[Split, int], int], dict[str, int]]
    images: int


GENERATED = {
    "shapes_captions": _Generated(write_shapes_captions, images=10_000),
    "shapes_dialog": _Generated(write_shapes_dialog, images=20_000),
    "shapes_vqa": _Generated(write_shapes_vqa, images=4000),
}


@dataclass(frozen=True, slots=True)
class GenerationReport:
    """Report of a generated data set.

    Attributes:
        dataset: Name of the data set.
        folder: Its folder.
        seed: The seed that it was generated with.
        counts: Numbers of images and of rounds or questions, by part.
        seconds: How long it took.
    """

    dataset: str
    folder: Path
    seed: int
    counts: dict[str, int]
    seconds: float


def generate(
    name: str, folder: Path | None = None, images: int | None = None, seed: int = 0, *, overwrite: bool = False
) -> GenerationReport:
    """Write a generated data set. If this fails, nothing is written.

    Args:
        name: One of ``GENERATED``.
        folder: The folder to write; defaults to ``data/NAME``.
        images: Number of training images; defaults to 20,000 for dialogs, 10,000 for captions and 4,000 for questions.
        seed: The same seed gives the same files.
        overwrite: Replace what was generated there before.

    Returns:
        The report.

    Raises:
        UserError: The data set is unknown, or ``folder`` exists already or cannot be written.
    """
    if name not in GENERATED:
        raise UserError(unknown_name("generated data set", name, GENERATED))
    folder = folder or Path("data") / name
    _check_free(folder, overwrite)
    train = images or GENERATED[name].images
    held_out = max(1, round(HELD_OUT_SHARE * train))
    started = time.perf_counter()
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        counts = GENERATED[name].write(temporary, {"train": train, "val": held_out, "test": held_out}, seed)
        write_json(temporary / MARK, {"dataset": name, "seed": seed, **counts})
        if folder.exists():  # _check_free has found that it may be replaced
            shutil.rmtree(folder)
        temporary.replace(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return GenerationReport(name, folder, seed, counts, time.perf_counter() - started)


def _check_free(folder: Path, overwrite: bool) -> None:
    if not folder.name:
        raise UserError(f"--folder {folder} has no name: give that of a folder to be made")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / MARK).is_file():
        raise UserError(f"{folder} exists and was not generated: give another --folder")
    if not overwrite:
        raise UserError(f"{folder} already exists: give another --folder, or --overwrite to replace it")


def what_next(report: GenerationReport) -> str:
    """Describe what was written and which command reads it.

    Args:
        report: The report.

    Returns:
        Two lines.
    """
    counts = ", ".join(f"{count:,} {part.replace('_', ' ')}" for part, count in report.counts.items())
    place = ""
    if report.folder != Path("data") / report.dataset:
        has_path = report.dataset == "shapes_captions"
        key, value = ("path", report.folder / "captions.jsonl") if has_path else ("root", report.folder)
        place = f" dataset.{key}={shlex.quote(str(value))}"
    return f"{report.folder}: {counts} ({report.seconds:.0f} s)\nNext: vqa-rnn preprocess {report.dataset}{place}"
