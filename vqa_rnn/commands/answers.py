"""Predictions of one run, or of several runs whose probabilities are averaged."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vqa_rnn.answering.answerer import BEAM_WIDTH
from vqa_rnn.answering.calibration import read_calibration
from vqa_rnn.checkpoint import Run, load_model
from vqa_rnn.commands.shared import images_of, open_features, readable_questions, store_of_config
from vqa_rnn.data.columns import EncodedQuestions
from vqa_rnn.data.encoding import choice_order, encode_questions
from vqa_rnn.data.loader import Loader, build_loader
from vqa_rnn.data.sampler import QuestionSampler
from vqa_rnn.data.store_features import StoreFeatures
from vqa_rnn.engines import CollectAnswers, CollectTexts, build_evaluator, build_writer, largest_of_all, launched
from vqa_rnn.metrics.visdial import rank_choices
from vqa_rnn.models import VqaModel
from vqa_rnn.models.decoding import beam_search
from vqa_rnn.precision import set_float32_products
from vqa_rnn.records import Annotations, Prediction, Question


@dataclass(frozen=True, slots=True)
class Member:
    """A run that is ready to answer a set of questions.

    Attributes:
        run: The run.
        model: Its model.
        encoded: The questions in columns, encoded with its vocabulary.
        features: The features of their images.
        temperature: Temperature of its probabilities; 1 if it was not calibrated.
    """

    run: Run
    model: VqaModel
    encoded: EncodedQuestions
    features: StoreFeatures
    temperature: float = 1.0

    def with_shuffled_images(self, seed: int) -> "Member":
        """Return the same member with the images exchanged among each other.

        Args:
            seed: Seed of the exchange. The members of an ensemble get the same one.

        Returns:
            The member.
        """
        return dataclasses.replace(self, features=self.features.shuffled(seed))


def open_members(
    runs: Sequence[Run], questions: Sequence[Question], annotations: Annotations, what: str, device: torch.device
) -> tuple[list[Member], tuple[Question, ...]]:
    """Load the models and open the features with which runs answer questions.

    Args:
        runs: The runs.
        questions: The questions.
        annotations: The annotations that the questions are from.
        what: The kind of questions for messages.
        device: Where to compute.

    Returns:
        The members, and the questions that remain after those with unreadable images are left out.

    Raises:
        UserError: Features are missing.
    """
    kept = tuple(questions)
    stores = []
    for run in runs:
        stores.append(store_of_config(run.config, images_of(kept, annotations), run))
        kept = readable_questions(run.config, stores[-1], kept, what)
    members = []
    for run, store in zip(runs, stores, strict=True):
        encoded = encode_questions(kept, run.tokenizer, run.answers)
        temperature = read_calibration(run).temperature
        members.append(Member(run, load_model(run, device), encoded, open_features(store, encoded), temperature))
    return members, kept


def answer_questions(members: Sequence[Member], questions: Sequence[Question], device: torch.device) -> dict[str, Prediction]:
    """Answer every question; several processes share the work.

    Several members answer with the mean of their probabilities, over the answers that any of them knows; the sums take
    questions x answers x 4 bytes. If a question has choices, a classifier gives the best of those it knows.

    Args:
        members: From ``open_members``.
        questions: The questions that they were opened for.
        device: Where to compute.

    Returns:
        Predictions by question id.
    """
    if members[0].run.config.model.head.name == "generative" and not members[0].encoded.num_choices:
        return _write(members[0], questions, device)
    found = _average(members, device)[0] if len(members) > 1 else _collect(members[0], device)
    return _predictions(found, all_answers(members), questions)


def answer_with_members(
    members: Sequence[Member], questions: Sequence[Question], device: torch.device
) -> tuple[dict[str, Prediction], list[dict[str, Prediction]]]:
    """Answer every question with an ensemble and also with each of its members alone.

    Args:
        members: From ``open_members``, at least two.
        questions: The questions that they were opened for.
        device: Where to compute.

    Returns:
        The predictions as in ``answer_questions``, and those of each member.
    """
    together, alone = _average(members, device)
    of_members = [_predictions(found, each.run.answers.answers, questions) for each, found in zip(members, alone, strict=True)]
    return _predictions(together, all_answers(members), questions), of_members


def _predictions(
    found: "CollectAnswers | _Averaged", answers: Sequence[str], questions: Sequence[Question]
) -> dict[str, Prediction]:
    predictions = {}
    for place, question in enumerate(questions):
        labels = question.choices or question.choice_labels
        if labels:
            prediction = _choose(question, labels, found.choice_scores[place], found.choice_probabilities[place])
        else:
            prediction = Prediction(
                question_id=question.question_id,
                answer=answers[found.best[place]],
                probability=float(found.probability[place]),
            )
        predictions[question.question_id] = prediction
    return predictions


def _write(member: Member, questions: Sequence[Question], device: torch.device) -> dict[str, Prediction]:
    """Write a text for every question by beam search."""
    set_float32_products("float32")  # this process may have trained in another precision
    writer = build_writer(member.model, partial(beam_search, width=BEAM_WIDTH), device)
    texts = CollectTexts(len(member.encoded), member.model.head.max_tokens)  # type: ignore[arg-type]
    texts.attach(writer)
    writer.run(_batches(member, device))
    decode = member.run.tokenizer.decode
    return {
        question.question_id: Prediction(
            question_id=question.question_id, answer=decode(tokens[:length].tolist()), probability=math.exp(log_p)
        )
        for question, tokens, length, log_p in zip(questions, texts.tokens, texts.lengths, texts.log_p, strict=True)
    }


def _batches(member: Member, device: torch.device) -> Loader:
    """Return the batches of this process."""
    rank, world_size = launched()
    batch_size = member.run.config.evaluation.batch_size
    batches = QuestionSampler(member.encoded.image, batch_size, shuffle=False, rank=rank, world_size=world_size)
    return build_loader(member.encoded, member.features, batches, pin_memory=device.type == "cuda")


@dataclass(frozen=True, slots=True)
class _Averaged:
    """Means over the members of what ``CollectAnswers`` collects."""

    best: NDArray[np.int64]
    probability: NDArray[np.float32]
    choice_scores: NDArray[np.float32]
    choice_probabilities: NDArray[np.float32]


def _collect(member: Member, device: torch.device, **options: Any) -> CollectAnswers:
    """Let a member answer; ``options`` are passed to ``CollectAnswers``."""
    set_float32_products("float32")  # this process may have trained in another precision
    evaluator = build_evaluator(member.model, member.encoded, device=device)
    found = CollectAnswers(member.model, member.encoded, temperature=member.temperature, **options)
    found.attach(evaluator)
    evaluator.run(_batches(member, device))
    return found


def answer_with_logits(
    member: Member, questions: Sequence[Question], device: torch.device
) -> tuple[dict[str, Prediction], NDArray[np.float32]]:
    """Answer every question and also return the logits.

    Args:
        member: From ``open_members``.
        questions: The questions that it was opened for.
        device: Where to compute.

    Returns:
        The predictions as in ``answer_questions``; and (N, A) logits of the answers in its vocabulary, or (N, C) logits of the
        choices in the order of the batch, -inf for missing choices.
    """
    has_choices = member.encoded.num_choices > 0
    found = _collect(member, device, num_answers=0 if has_choices else len(member.run.answers))
    logits = found.choice_scores if has_choices else found.logits
    return _predictions(found, member.run.answers.answers, questions), logits


def all_answers(members: Sequence[Member]) -> list[str]:
    """Return the answers that an ensemble can give.

    Args:
        members: The members of the ensemble.

    Returns:
        The answers of all vocabularies without repetition, those of the first member first.
    """
    return list(dict.fromkeys(answer for member in members for answer in member.run.answers.answers))


def _average(members: Sequence[Member], device: torch.device) -> tuple[_Averaged, list[CollectAnswers]]:
    """Return the means over the members, and what each member answers alone."""
    place_of = {answer: place for place, answer in enumerate(all_answers(members))}
    num_questions, num_choices = len(members[0].encoded), members[0].encoded.num_choices
    total = np.zeros((num_questions, len(place_of) or 1), dtype=np.float32)
    choices = np.zeros((num_questions, num_choices), dtype=np.float32)
    is_known = np.zeros((num_questions, num_choices), dtype=bool)
    alone = []
    for member in members:
        if num_choices:
            found = _collect(member, device)
            choices += found.choice_probabilities
            is_known |= found.choice_scores > -np.inf
        else:
            columns = [place_of[answer] for answer in member.run.answers.answers]
            found = _collect(member, device, total=total, columns=columns)
        alone.append(found)
    total = largest_of_all(total)
    total /= len(members)
    choices /= len(members)
    together = _Averaged(
        best=total.argmax(axis=1),
        probability=total.max(axis=1),
        choice_scores=np.where(is_known, choices, -np.inf).astype(np.float32),
        choice_probabilities=choices,
    )
    return together, alone


def _choose(
    question: Question, labels: Sequence[str], scores: NDArray[np.float32], probabilities: NDArray[np.float32]
) -> Prediction:
    """Return the prediction for a question with choices, in the order of its source.

    Equal scores rank in the hashed order of the batch, which favours no place.
    """
    order = choice_order(question.question_id, len(labels))
    as_scored = rank_choices(scores[None, : len(labels)])[0]
    first = int(as_scored.argmin())
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[order] = as_scored
    return Prediction(
        question_id=question.question_id,
        answer=labels[order[first]],
        probability=float(probabilities[first]),
        choice=order[first],
        ranks=ranks,
    )
