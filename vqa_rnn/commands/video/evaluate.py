"""``vqa-rnn video evaluate``: the accuracy of a run, by class, with floors beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vqa_rnn.commands.video.data import Videos, read_data
from vqa_rnn.commands.video.train import batches_of
from vqa_rnn.engines import choose_device, computing_with
from vqa_rnn.errors import UserError
from vqa_rnn.files import write_json
from vqa_rnn.metrics.intervals import FEWEST_IMAGES, bootstrap_interval
from vqa_rnn.sequences.moving_shapes import SPLITS, Split
from vqa_rnn.sequences.video import VideoModel
from vqa_rnn.sequences.video_data import VideoSet
from vqa_rnn.sequences.video_run import VideoRun, load_video_model, source_of

SHUFFLE_SEED = 0

FLOOR_NAMES = {
    "most_frequent_label": "most frequent label of training",
    "shuffled_frames": "this model, frames shuffled",
    "last_frame": "this model, last frame only",
    "single_frames": "this model, each frame alone",
}


def evaluate(run: VideoRun, split: Split | None = None) -> dict[str, Any]:
    """Evaluate a run, and write ``evaluation/SPLIT.json`` into its folder.

    Args:
        run: The run.
        split: The split; by default ``test`` if there are such videos, else ``val``.

    Returns:
        ``split``, ``num_videos``, ``num_labels``, ``metrics``, ``intervals`` (95%, by bootstrap over videos), ``per_class``
        with ``accuracy`` and ``count`` of each label, and ``floors`` with ``accuracy`` and ``interval`` of each: the most
        frequent label of the training videos; this model with shuffled frames; and this model with the last frame only (for
        labels of frames, with each frame alone).

    Raises:
        UserError: The split has no videos, they cannot be read, or features were made by something else than in training.
    """
    config = run.config
    device = choose_device(config.run.device)
    data = read_data(config, SPLITS)
    _check_source(run, data)
    chosen: Split = split or ("test" if "test" in data.sets else "val")
    if chosen not in data.sets:
        raise UserError(f"{run.path} has no {chosen} videos: give --split {' or --split '.join(data.sets)}")
    videos, counts = data.sets[chosen], np.bincount(np.concatenate(data.sets["train"].labels), minlength=len(run.entries))
    with computing_with(run.threads, device):
        model = load_video_model(run, device)
        variants = {"shuffled_frames": videos.shuffled(SHUFFLE_SEED)}
        variants["last_frame" if videos.output == "sequence" else "single_frames"] = videos.of_one_frame()
        right = _correct(model, videos, run, device)
        floors = {name: _correct(model, changed, run, device) for name, changed in variants.items()}
    labels = np.concatenate(videos.labels)
    ids = [name for name, each in zip(videos.names, videos.labels, strict=True) for _ in each]
    floors = {"most_frequent_label": (labels == counts.argmax()).astype(np.float64), **floors}
    report = {
        "split": chosen,
        "num_videos": len(videos.rows),
        "num_labels": len(labels),
        "metrics": {"accuracy": float(right.mean())},
        "intervals": {"accuracy": list(bootstrap_interval(right, ids))},
        "per_class": {
            entry: {"accuracy": float(right[labels == number].mean()), "count": int((labels == number).sum())}
            for number, entry in enumerate(run.entries)
            if (labels == number).any()
        },
        "floors": {
            name: {"accuracy": float(scores.mean()), "interval": list(bootstrap_interval(scores, ids))}
            for name, scores in floors.items()
        },
    }
    write_json(run.path / "evaluation" / f"{chosen}.json", report)
    return report


@torch.inference_mode()
def _correct(model: VideoModel, videos: VideoSet, run: VideoRun, device: torch.device) -> NDArray[np.float64]:
    """Return whether each label is correct, in the order of the videos."""
    parts = []
    for (batch,) in batches_of(videos, run.config, shuffle=False):
        there = batch.to(device)
        parts.append((model(there).argmax(dim=1) == there.labels).cpu().numpy())
    return np.concatenate(parts).astype(np.float64)


def _check_source(run: VideoRun, data: Videos) -> None:
    source = source_of(run)
    if source is not None and data.source is not None and source.fingerprint != data.source.fingerprint:
        raise UserError(f"{run.path} was trained on features that another network or other weights made: restore that store")


def print_evaluation(report: Mapping[str, Any], name: str) -> None:
    """Print the report of ``evaluate``.

    Args:
        report: The report.
        name: The run.
    """
    few = report["num_videos"] < FEWEST_IMAGES
    counts = f"{report['num_videos']:,} videos, {report['num_labels']:,} labels"
    title = f"{escape(name)}, {report['split']} split, {counts}{' (too few for an interval)' if few else ''}"
    table = Table("", "accuracy", "95% interval", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"

    def interval(ends: Sequence[float]) -> str:
        return "-" if few else f"{100 * ends[0]:.2f} to {100 * ends[1]:.2f}"

    score, ends = report["metrics"]["accuracy"], report["intervals"]["accuracy"]
    table.add_row("[bold]this model", f"[bold]{100 * score:.2f}%", interval(ends))
    for floor, values in report["floors"].items():
        table.add_row(FLOOR_NAMES[floor], f"{100 * values['accuracy']:.2f}%", interval(values["interval"]))
    table.add_section()
    for entry, values in report["per_class"].items():
        table.add_row(f"{escape(entry)}, {values['count']:,} times", f"{100 * values['accuracy']:.2f}%", "")
    Console().print(table)
