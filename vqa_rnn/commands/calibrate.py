"""``vqa-rnn calibrate``: temperature scaling, and the threshold below which an answer counts as not sure."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vqa_rnn.answering.calibration import calibration_path
from vqa_rnn.benchmarks import BENCHMARKS, read_annotations
from vqa_rnn.checkpoint import Run, load_run
from vqa_rnn.commands.answers import Member, answer_with_logits, open_members
from vqa_rnn.commands.shared import check_questions, check_unchanged, move_run
from vqa_rnn.data.columns import EncodedQuestions
from vqa_rnn.engines import is_first, processes
from vqa_rnn.errors import UserError
from vqa_rnn.files import atomic_path, file_hash, write_json
from vqa_rnn.metrics.calibration import (
    FOLDS,
    Coverage,
    area_under_risk,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    risk_coverage,
    threshold_for,
)
from vqa_rnn.records import Split

log = logging.getLogger("vqa_rnn")

ACCURACIES = (0.8, 0.9, 0.95, 0.99)
MOST_QUESTIONS = 5000  # enough to fit a single number
FEW_QUESTIONS, FEW_IMAGES = 100, 20


def calibrate(path: Path, split: Split = "val", accuracy: float = 0.9, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Fit the temperature of a run's probabilities and the threshold below which an answer counts as not sure.

    Writes ``calibration.json`` into the run folder, which ``ask``, ``evaluate`` and ``predict`` read, and the picture
    ``evaluation/SPLIT_risk_coverage.png``.

    Args:
        path: The run folder.
        split: A split that the run did not learn from.
        accuracy: The accuracy that the answers above the threshold must reach.
        overrides: ``section.key=value`` each, of ``MAY_MOVE``.

    Returns:
        ``temperature``; ``ece`` and ``nll``, each ``before`` and ``after``, where ``after`` is by cross-validation over images,
        so that no question takes part in fitting its own temperature; ``area_under_risk``; ``coverage`` at several accuracies;
        ``threshold`` with its ``coverage`` and ``accuracy`` on the split; ``picture``.

    Raises:
        UserError: The head is generative, the run learned from the split, the answers of the split are withheld or not among
            those of the model, or as in ``evaluate``.
    """
    if not 0 < accuracy <= 1:
        raise UserError(f"--accuracy {accuracy}: give a share above 0 and up to 1, such as 0.9")
    run = move_run(load_run(path), overrides)
    if run.config.model.head.name == "generative":
        raise UserError(f"{path} has a generative head: calibrate needs a classifier or a choice head")
    if split in run.config.training.splits:
        raise UserError(
            f"{path} learned from the {split} questions: its probabilities there are not informative; give another --split"
        )
    annotations = read_annotations(run.config.dataset, [split])
    check_unchanged(run, annotations, split)
    questions = [question for question in annotations.split(split) if question.human_answers]
    if len(questions) > MOST_QUESTIONS:
        log.info(
            "calibrating on %d of the %d %s questions, drawn at random, to save time", MOST_QUESTIONS, len(questions), split
        )
        places = np.random.default_rng(0).permutation(len(questions))[:MOST_QUESTIONS]
        questions = [questions[place] for place in sorted(places.tolist())]
    if not questions:
        raise UserError(f"{run.config.dataset.name} has no questions with answers in its {split} split")
    check_questions(run.config, questions)
    if run.config.model.head.name == "classifier" and questions[0].choices:
        raise UserError(
            f"{run.config.dataset.name} gives choices, and {path} is a classifier of open answers: calibrate it on "
            "the open-ended task"
        )
    with processes(run.config.run.device) as device:
        (member,), kept = open_members([run], questions, annotations, split, device)
        predictions, logits = answer_with_logits(member, kept, device)  # the temperature does not change which answer is best
    scores = next(iter(BENCHMARKS[run.config.dataset.name].metrics(kept, predictions).values()))
    targets, loss = _targets(member.encoded, logits.shape[1]), _loss(run)
    if loss == "softmax" and not targets.any():
        raise UserError(
            f"{path} cannot give a correct answer to any of the {len(kept)} {split} questions: there is nothing to calibrate"
        )
    temperature = fit_temperature(logits, targets, loss)
    held_out = _scaled_by_others(logits, targets, member.encoded.image, loss)
    curve = risk_coverage(_confidences(member, logits / temperature), scores)
    sure = threshold_for(curve, accuracy, len(kept))
    num_images = len({question.image_id for question in kept})
    if len(kept) < FEW_QUESTIONS or num_images < FEW_IMAGES:
        log.warning(
            "the %s split has %d questions about %d images: too few for a reliable temperature and threshold",
            split,
            len(kept),
            num_images,
        )
    picture = run.path / "evaluation" / f"{split}_risk_coverage.png"
    report = {
        "run": str(path),
        "split": split,
        "num_questions": len(kept),
        "temperature": temperature,
        "ece": {
            "before": expected_calibration_error(_confidences(member, logits), scores),
            "after": expected_calibration_error(_confidences(member, held_out), scores),
        },
        "nll": {
            "before": negative_log_likelihood(logits, targets, loss),
            "after": negative_log_likelihood(held_out, targets, loss),
        },
        "accuracy": float(scores.mean()),
        "area_under_risk": area_under_risk(curve),
        "coverage": {
            str(level): found and found._asdict() for level in ACCURACIES for found in [threshold_for(curve, level, len(kept))]
        },
        "wanted_accuracy": accuracy,
        "threshold": None if sure is None else sure._asdict(),
        "picture": str(picture),
        "weights_sha256": file_hash(run.model_path),
    }
    if is_first():
        draw_risk(curve, sure, picture, f"{path.name}, {split} split")
        write_json(calibration_path(run), report)
    return report


