"""``vqa-rnn report``: runs in one HTML file, which works offline."""

import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from vqa_rnn.answering.looks import data_url, thumbnail
from vqa_rnn.answering.occlusion import explain
from vqa_rnn.answering.session import Session
from vqa_rnn.answers import most_frequent_answer
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.checkpoint import Run
from vqa_rnn.commands.measure import Measurement, measure, summarise
from vqa_rnn.commands.shared import counts_of, describe_model, open_runs
from vqa_rnn.commands.tables import CEILING_NAMES, FLOOR_NAMES
from vqa_rnn.engines import processes
from vqa_rnn.errors import UserError
from vqa_rnn.features.images import read_image
from vqa_rnn.files import write_text
from vqa_rnn.metrics.calibration import bin_of
from vqa_rnn.metrics.formatting import format_metric
from vqa_rnn.metrics.intervals import paired_difference
from vqa_rnn.progress import counted
from vqa_rnn.records import Question, Split
from vqa_rnn.run_folder import best_validation, read_metrics, read_timings
from vqa_rnn.templates import html_templates

BLUE, ORANGE = "#4472a8", "#e69f00"
NUM_EXAMPLES = 6
NUM_CONFUSIONS = 10
NUM_BINS = 10
MOST_PICTURES = 3  # per example: the image and two looks


def report(paths: Sequence[str | Path], output: Path, split: Split | None = None, overrides: Sequence[str] = ()) -> Path:
    """Write an HTML page about runs: settings, results with intervals and floors, curves, errors, and examples with pictures.

    Args:
        paths: Run folders, trained on the same data. The others are compared with the first.
        output: The HTML file.
        split: The split; by default ``test`` if it has answers, else ``val``.
        overrides: ``section.key=value`` each, of ``MAY_MOVE``.

    Returns:
        The file.

    Raises:
        UserError: As in ``evaluate``; or the runs do not answer the same questions, or the output is no HTML file or cannot be
            written.
    """
    if output.suffix not in (".html", ".htm"):
        raise UserError(f"--output {output}: give the name of an .html file")
    runs = open_runs(paths, overrides)
    parts: list[dict[str, Any]] = []
    measured: list[Measurement] = []
    shown: list[_Shown] = []
    with processes(runs[0].config.run.device) as device:
        for run in runs:
            measured.append(measure(run, measured[0].split if measured else split, device))
            if measured[-1].questions != measured[0].questions:
                raise UserError(f"{run.path} answers other questions than {runs[0].path}")
            shown.append(_Shown(run, measured[-1]))
            parts.append(_about(run, measured[-1], shown[-1]))
    image_ids = [question.image_id for question in measured[0].questions]
    for part, each in zip(parts[1:], measured[1:], strict=True):
        part["difference"] = paired_difference(each.scores, measured[0].scores, image_ids)
    page = html_templates(Path(__file__).parent)
    page.filters |= {
        "metric": lambda value, name: format_metric(name, value, digits=1),
        "percent": lambda value: f"{100 * value:.1f}%",
        "difference": lambda value, name: format_metric(name, value, digits=1, signed=True).rstrip("%"),
    }
    template = page.get_template("report.html")
    apart = _apart(runs, measured, shown) if len(runs) > 1 else []
    write_text(output, template.render(runs=parts, apart=apart, split=measured[0].split, benchmark=measured[0].benchmark))
    return output


def _about(run: Run, measured: Measurement, show: "_Shown") -> dict[str, Any]:
    """Return what the page shows about a run."""
    environment = json.loads((run.path / "environment.json").read_text(encoding="utf-8"))
    facts: dict[str, Any] = {
        "Data set": run.config.dataset.name,
        "Features": f"{run.features['backbone']}, {', '.join(run.features['layer'])}",
        **describe_model(run.config.model),
        "Precision and device": f"{run.precision} on {environment['device']}",
        "Seed": run.config.run.seed,
    }
    if len(run.answers):
        facts["Head"] += f", {len(run.answers):,} answers"
    epochs = read_timings(run.path)
    if epochs:
        facts["Training time"] = f"{sum(line['seconds'] for line in epochs) / 60:.1f} minutes, {len(epochs)} epochs"
    for name, key in {"Peak memory": "peak_memory", "Peak GPU memory": "peak_gpu_memory"}.items():
        peaks = [line[key] for line in epochs if key in line]
        if peaks:
            facts[name] = f"{max(peaks) / 1e9:.1f} GB"
    best = best_validation(run.path)
    has_captions = run.config.dataset.has_captions
    if best is not None:
        facts["Best validation score"] = f"{format_metric(measured.headline, best[0])} in epoch {best[1]}"
    summary = summarise(measured, run.config.evaluation.bootstrap_samples)
    return {
        "name": run.path.name,
        "facts": facts,
        "headline": measured.headline,
        "summary": summary,
        "size": " about ".join(counted(count, things) for things, count in counts_of(summary).items()),
        "floor_names": FLOOR_NAMES,
        "ceiling_names": CEILING_NAMES,
        "curves": _curves(run),
        "reliability": None if has_captions else _reliability(measured),
        "confusions": [] if has_captions else _confusions(measured),
        "examples": _examples(measured, show),
        "difference": None,
    }


def _svg(figure: Figure) -> Markup:
    content = io.StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    text = content.getvalue()
    return Markup(text[text.index("<svg") :])


