"""Hugging Face models on a benchmark, measured in the same way as runs."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vqa_rnn.answering.answer import Answer
from vqa_rnn.answering.huggingface import HUGGING_FACE
from vqa_rnn.answering.protocol import AnySession
from vqa_rnn.answering.session import load
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.commands.measure import Measurement, questions_hash, questions_of, score, signature_of, summarise
from vqa_rnn.commands.predict import PredictionReport, check_output, questions_to_answer, write_predictions
from vqa_rnn.config import Config
from vqa_rnn.errors import UserError
from vqa_rnn.features.images import ImageSource
from vqa_rnn.metrics.intervals import bootstrap_interval, paired_difference
from vqa_rnn.progress import progress_bar
from vqa_rnn.records import Prediction, Question, Split

AT_ONCE = 64  # questions given to a session together


def evaluate_model(name: str, config: Config, split: Split | None = None) -> dict[str, Any]:
    """Evaluate a Hugging Face model on a data set. Nothing is written.

    Args:
        name: ``hf:OWNER/NAME``, or ``hf:FOLDER``.
        config: The config with the data set.
        split: As in ``evaluate``.

    Returns:
        The report of ``summarise``, with ``model``, ``signature`` and ``questions_sha256``.

    Raises:
        UserError: As in ``evaluate``; or the model cannot be opened, or cannot answer the kind of questions in the data set.
    """
    session = open_model(name)
    annotations, split, questions = questions_of(config, split)
    measured = score(config, split, questions, answer_with(session, questions, annotations.images))
    return summarise(measured, config.evaluation.bootstrap_samples) | {
        "model": name,
        "signature": signature_of(config, measured, head=name),
        "questions_sha256": questions_hash(measured.questions),
    }


def compare_with(name: str, session: AnySession, config: Config, measured: Measurement) -> dict[str, Any]:
    """Let a Hugging Face model answer the questions that a run answered.

    Args:
        name: Its name for the report.
        session: The model, from ``open_model``.
        config: The config of the run.
        measured: The measurement of the run.

    Returns:
        ``name``, the headline score with its ``interval``, and ``gain``, how much better the run is, with its
        paired ``gain_interval`` and ``gain_p``.

    Raises:
        UserError: The model cannot answer the kind of questions in the data set.
    """
    images = read_annotations(config.dataset, [measured.split]).images
    predictions = answer_with(session, measured.questions, images)
    theirs = score(config, measured.split, measured.questions, predictions, with_floors=False)
    samples, headline = config.evaluation.bootstrap_samples, measured.headline
    image_ids = [question.image_id for question in measured.questions]
    gain = paired_difference(measured.scores, theirs.scores, image_ids)
    assert gain is not None, "the headline metric applies to some questions"
    return {
        "name": name,
        headline: float(np.nanmean(theirs.scores)),
        "interval": list(bootstrap_interval(theirs.scores, image_ids, samples)),
        "gain": gain.mean,
        "gain_interval": list(gain.interval),
        "gain_p": gain.p,
    }


def predict_model(name: str, config: Config, split: Split, output: str | Path) -> PredictionReport:
    """Answer all questions of a split with a Hugging Face model, and write the benchmark's official submission.

    Args:
        name: ``hf:OWNER/NAME``, or ``hf:FOLDER``.
        config: The config with the data set.
        split: The split.
        output: The file to write.

    Returns:
        The report.

    Raises:
        UserError: As in ``predict``; or the model cannot be opened, or cannot answer the kind of questions in the data set.
    """
    check_output(Path(output))
    annotations, questions = questions_to_answer(config, split, Path(output))
    predictions = answer_with(open_model(name), questions, annotations.images)
    return write_predictions(config.dataset.name, split, questions, predictions, Path(output))


def open_model(name: str) -> AnySession:
    """Open a session with a Hugging Face model.

    Args:
        name: ``hf:OWNER/NAME``, or ``hf:FOLDER``.

    Returns:
        The session.

    Raises:
        UserError: The name does not start with ``hf:``, or there is no such model.
    """
    if not name.startswith(HUGGING_FACE):
        raise UserError(f"{name} is not a model of Hugging Face: give {HUGGING_FACE}OWNER/NAME, or {HUGGING_FACE}FOLDER")
    return load(name)


def answer_with(session: AnySession, questions: Sequence[Question], images: Mapping[str, ImageSource]) -> dict[str, Prediction]:
    """Answer every question with a session, in this process only.

    Args:
        session: Any session.
        questions: The questions.
        images: The image of each ``image_id``.

    Returns:
        Predictions by question id.

    Raises:
        UserError: A question has choices that the model does not support: regions, or answers that it does not know.
    """
    if questions and questions[0].choice_regions:
        raise UserError(
            f"question {questions[0].question_id} has image regions as choices, which Hugging Face models do not support"
        )
    predictions = {}
    with progress_bar() as progress:
        task = progress.add_task(f"{session.about.name}", total=len(questions), rate="")
        for start in range(0, len(questions), AT_ONCE):
            some = questions[start : start + AT_ONCE]
            for question, answer in zip(some, session.answer(some, images, top=sys.maxsize), strict=True):
                predictions[question.question_id] = _prediction(question, answer)
            progress.advance(task, len(some))
    return predictions


def _prediction(question: Question, answer: Answer) -> Prediction:
    if not question.choices:
        return Prediction(question_id=question.question_id, answer=answer.best, probability=answer.probability)
    rank_of = {choice: rank for rank, (choice, _) in enumerate(answer.answers, start=1)}
    ranks = np.array([rank_of[choice] for choice in question.choices], dtype=np.int64)
    return Prediction(
        question_id=question.question_id,
        answer=answer.best,
        probability=answer.probability,
        choice=int(ranks.argmin()),
        ranks=ranks,
    )
