"""``vqa-rnn evaluate``: a run to figures, with intervals, by type, and the floors beside them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vqa_rnn import __version__
from vqa_rnn.annotations import load_annotations
from vqa_rnn.checkpoint import Run, load_model, load_run
from vqa_rnn.commands.shared import SplitData, check_questions, choose_device, open_store, prepare_split
from vqa_rnn.data.encoding import choice_order
from vqa_rnn.data.loader import build_loader
from vqa_rnn.data.sampler import ImageGroupedBatches
from vqa_rnn.data.store_features import StoreFeatures
from vqa_rnn.engines import CollectAnswers, build_evaluator
from vqa_rnn.errors import UserError
from vqa_rnn.files import write_json
from vqa_rnn.metrics.accuracy import Scores, by_type, chance, question_scores
from vqa_rnn.metrics.floors import text_floors
from vqa_rnn.metrics.intervals import bootstrap_interval
from vqa_rnn.models import VqaModel
from vqa_rnn.records import Prediction, Split

SHUFFLE_SEED = 0


def evaluate(path: Path, split: Split | None = None, question_only: Path | None = None) -> dict[str, Any]:
    """Measure a run on a split, and write ``evaluation/SPLIT.json`` and ``evaluation/SPLIT_predictions.json`` into it.

    Args:
        path: The run folder.
        split: Which split; by default ``test`` where there is one with answers, else ``val``.
        question_only: A run that was trained without images (``model.ablate=question_only``) on the same data; adds
            ``image_gain``, how much better this run is, with a paired interval.

    Returns:
        The object of the design: ``benchmark``, ``split``, ``num_questions``, ``metrics``, ``intervals``, ``per_type``,
        ``floors``, ``signature``. Fractions.

    Raises:
        UserError: The split is empty or its answers are withheld, or features are missing.
    """
    run = load_run(path)
    annotations = load_annotations(run.config.dataset, [split] if split else ["val", "test"])
    if split is None:
        split = "test" if any(question.human_answers for question in annotations.split("test")) else "val"
    questions = tuple(question for question in annotations.split(split) if question.human_answers)
    if not questions:
        raise UserError(f"{run.config.dataset.name} has no questions with answers in its {split} split")
    check_questions(run.config, questions)
    data = prepare_split(questions, run.tokenizer, run.answers, open_store(run.config))
    device = choose_device(run.config.run.device)
    model = load_model(run, device)
    predictions = answer_split(run, model, data, data.features, device)
    scores = question_scores(questions, predictions)

    options = run.config.evaluation
    image_ids = [question.image_id for question in questions]

    def interval(values: Scores) -> list[float]:
        return list(bootstrap_interval(values, image_ids, options.bootstrap_samples))

    floors: dict[str, Scores] = {}
    if any(chance(question) for question in questions):
        floors["chance"] = np.array([chance(question) for question in questions])
    train = load_annotations(run.config.dataset, ["train"]).questions
    for name, answers in text_floors(train, questions, options.prefix_words).items():
        floors[name] = question_scores(questions, answers)
    shuffled = answer_split(run, model, data, data.features.shuffled(SHUFFLE_SEED), device)
    floors["images_shuffled"] = question_scores(questions, shuffled)

    report: dict[str, Any] = {
        "benchmark": annotations.benchmark,
        "split": split,
        "num_questions": len(questions),
        "metrics": {"accuracy": float(scores.mean())},
        "intervals": {"accuracy": interval(scores)},
        "per_type": by_type(questions, scores),
        "floors": {name: {"accuracy": float(v.mean()), "interval": interval(v)} for name, v in floors.items()},
    }
    if question_only is not None:
        gain = scores - _question_only_scores(question_only, data)
        report["image_gain"] = {"accuracy": float(gain.mean()), "interval": interval(gain)}
    report["signature"] = _signature(run, split, len(questions))
    folder = run.path / "evaluation"
    write_json(folder / f"{split}.json", report)
    rows = [
        {"question_id": q.question_id, "answer": predictions[q.question_id].answer, "score": score}
        | {"probability": predictions[q.question_id].probability}
        for q, score in zip(questions, scores.tolist(), strict=True)
    ]
    write_json(folder / f"{split}_predictions.json", rows)
    return report


def answer_split(
    run: Run, model: VqaModel, data: SplitData, features: StoreFeatures, device: torch.device
) -> dict[str, Prediction]:
    """Answer every question of a split.

    Args:
        run: The run.
        model: Its model, on ``device``.
        data: The questions.
        features: Of their images, or shuffled.
        device: Where to compute.

    Returns:
        By question id.
    """
    batches = ImageGroupedBatches(data.encoded.image, run.config.evaluation.batch_size, shuffle=False)
    evaluator = build_evaluator(model, device=device)
    collected = CollectAnswers(list(batches))
    collected.attach(evaluator)
    evaluator.run(build_loader(data.encoded, features, batches, pin_memory=device.type == "cuda"))
    predictions = {}
    for question, best, probability in zip(data.questions, collected.best, collected.probability, strict=True):
        if run.config.model.head.name == "choice":
            choice = choice_order(question.question_id, len(question.choices))[best]
            answer = question.choices[choice]
        else:
            choice, answer = None, run.answers.answers[best]
        predictions[question.question_id] = Prediction(
            question_id=question.question_id, answer=answer, probability=float(probability), choice=choice
        )
    return predictions


def _question_only_scores(path: Path, data: SplitData) -> Scores:
    other = load_run(path)
    if other.config.model.ablate not in ("question_only", "choices_only"):
        raise UserError(
            f"{path} sees images (model.ablate={other.config.model.ablate}): the image gain needs a run trained with "
            "model.ablate=question_only"
        )
    device = choose_device(other.config.run.device)
    theirs = prepare_split(data.questions, other.tokenizer, other.answers, open_store(other.config))
    predictions = answer_split(other, load_model(other, device), theirs, theirs.features, device)
    return question_scores(data.questions, predictions)


def _signature(run: Run, split: str, num_questions: int) -> str:
    dataset = run.config.dataset
    parts: Mapping[str, Any] = {
        "metric": "accuracy",
        "head": run.config.model.head.name,
        "split": split,
        "fold": f"{dataset.fold}of{dataset.folds}" if dataset.folds else None,
        "n": num_questions,
        "version": __version__,
    }
    return "|".join([dataset.name, *(f"{key}:{value}" for key, value in parts.items() if value is not None)])