def _axes(title: str, x: str, y: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(4.6, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return figure, axes


def _curves(run: Run) -> list[Markup]:
    """Draw the training loss and the validation score of each epoch."""
    lines = read_metrics(run.path)
    drawn = []
    scores = (("val_accuracy", "Validation score, %", 100), ("val_cider", "Validation CIDEr", 1))
    for key, title, scale in (("train_loss", "Training loss", 1), *scores):
        points = [(line["epoch"], scale * line[key]) for line in lines if key in line]
        if points:
            figure, axes = _axes(title, "epoch", "")
            axes.plot(*zip(*points, strict=True), color=BLUE, marker="o", markersize=3)
            drawn.append(_svg(figure))
    return drawn


def _reliability(measured: Measurement) -> Markup | None:
    """Draw how many answers are right in each bin of their probability; None without probabilities from 0 to 1."""
    p = np.array([measured.predictions[question.question_id].probability for question in measured.questions], dtype=float)
    if np.isnan(p).any() or p.max(initial=0) > 1:
        return None
    place = bin_of(p, NUM_BINS)
    counts = np.bincount(place, minlength=NUM_BINS)
    right = np.bincount(place, weights=np.nan_to_num(measured.scores), minlength=NUM_BINS) / np.maximum(counts, 1)
    figure, axes = _axes("Calibration", "probability of the answer, %", "of these right, %")
    axes.bar(100 * (np.arange(NUM_BINS) + 0.5) / NUM_BINS, 100 * right, width=9, color=BLUE)
    axes.plot([0, 100], [0, 100], color=ORANGE, linewidth=1.5)
    for number, count in enumerate(counts):
        if count:
            axes.annotate(f"{count:,}", (100 * (number + 0.5) / NUM_BINS, 2), ha="center", fontsize=7, color="white")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    return _svg(figure)


def _confusions(measured: Measurement) -> list[tuple[str, str, int]]:
    """Return the most frequent wrong answers: what people answered, what the model answered, and how often."""
    pairs = Counter(
        (most_frequent_answer(question.human_answers), measured.predictions[question.question_id].answer)
        for question, score in zip(measured.questions, measured.scores, strict=True)
        if score == 0 and question.human_answers
    )
    return [(said, answer, count) for (said, answer), count in pairs.most_common(NUM_CONFUSIONS)]


def _examples(measured: Measurement, show: "_Shown") -> dict[str, list[dict[str, Any]]]:
    """Return the right and wrong answers with the highest probability, and the answers with the lowest."""
    p = np.array([measured.predictions[question.question_id].probability for question in measured.questions], dtype=float)
    if measured.headline == "cider":
        order = np.argsort(measured.scores, kind="stable")
        chosen = {"Best captions": order[::-1], "Worst captions": order}
        return {title: show.all(places[:NUM_EXAMPLES].tolist()) for title, places in chosen.items()}
    right, wrong = measured.scores == 1, measured.scores == 0
    chosen = {
        "Right, and most sure": np.flatnonzero(right)[np.argsort(-p[right], kind="stable")],
        "Wrong, and most sure": np.flatnonzero(wrong)[np.argsort(-p[wrong], kind="stable")],
        "Least sure": np.argsort(p, kind="stable"),
    }
    return {title: show.all(_other_images(places.tolist(), measured.questions)) for title, places in chosen.items()}


def _other_images(places: Sequence[int], questions: Sequence[Question]) -> list[int]:
    """Return the first few places, at most one per image."""
    first = {questions[place].image_id: place for place in reversed(places)}
    return sorted(first.values(), key=places.index)[:NUM_EXAMPLES]


class _Shown:
    """Questions with their images and where a run looked."""

    def __init__(self, run: Run, measured: Measurement) -> None:
        self._measured = measured
        self._images = read_annotations(run.config.dataset, [measured.split]).images
        try:
            self._session: Session | None = Session(run.path)
        except UserError:  # no session: the features were imported, or are those of given boxes
            self._session = None

    def all(self, places: Sequence[int]) -> list[dict[str, Any]]:
        return [self._show(place) for place in places]

    def _show(self, place: int) -> dict[str, Any]:
        question = self._measured.questions[place]
        prediction = self._measured.predictions[question.question_id]
        path = self._images.get(question.image_id)
        if self._session is not None and path is not None and not question.facts:
            if self._session.writes_captions:
                answer = self._session.describe(path)
            else:
                answer = self._session.ask(path, question.question, choices=question.choices)
            pictures = explain(self._session, answer).pictures()[:MOST_PICTURES]
        else:
            pictures = [] if path is None else [read_image(path, intensity="image")]
        label, separator = ("references", "; ") if self._measured.headline == "cider" else ("people", ", ")
        return {
            "question": question.question,
            "said": f"{label}: {separator.join(dict.fromkeys(question.human_answers))}",
            "answer": prediction.answer,
            "probability": prediction.probability,
            "score": float(self._measured.scores[place]),
            "pictures": [data_url(thumbnail(picture)) for picture in pictures],
        }


def _apart(runs: Sequence[Run], measured: Sequence[Measurement], shown: Sequence[_Shown]) -> list[dict[str, Any]]:
    """Return questions that only one of the first two runs answers correctly."""
    found = []
    for winner, loser in ((0, 1), (1, 0)):
        places = np.flatnonzero((measured[winner].scores == 1) & (measured[loser].scores == 0)).tolist()
        chosen = _other_images(places, measured[winner].questions)
        examples = shown[winner].all(chosen)
        for place, example in zip(chosen, examples, strict=True):
            question = measured[loser].questions[place]
            example["other"] = measured[loser].predictions[question.question_id].answer
        found.append(
            {"winner": runs[winner].path.name, "loser": runs[loser].path.name, "count": len(places), "examples": examples}
        )
    return found
