"""Questions to predictions: by one run, or by several whose probabilities are averaged."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vqa_rnn.answering.calibration import read_calibration
from vqa_rnn.checkpoint import Run, load_model
from vqa_rnn.commands.shared import images_of, open_features, readable_questions, store_of_config
from vqa_rnn.data.columns import EncodedQuestions
from vqa_rnn.data.encoding import choice_order, encode_questions
from vqa_rnn.data.loader import build_loader
from vqa_rnn.data.sampler import QuestionSampler
from vqa_rnn.data.store_features import StoreFeatures
from vqa_rnn.engines import CollectAnswers, build_evaluator, largest_of_all, launched
from vqa_rnn.metrics.visdial import rank_choices
from vqa_rnn.models import VqaModel
from vqa_rnn.precision import set_float32_products
from vqa_rnn.records import Annotations, Prediction, Question


@dataclass(frozen=True, slots=True)
class Member:
    """A run that is ready to answer some questions.

    Attributes:
        run: The run.
        model: Its model.
        encoded: The questions in columns, in its words.
        features: Of their images.
        temperature: Of its probabilities, where it was calibrated.
    """

    run: Run
    model: VqaModel
    encoded: EncodedQuestions
    features: StoreFeatures
    temperature: float = 1.0

    def with_shuffled_images(self, seed: int) -> "Member":
        """The same with images exchanged among each other.

        Args:
            seed: Another seed gives another exchange; members of an ensemble get the same.

        Returns:
            The member.
        """
        return dataclasses.replace(self, features=self.features.shuffled(seed))


def open_members(
    runs: Sequence[Run], questions: Sequence[Question], annotations: Annotations, what: str, device: torch.device
) -> tuple[list[Member], tuple[Question, ...]]:
    """Open what runs need to answer questions.

    Args:
        runs: The runs.
        questions: The questions.
        annotations: They are of these.
        what: What the questions are for, for messages.
        device: Where to compute.

    Returns:
        The runs, ready, and the questions that are left where images could not be read.

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
    """Answer every question; several processes share them.

    Several members answer with the mean of their probabilities, over the answers that any of them knows; the sums take
    questions x answers x 4 bytes. A classifier that is asked a question with choices takes the best of those it knows.

    Args:
        members: From ``open_members``.
        questions: The questions that they were opened for.
        device: Where to compute.

    Returns:
        By question id.
    """
    found = _average(members, device) if len(members) > 1 else _collect(members[0], device)
    return _predictions(found, all_answers(members), questions)


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


@dataclass(frozen=True, slots=True)
class _Averaged:
    """Means of what ``CollectAnswers`` keeps of each member."""

    best: NDArray[np.int64]
    probability: NDArray[np.float32]
    choice_scores: NDArray[np.float32]
    choice_probabilities: NDArray[np.float32]


def _collect(member: Member, device: torch.device, **options: Any) -> CollectAnswers:
    """Let a member answer; ``options`` are those of ``CollectAnswers``."""
    set_float32_products("float32")  # whatever this process trained in before
    rank, world_size = launched()
    batch_size = member.run.config.evaluation.batch_size
    batches = QuestionSampler(member.encoded.image, batch_size, shuffle=False, rank=rank, world_size=world_size)
    evaluator = build_evaluator(member.model, member.encoded, device=device)
    found = CollectAnswers(member.model, member.encoded, temperature=member.temperature, **options)
    found.attach(evaluator)
    evaluator.run(build_loader(member.encoded, member.features, batches, pin_memory=device.type == "cuda"))
    return found


def answer_with_logits(
    member: Member, questions: Sequence[Question], device: torch.device
) -> tuple[dict[str, Prediction], NDArray[np.float32]]:
    """Answer every question, and keep the logits.

    Args:
        member: From ``open_members``.
        questions: The questions that it was opened for.
        device: Where to compute.

    Returns:
        As ``answer_questions``; and (N, A) logits of the answers of its vocabulary, or (N, C) of the choices in the order of
        the batch, -inf where there is none.
    """
    has_choices = member.encoded.num_choices > 0
    found = _collect(member, device, num_answers=0 if has_choices else len(member.run.answers))
    logits = found.choice_scores if has_choices else found.logits
    return _predictions(found, member.run.answers.answers, questions), logits


def all_answers(members: Sequence[Member]) -> list[str]:
    """The answers that an ensemble can give.

    Args:
        members: Its members.

    Returns:
        The answers of all vocabularies, each once, those of the first member first.
    """
    return list(dict.fromkeys(answer for member in members for answer in member.run.answers.answers))


def _average(members: Sequence[Member], device: torch.device) -> _Averaged:
    place_of = {answer: place for place, answer in enumerate(all_answers(members))}
    num_questions, num_choices = len(members[0].encoded), members[0].encoded.num_choices
    total = np.zeros((num_questions, len(place_of) or 1), dtype=np.float32)
    choices = np.zeros((num_questions, num_choices), dtype=np.float32)
    is_known = np.zeros((num_questions, num_choices), dtype=bool)
    for member in members:
        if num_choices:
            found = _collect(member, device)
            choices += found.choice_probabilities
            is_known |= found.choice_scores > -np.inf
        else:
            _collect(member, device, total=total, columns=[place_of[answer] for answer in member.run.answers.answers])
    total = largest_of_all(total)
    total /= len(members)
    choices /= len(members)
    return _Averaged(
        best=total.argmax(axis=1),
        probability=total.max(axis=1),
        choice_scores=np.where(is_known, choices, -np.inf).astype(np.float32),
        choice_probabilities=choices,
    )


def _choose(
    question: Question, labels: Sequence[str], scores: NDArray[np.float32], probabilities: NDArray[np.float32]
) -> Prediction:
    """Bring scores back to the order of the source. Equal scores rank in the hashed order, which favours no place."""
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
