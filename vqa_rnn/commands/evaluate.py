"""``vqa-rnn evaluate``: a run to figures, with intervals, by type, and the floors beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vqa_rnn import __version__
from vqa_rnn.annotations import load_annotations
from vqa_rnn.checkpoint import Run, load_model, load_run
from vqa_rnn.commands.shared import check_questions, open_store
from vqa_rnn.data.columns import EncodedQuestions
from vqa_rnn.data.encoding import choice_order, encode_questions
from vqa_rnn.data.loader import build_loader
from vqa_rnn.data.sampler import ImageGroupedBatches
from vqa_rnn.data.store_features import StoreFeatures
from vqa_rnn.engines import CollectAnswers, build_evaluator, choose_device, is_first, launched, processes
from vqa_rnn.errors import UserError
from vqa_rnn.files import write_json
from vqa_rnn.metrics.accuracy import Scores, by_type, chance, question_scores
from vqa_rnn.metrics.floors import text_floors
from vqa_rnn.metrics.intervals import bootstrap_interval
from vqa_rnn.models import VqaModel
from vqa_rnn.records import Prediction, Question, Split

SHUFFLE_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """How right a run is on each question of a split, and how right the floors are.

    Attributes:
        benchmark: The data set.
        split: The split.
        questions: Its questions whose answers are known.
        predictions: The run's answers by question id.
        scores: (N,) their scores.
        floors: (N,) scores of each floor; empty where they were not asked for.
    """

    benchmark: str
    split: Split
    questions: tuple[Question, ...]
    predictions: Mapping[str, Prediction]
    scores: Scores
    floors: Mapping[str, Scores]


def evaluate(path: Path, split: Split | None = None, question_only: Path | None = None) -> dict[str, Any]:
    """Measure a run on a split, and write ``evaluation/SPLIT.json`` and ``evaluation/SPLIT_predictions.json`` into it.

    Args:
        path: The run folder.
        split: Which split; by default ``test`` where there is one with answers, else ``val``.
        question_only: A run that was trained without images (``model.ablate=question_only``) on the same data; adds
            ``image_gain``, how much better this run is, with a paired interval.

    Returns:
        The object of ``summarise``.

    Raises:
        UserError: The split is empty or its answers are withheld, or features are missing.
    """
    run = load_run(path)
    with processes(run.config.run.device) as device:
        measured = measure(run, split, device)
        blind = None if question_only is None else _measure_blind(question_only, measured, device)
    report = summarise(measured, run.config.evaluation.bootstrap_samples, blind)
    report["signature"] = _signature(run, measured)
    if not is_first():
        return report
    folder = run.path / "evaluation"
    write_json(folder / f"{measured.split}.json", report)
    rows = [
        {
            "question_id": question.question_id,
            "answer": measured.predictions[question.question_id].answer,
            "probability": measured.predictions[question.question_id].probability,
            "score": score,
        }
        for question, score in zip(measured.questions, measured.scores.tolist(), strict=True)
    ]
    write_json(folder / f"{measured.split}_predictions.json", rows)
    return report


def measure(
    run: Run, split: Split | None = None, device: torch.device | None = None, *, with_floors: bool = True
) -> Measurement:
    """Answer a split's questions and score them.

    Args:
        run: The run.
        split: Which split; by default ``test`` where there is one with answers, else ``val``.
        device: Where to compute; by default where the run's config says.
        with_floors: Score the floors as well.

    Returns:
        Scores of each question, by the run and by the floors.

    Raises:
        UserError: The split is empty or its answers are withheld, or features are missing.
    """
    config = run.config
    annotations = load_annotations(config.dataset, [split] if split else ["val", "test"])
    if split is None:
        split = "test" if any(question.human_answers for question in annotations.split("test")) else "val"
    questions = tuple(question for question in annotations.split(split) if question.human_answers)
    if not questions:
        raise UserError(f"{config.dataset.name} has no questions with answers in its {split} split")
    check_questions(config, questions)
    encoded = encode_questions(questions, run.tokenizer, run.answers)
    features = StoreFeatures(open_store(config, run), encoded.image_ids)
    device = device or choose_device(config.run.device)
    model = load_model(run, device)
    predictions = answer_split(run, model, questions, encoded, features, device)

    floors: dict[str, Scores] = {}
    if with_floors:
        if any(chance(question) for question in questions):
            floors["chance"] = np.array([chance(question) for question in questions])
        train = load_annotations(config.dataset, ["train"]).questions
        for name, answers in text_floors(train, questions, config.evaluation.prefix_words).items():
            floors[name] = question_scores(questions, answers)
        exchanged = features.shuffled(SHUFFLE_SEED)
        shuffled = answer_split(run, model, questions, encoded, exchanged, device)
        floors["images_shuffled"] = question_scores(questions, shuffled)
    return Measurement(
        benchmark=annotations.benchmark,
        split=split,
        questions=questions,
        predictions=predictions,
        scores=question_scores(questions, predictions),
        floors=floors,
    )


def summarise(measured: Measurement, bootstrap_samples: int, blind: Scores | None = None) -> dict[str, Any]:
    """Means, 95% intervals by image, breakdowns and floors.

    Args:
        measured: What ``measure`` found.
        bootstrap_samples: Resamples of the images.
        blind: (N,) scores of a model without images on the same questions; adds ``image_gain``.

    Returns:
        ``benchmark``, ``split``, ``num_questions``, ``metrics``, ``intervals``, ``per_type`` and ``floors``. Fractions.
    """
    image_ids = [question.image_id for question in measured.questions]

    def interval(values: Scores) -> list[float]:
        return list(bootstrap_interval(values, image_ids, bootstrap_samples))

    report: dict[str, Any] = {
        "benchmark": measured.benchmark,
        "split": measured.split,
        "num_questions": len(measured.questions),
        "num_images": len(set(image_ids)),
        "metrics": {"accuracy": float(measured.scores.mean())},
        "intervals": {"accuracy": interval(measured.scores)},
        "per_type": by_type(measured.questions, measured.scores),
        "floors": {
            name: {"accuracy": float(scores.mean()), "interval": interval(scores)} for name, scores in measured.floors.items()
        },
    }
    if blind is not None:
        gain = measured.scores - blind
        report["image_gain"] = {"accuracy": float(gain.mean()), "interval": interval(gain)}
    return report


def answer_split(
    run: Run,
    model: VqaModel,
    questions: Sequence[Question],
    encoded: EncodedQuestions,
    features: StoreFeatures,
    device: torch.device,
) -> dict[str, Prediction]:
    """Answer every question of a split; several processes share them.

    Args:
        run: The run.
        model: Its model, on ``device``.
        questions: The questions.
        encoded: The same in columns.
        features: Of their images, or shuffled.
        device: Where to compute.

    Returns:
        By question id.
    """
    rank, world_size = launched()
    batch_size = run.config.evaluation.batch_size
    batches = ImageGroupedBatches(encoded.image, batch_size, shuffle=False, rank=rank, world_size=world_size)
    evaluator = build_evaluator(model, device=device)
    collected = CollectAnswers(len(encoded))
    collected.attach(evaluator)
    evaluator.run(build_loader(encoded, features, batches, pin_memory=device.type == "cuda"))
    predictions = {}
    for question, best, probability in zip(questions, collected.best, collected.probability, strict=True):
        if run.config.model.head.name == "choice":
            choice = choice_order(question.question_id, len(question.choices))[best]
            answer = question.choices[choice]
        else:
            choice, answer = None, run.answers.answers[best]
        predictions[question.question_id] = Prediction(
            question_id=question.question_id, answer=answer, probability=float(probability), choice=choice
        )
    return predictions


def _measure_blind(path: Path, measured: Measurement, device: torch.device) -> Scores:
    other = load_run(path)
    if other.config.model.ablate not in ("question_only", "choices_only"):
        raise UserError(
            f"{path} sees images (model.ablate={other.config.model.ablate}): the image gain needs a run trained with "
            "model.ablate=question_only"
        )
    blind = measure(other, measured.split, device, with_floors=False)
    if [q.question_id for q in blind.questions] != [q.question_id for q in measured.questions]:
        raise UserError(f"{path} was trained on other data: its {measured.split} split has other questions")
    return blind.scores


def _signature(run: Run, measured: Measurement) -> str:
    dataset = run.config.dataset
    parts: Mapping[str, Any] = {
        "metric": "accuracy",
        "head": run.config.model.head.name,
        "split": measured.split,
        "fold": f"{dataset.fold}of{dataset.folds}" if dataset.folds else None,
        "n": len(measured.questions),
        "version": __version__,
    }
    return "|".join([dataset.name, *(f"{key}:{value}" for key, value in parts.items() if value is not None)])