def _loss(run: Run) -> Literal["softmax", "sigmoid"]:
    return "sigmoid" if getattr(run.config.model.head, "loss", "softmax") == "sigmoid" else "softmax"


def _targets(encoded: EncodedQuestions, num_answers: int) -> NDArray[np.float64]:
    """Return (N, A) the score of each answer of a classifier, or (N, C) 1 for the correct choice and 0 for the others."""
    targets = np.zeros((len(encoded), num_answers))
    every = np.arange(len(encoded))
    if encoded.num_choices:
        known = np.flatnonzero(encoded.correct_choice >= 0)
        targets[known, encoded.correct_choice[known]] = 1
        return targets
    ids, values = encoded.answer_ids.padded(every, 0), encoded.answer_scores.padded(every, 0)
    np.add.at(targets, (every[:, None], ids), values)
    return targets


def _scaled_by_others(
    logits: NDArray[np.float32], targets: NDArray[np.float64], image: NDArray[np.int64], loss: Literal["softmax", "sigmoid"]
) -> NDArray[np.float32]:
    """Return the logits of each question, divided by the temperature that is fitted on questions about other images."""
    num_images = int(image.max()) + 1
    fold_of_image = np.random.default_rng(0).permutation(num_images) % min(FOLDS, num_images)
    fold = fold_of_image[image]
    scaled = logits.copy()
    for number in np.unique(fold) if num_images > 1 else ():
        scaled[fold == number] /= fit_temperature(logits[fold != number], targets[fold != number], loss)
    return scaled


def _confidences(member: Member, logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (N,) the probability of each question's best answer."""
    return member.model.probabilities(torch.from_numpy(logits)).max(dim=1).values.numpy().astype(np.float64)


def draw_risk(curve: Sequence[Coverage], sure: Coverage | None, path: Path, title: str) -> None:
    """Plot the accuracy of the answers that are given against the share of questions that are answered.

    Args:
        curve: From ``risk_coverage``.
        sure: The chosen threshold, if there is one.
        path: The picture.
        title: The title of the picture.
    """
    figure = Figure(figsize=(7, 4.4))
    axes = figure.subplots()
    axes.plot([100 * point.coverage for point in curve], [100 * point.accuracy for point in curve], linewidth=1.8)
    axes.axhline(100 * curve[-1].accuracy, color="grey", linestyle=":", linewidth=1, label="all questions answered")
    axes.legend(loc="lower left", frameon=False, fontsize=9)
    if sure is not None:
        axes.plot(100 * sure.coverage, 100 * sure.accuracy, "o", color="tab:red")
        where = f"answers at least {100 * sure.threshold:.0f}% probable:\n{100 * sure.coverage:.0f}% of the questions"
        place = (100 * sure.coverage, 100 * sure.accuracy)
        left = sure.coverage > 0.5  # else the label would cross the axis
        offset, side = ((-8, -8), "right") if left else ((8, 8), "left")
        axes.annotate(where, place, offset, textcoords="offset points", fontsize=9, ha=side, va="top" if left else "bottom")
    axes.set_xlim(0, 100)
    axes.set_ylim(max(0, 100 * min(point.accuracy for point in curve) - 5), 101)
    axes.set_xlabel("% of questions answered, most confident first")
    axes.set_ylabel("% of answers correct")
    axes.set_title(title, fontsize=12, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def print_calibration(report: dict[str, Any]) -> None:
    """Print the report of ``calibrate``.

    Args:
        report: The report.
    """
    console = Console()
    ece, nll = report["ece"], report["nll"]
    table = Table("", "before", "after", title=escape(f"{report['run']}, {report['split']} split"), title_justify="left")
    table.columns[1].justify = table.columns[2].justify = "right"
    table.add_row("temperature", "1", f"{report['temperature']:.2f}")
    table.add_row("expected calibration error", f"{100 * ece['before']:.2f}%", f"{100 * ece['after']:.2f}%")
    table.add_row("negative log-likelihood", f"{nll['before']:.3f}", f"{nll['after']:.3f}")
    console.print(table)
    table = Table("for an accuracy of at least", "questions answered", "probability threshold")
    table.columns[1].justify = table.columns[2].justify = "right"
    for level, found in report["coverage"].items():
        shown = ("-", "-") if found is None else (f"{100 * found['coverage']:.1f}%", f"{100 * found['threshold']:.1f}%")
        table.add_row(f"{100 * float(level):.0f}%", *shown)
    table.add_row(f"{100 * report['accuracy']:.1f}% (all)", "100.0%", "0.0%")
    console.print(table)
    sure = report["threshold"]
    if sure is None:
        wanted = f"{100 * report['wanted_accuracy']:.0f}%"
        text = f'No threshold reaches an accuracy of {wanted}: ask will always say "not sure". Give a lower --accuracy.'
    else:
        text = f'ask says "not sure" below {100 * sure["threshold"]:.1f}%. The curve: {report["picture"]}'
    console.print(text, markup=False, highlight=False, soft_wrap=True)
