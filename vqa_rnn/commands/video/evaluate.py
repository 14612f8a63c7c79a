"""``vqa-rnn video evaluate``: the accuracy of a run, by class, with floors beside it."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from vqa_rnn.commands.sequences.evaluation import Measured, choose_split, evaluate_run, move_run
from vqa_rnn.commands.sequences.tables import right_aligned
from vqa_rnn.commands.video.data import Videos, read_data
from vqa_rnn.commands.video.train import batches_of
from vqa_rnn.config.video import FrameFiles
from vqa_rnn.engines import choose_device, computing_with
from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash
from vqa_rnn.metrics.formatting import format_metric
from vqa_rnn.records import SPLITS, Split
from vqa_rnn.sequences.video import VideoModel
from vqa_rnn.sequences.video_data import VideoSet
from vqa_rnn.sequences.video_run import VIDEO, VideoRun, load_video_model, source_of

SHUFFLE_SEED = 0


def evaluate(run: VideoRun, split: Split | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Evaluate a run.

    Args:
        run: The run.
        split: The split; by default ``test`` if there are such videos, else ``val``.
        overrides: New locations, ``data.path=…`` and ``data.features.store=…``, or ``run.device=…``.

    Returns:
        The report of ``evaluate_run``, with ``per_class``: ``accuracy`` and ``count`` of each label. The bootstrap is over
        videos. The floors are the most frequent label of the training videos; this model with shuffled frames; and this model
        with the last frame only (for labels of frames, with each frame alone).

    Raises:
        UserError: The split has no videos, they cannot be read, or features were made by something else than in training.
    """
    run = move_run(run, VIDEO, overrides)
    return evaluate_run(run, VIDEO, lambda: _measure(run, split))


def _measure(run: VideoRun, split: Split | None) -> Measured:
    config = run.config
    device = choose_device(config.run.device)
    data = read_data(config, SPLITS)
    _check_source(run, data)
    chosen = choose_split(run, split, list(data.sets))
    videos, counts = data.sets[chosen], np.bincount(np.concatenate(data.sets["train"].labels), minlength=len(run.entries))
    with computing_with(run.threads, device):
        model = load_video_model(run, device)
        variants = {"shuffled_frames": videos.shuffled(SHUFFLE_SEED)}
        variants["last_frame" if videos.output == "sequence" else "single_frames"] = videos.of_one_frame()
        answers = _answers(model, videos, run, device)
        floors = {name: _correct(model, changed, run, device) for name, changed in variants.items()}
    labels = np.concatenate(videos.labels)
    right = (answers == labels).astype(np.float64)
    names = [name for name, each in zip(videos.names, videos.labels, strict=True) for _ in each]
    return Measured(
        data=config.data.name,
        variant={"output": config.model.output},
        split=chosen,
        examples="labels",
        groups="videos",
        group_of=names,
        data_sha256=_hash(run, videos),
        scores={"accuracy": right},
        floors={"most_frequent_label": (labels == counts.argmax()).astype(np.float64), **floors},
        answers=[
            {"answer": run.entries[answer], "label": run.entries[label]}
            for answer, label in zip(answers.tolist(), labels.tolist(), strict=True)
        ],
        parts={
            "per_class": {
                entry: {"accuracy": float(right[labels == number].mean()), "count": int((labels == number).sum())}
                for number, entry in enumerate(run.entries)
                if (labels == number).any()
            }
        },
    )


def _correct(model: VideoModel, videos: VideoSet, run: VideoRun, device: torch.device) -> NDArray[np.float64]:
    """Return whether each label is correct, in the order of the videos."""
    return (_answers(model, videos, run, device) == np.concatenate(videos.labels)).astype(np.float64)


@torch.inference_mode()
def _answers(model: VideoModel, videos: VideoSet, run: VideoRun, device: torch.device) -> NDArray[np.int64]:
    """Return the number of each label that the model gives, in the order of the videos."""
    batches = batches_of(videos, run.config, shuffle=False)
    return np.concatenate([model(batch.to(device)).argmax(dim=1).cpu().numpy() for (batch,) in batches])


def _hash(run: VideoRun, videos: VideoSet) -> str:
    """Hash the videos of a split with their labels, whatever made the features of their frames."""
    digest = hashlib.sha256()
    if isinstance(run.config.data, FrameFiles):
        assert run.config.data.path is not None
        digest.update(file_hash(run.config.data.path).encode())
    else:
        digest.update(videos.read(np.concatenate(videos.rows)).tobytes())
    for name, labels in zip(videos.names, videos.labels, strict=True):
        place = name.rpartition(":")[2]  # the file may have moved
        digest.update("\0".join([place, *(run.entries[label] for label in labels.tolist())]).encode() + b"\n")
    return digest.hexdigest()


def _check_source(run: VideoRun, data: Videos) -> None:
    source = source_of(run)
    if source is not None and data.source is not None and source.fingerprint != data.source.fingerprint:
        raise UserError(f"{run.path} was trained on features that another network or other weights made: restore that store")


def parts_of(report: Mapping[str, Any]) -> list[Table | str]:
    """Format the part of a report that only models of videos have.

    Args:
        report: From ``evaluate``.

    Returns:
        For ``print_evaluation``: the accuracy by label.
    """
    table = right_aligned(Table("label", "accuracy", "labels"))
    for entry, values in report["per_class"].items():
        table.add_row(escape(entry), format_metric("accuracy", values["accuracy"]), f"{values['count']:,}")
    return [table]
