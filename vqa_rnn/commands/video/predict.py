"""``vqa-rnn video predict``: labels for frames, and a picture of them."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from vqa_rnn.config.video import FrameFiles
from vqa_rnn.errors import UserError
from vqa_rnn.features.detectors import Detector
from vqa_rnn.features.extractor import open_extractor
from vqa_rnn.features.images import read_image
from vqa_rnn.files import atomic_path
from vqa_rnn.sequences.video_data import VideoBatch
from vqa_rnn.sequences.video_run import VideoRun, load_video_model, source_of

IMAGE_SUFFIXES = frozenset(Image.registered_extensions())
FRAMES_A_ROW = 12


@dataclass(frozen=True, slots=True)
class Prediction:
    """The labels of a video.

    Attributes:
        frames: The files of its T frames.
        label: The label of the video; None if the model labels frames.
        probability: Its probability; None if the model labels frames.
        frame_labels: The label of each frame; if the model labels videos, the label of the video up to that frame.
        frame_probabilities: Their probabilities.
    """

    frames: tuple[Path, ...]
    label: str | None
    probability: float | None
    frame_labels: tuple[str, ...]
    frame_probabilities: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON.

        Returns:
            ``frames``, a list with ``frame``, ``label`` and ``probability``; before it ``label`` and ``probability``, if the
            model labels videos.
        """
        labelled = zip(self.frames, self.frame_labels, self.frame_probabilities, strict=True)
        frames = [{"frame": str(frame), "label": label, "probability": value} for frame, label, value in labelled]
        whole = {} if self.label is None else {"label": self.label, "probability": self.probability}
        return {**whole, "frames": frames}


def list_frames(places: Sequence[Path]) -> tuple[Path, ...]:
    """List the frames of a video.

    Args:
        places: Image files in order, or one folder.

    Returns:
        The files; those of a folder are sorted by name, with numbers in them by value.

    Raises:
        UserError: There is nothing at the only place, or the folder has no image files.
    """
    if len(places) == 1 and not places[0].exists():
        raise UserError(f"no image or folder at {places[0]}: give the frames of one video in order, or their folder")
    if len(places) != 1 or not places[0].is_dir():
        return tuple(places)
    (folder,) = places
    frames = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    if not frames:
        raise UserError(f"{folder} has no image files: give the folder of the frames of one video")
    return tuple(sorted(frames, key=_in_natural_order))


def predict(run: VideoRun, frames: Sequence[Path]) -> Prediction:
    """Label a video.

    Args:
        run: The run.
        frames: The files of its frames in order, at least one.

    Returns:
        The labels.

    Raises:
        UserError: A frame cannot be read, or the network that made the features of training is not available.
    """
    model = load_video_model(run)
    read = _read_features(run, frames) if isinstance(run.config.data, FrameFiles) else _read_pixels(run, frames)
    labels_frames = run.config.model.output == "frame"
    ends = [len(frames)] if labels_frames else range(1, len(frames) + 1)
    parts = []
    with torch.inference_mode():
        for end in ends:
            batch = VideoBatch(torch.from_numpy(read[:end]), torch.tensor([end]), torch.zeros(1), torch.zeros(1))
            parts.append(model(batch).double().softmax(dim=1))
    probabilities, numbers = torch.cat(parts).max(dim=1)
    labels = tuple(run.entries[number] for number in numbers.tolist())
    values = tuple(probabilities.tolist())
    if labels_frames:
        return Prediction(tuple(frames), None, None, labels, values)
    return Prediction(tuple(frames), labels[-1], values[-1], labels, values)


def draw(prediction: Prediction, path: Path) -> None:
    """Draw the frames in rows, with the label under each.

    Args:
        prediction: From ``predict``.
        path: The PNG file.

    Raises:
        UserError: The file cannot be written.
    """
    frames = prediction.frames
    columns = min(len(frames), FRAMES_A_ROW)
    rows = -(-len(frames) // columns)
    figure = Figure(figsize=(1.15 * columns, 1.45 * rows + (0 if prediction.label is None else 0.35)), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for each in axes:
        each.axis("off")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        for each, frame, label in zip(axes, frames, prediction.frame_labels, strict=False):
            each.imshow(read_image(frame), interpolation="nearest")
            each.text(0.5, -0.06, _plain(label), transform=each.transAxes, ha="center", va="top", fontsize=9)
        if prediction.label is not None:
            figure.suptitle(f"{_plain(prediction.label)} ({100 * (prediction.probability or 0):.1f}%)", fontsize=11)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            canvas.print_png(file)


def _plain(text: str) -> str:
    """Escape a text that matplotlib would draw as a formula."""
    return text.replace("$", r"\$")


def _in_natural_order(path: Path) -> list[tuple[int, str]]:
    """Return a sort key with which ``2.png`` comes before ``10.png``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _read_pixels(run: VideoRun, frames: Sequence[Path]) -> NDArray[np.uint8]:
    """Return (T, S, S, 3) frames, scaled to the size of training."""
    assert not isinstance(run.config.data, FrameFiles)
    size = (run.config.data.image_size,) * 2
    images = [read_image(frame) for frame in frames]
    return np.stack([np.asarray(image if image.size == size else image.resize(size)) for image in images])


def _read_features(run: VideoRun, frames: Sequence[Path]) -> NDArray[np.float32]:
    """Return (T, D) features of frames, made as those of training."""
    source, data = source_of(run), run.config.data
    assert source is not None
    assert isinstance(data, FrameFiles)
    if data.features.library == "imported":
        raise UserError(f"{run.path} was trained on imported features: nothing here can make the same ones of other frames")
    extractor = open_extractor(data.features, "cpu", source.compute)
    assert not isinstance(extractor, Detector), "a frame is one vector"
    if extractor.fingerprint != source.fingerprint:
        raise UserError(
            f"{run.path} was trained on features that {data.features.backbone_name} made with other weights than those at hand"
        )
    parts = []
    for start in range(0, len(frames), extractor.batch_rows):
        some = frames[start : start + extractor.batch_rows]
        parts.append(extractor.regions([extractor.transform.load(frame) for frame in some])[:, 0].astype(np.float32))
    return np.concatenate(parts)
