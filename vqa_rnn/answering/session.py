"""Asking a trained model: one image at a time, or many questions at once.

A dialog model remembers what was said about the image: each question is asked after a caption and the rounds before it.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vqa_rnn.answering.answer import Answer
from vqa_rnn.answering.answerer import NOTHING, Answerer, Seen
from vqa_rnn.answering.huggingface import HUGGING_FACE, HuggingFaceSession
from vqa_rnn.answering.protocol import (
    About,
    AnySession,
    as_questions,
    check_choice_texts,
    check_record,
    split_asked,
)
from vqa_rnn.answering.texts import check_text
from vqa_rnn.checkpoint import best_validation, load_run
from vqa_rnn.errors import UserError
from vqa_rnn.features.images import ImageSource
from vqa_rnn.huggingface import fetch
from vqa_rnn.models.model import grid_boxes
from vqa_rnn.records import Question, Round
from vqa_rnn.text import same_words

MOST_QUESTIONS = 64  # in one batch


def load(path: str | Path, weights: str | None = None) -> AnySession:
    """Open a trained model to ask it.

    Args:
        path: The run folder, or an exported one; ``hub:OWNER/NAME``, an exported one on the Hugging Face hub; or
            ``hf:OWNER/NAME``, a model for visual question answering of Hugging Face, such as ViLT or BLIP.
        weights: The backbone's weights, where they lie elsewhere than in training.

    Returns:
        The session.

    Raises:
        UserError: The run or the backbone's weights are missing, or the backbone is not the one of training.
    """
    if str(path).startswith(HUGGING_FACE):
        if weights is not None:
            raise UserError(f"{path} has no backbone of its own: leave --weights out")
        return HuggingFaceSession(str(path).removeprefix(HUGGING_FACE))
    return Session(path, weights)


class Session:
    """A trained model, the image it is asked about and, with a dialog model, what was said about it.

    Attributes:
        run: The run folder.
        image: The image, or None before the first.
        caption: The sentence about the image that opens the dialog, or None.
        rounds: What was asked about the image and answered, in order; empty where the model is not a dialog model.
    """

    def __init__(self, path: str | Path, weights: str | None = None) -> None:
        """Open a run.

        Args:
            path: The run folder, or an exported one; ``hub:OWNER/NAME`` on the Hugging Face hub.
            weights: The backbone's weights, where they lie elsewhere than in training.

        Raises:
            UserError: The run or the backbone's weights are missing, or the backbone is not the one of training.
        """
        self.run = load_run(fetch(path))
        self._answerer = Answerer(self.run, weights)
        self._begin()

    def _begin(self) -> None:
        self._seen: Seen | None = None if self.sees_images else NOTHING
        self.caption: str | None = None
        self.rounds: tuple[Round, ...] = ()

    def another(self) -> "Session":
        """Begin another session with the same model, for another image or another user.

        Returns:
            The session, without an image. It costs no time and no memory, as the model is not loaded again.
        """
        other = copy.copy(self)
        other._begin()
        return other

    @property
    def about(self) -> About:
        """What the model knows, to tell its users."""
        best = best_validation(self.run.path)
        return About(
            name=str(self.run.path),
            dataset=self.run.config.dataset.name,
            num_answers=len(self.run.answers),
            accuracy=None if best is None else best[0],
            examples=tuple(self.run.examples),
        )

    @property
    def image(self) -> ImageSource | None:
        """The image, or None before the first."""
        return None if self._seen is None else self._seen.image

    @property
    def sees_images(self) -> bool:
        """Whether the model looks at an image; one of ``features.library=none`` reads text alone and needs none."""
        return self.run.config.features.library != "none"

    @property
    def is_dialog(self) -> bool:
        """Whether the model reads what was said before, so that a question can be about it."""
        return self.run.config.model.history.name != "none"

    @property
    def needs_choices(self) -> bool:
        """Whether the model can only choose among candidates, and has no answers of its own."""
        return self.run.config.model.head.name not in ("classifier", "generative")

    def see(self, image: ImageSource) -> None:
        """Look at an image; its features are kept until the next, and a new dialog begins, without a caption.

        Args:
            image: A file's path, its bytes, an image of Pillow, or an array: (height, width) or (height, width, 3 or 4), of
                uint8 or of floats from 0 to 1.

        Raises:
            UserError: It cannot be read, or the model sees none; the image before stays, and its dialog.
        """
        (self._seen,) = self._answerer.look([image])
        self.caption, self.rounds = None, ()

    def regions(self, image: ImageSource | None = None) -> dict[str, NDArray[Any]]:
        """What the model reads of an image, as arrays: inputs of an exported ``model.onnx``.

        Args:
            image: As ``see`` takes it; None takes the one that was seen last, or no image where the model reads text alone.

        Returns:
            ``features`` (1, K, D) float32; ``region_mask`` (1, K) bool; and for a model that reads where regions lie ``boxes``
            (1, K, 4) float32, x1 y1 x2 y2 as fractions of the image.

        Raises:
            UserError: The image cannot be read, or there is none.
        """
        if image is not None:
            self.see(image)
        self._check_image()
        assert self._seen is not None
        features = self._seen.features[None].astype(np.float32)
        inputs = {"features": features, "region_mask": np.ones(features.shape[:2], dtype=np.bool_)}
        if self.run.config.model.geometry:
            boxes = self._seen.boxes
            inputs["boxes"] = grid_boxes(torch.from_numpy(features)).numpy() if boxes is None else boxes[None]
        return inputs

    def set_caption(self, text: str) -> None:
        """Say something about the image; it comes before all rounds, those that were asked included.

        Args:
            text: A sentence; an empty one takes the caption away.

        Raises:
            UserError: The model is not a dialog model, or there is no image yet.
        """
        self.check_dialog()
        self._check_image()
        self.caption = check_text(text, "the caption").strip() or None

    def undo(self) -> Round:
        """Take the last round back.

        Returns:
            The round.

        Raises:
            UserError: There is none.
        """
        last = self._last_round()
        self.rounds = self.rounds[:-1]
        return last

    def reset(self) -> None:
        """Forget all rounds; image and caption stay.

        Raises:
            UserError: The model is not a dialog model.
        """
        self.check_dialog()
        self.rounds = ()

    def correct(self, answer: str) -> Round:
        """Put another answer in place of the last one, so that what is asked next builds on it.

        Args:
            answer: What is right.

        Returns:
            The round as it stands now.

        Raises:
            UserError: The answer is empty, or there is no round.
        """
        last = self._last_round()
        if not check_text(answer, "the answer").strip():
            raise UserError("the answer is empty: give the right one")
        corrected = Round(last.question, answer.strip())
        self.rounds = (*self.rounds[:-1], corrected)
        return corrected

    def check_dialog(self) -> None:
        """See that the model keeps a dialog.

        Raises:
            UserError: It does not.
        """
        if not self.is_dialog:
            raise UserError(
                f"{self.run.path} answers every question by itself (model.history.name=none): it keeps no caption and no rounds"
            )

    def ask(
        self,
        *asked: ImageSource,
        choices: Sequence[str] | None = None,
        history: Sequence[tuple[str, str]] | None = None,
        top: int = 5,
    ) -> Answer:
        """Answer a question about an image. A dialog model keeps question and best answer as a round.

        Args:
            *asked: The question, about the image that was seen last; or an image as ``see`` takes it, and the question.
            choices: Candidate answers; needed by a model with a choice head. Without them a generative head writes its answer.
            history: For a dialog model, earlier questions with their answers, in place of the rounds so far.
            top: How many answers to give, at most.

        Returns:
            The answer.

        Raises:
            UserError: There is no image yet or it cannot be read, the question is no text or asks nothing, or the choices or
                the history do not fit the model.
            TypeError: There is nothing, or more than an image and a question.
        """
        images, question = split_asked(asked)
        for image in images:
            self.see(image)
        if history is not None:
            self.check_dialog()
            self.rounds = tuple(Round(*(check_text(text, "the history") for text in turn)) for turn in history)
        self._check_image()
        assert self._seen is not None
        record = Question(
            question_id="ask",
            image_id="image",
            question=question,
            split="test",
            choices=tuple(choices or ()),
            caption=self.caption,
            history=self.rounds,
        )
        self._check(record)
        (answer,) = self._answerer.answer([record], [self._seen], top)
        if self.is_dialog:
            self.rounds = (*self.rounds, Round(question.strip(), answer.best))
        return answer

    def answer(self, questions: Sequence[Question], images: Mapping[str, ImageSource], top: int = 5) -> list[Answer]:
        """Answer many questions at once, each by itself; the image that is looked at and its dialog stay as they are.

        Args:
            questions: The questions, with their choices, captions and histories; their answers are not read. Those about one
                image are best side by side.
            images: The image of each ``image_id``, as ``see`` takes it; not read where the model sees none.
            top: How many answers to give, at most.

        Returns:
            The answers, in order.

        Raises:
            UserError: An image is missing or cannot be read, or a question or its choices do not fit the model.
        """
        for question in questions:
            self._check(question)
            if self.sees_images and question.image_id not in images:
                raise UserError(f"question {question.question_id} is about {question.image_id}: there is no such image")
        answers: list[Answer] = []
        for batch in self._batches(questions):
            seen = {question.image_id: NOTHING for question in batch}
            if self.sees_images:
                seen = dict(zip(seen, self._answerer.look([images[image_id] for image_id in seen]), strict=True))
            answers += self._answerer.answer(batch, [seen[question.image_id] for question in batch], top)
        return answers

    def ask_many(
        self, asked: Sequence[tuple[ImageSource, str]], choices: Sequence[str] | None = None, top: int = 5
    ) -> list[Answer]:
        """Answer many questions at once, each by itself; the image that is looked at and its dialog stay as they are.

        Args:
            asked: Images as ``see`` takes them, each with a question. Those about one image are best side by side.
            choices: Candidate answers to all of them.
            top: How many answers to give, at most.

        Returns:
            The answers, in order.

        Raises:
            UserError: An image cannot be read, or a question or the choices do not fit the model.
        """
        return self.answer(*as_questions(asked, choices), top)

    def _batches(self, questions: Sequence[Question]) -> Iterator[list[Question]]:
        """Consecutive questions, all of them with choices or none, about as many images as the extractor takes at once."""
        batch: list[Question] = []
        for _, group in groupby(questions, key=lambda question: bool(question.choices)):
            for question in group:
                image_ids = {each.image_id for each in batch} | {question.image_id}
                if len(batch) == MOST_QUESTIONS or len(image_ids) > self._answerer.batch_rows:
                    yield batch
                    batch = []
                batch.append(question)
            yield batch
            batch = []

    def check_choices(self, choices: Sequence[str]) -> None:
        """See that the model can choose among answers.

        Args:
            choices: The candidates.

        Raises:
            UserError: The model needs some, there is only one, or one comes twice.
        """
        if self.needs_choices and not choices:
            raise UserError(
                "this model chooses among answers: give at least two, with --choice or --choices FILE, in the prompt with "
                "/choices yes, no or /choices @FILE"
            )
        check_choice_texts(choices)
        if self.run.config.model.head.name != "classifier":  # which does not read them
            for one, other in same_words(choices):
                raise UserError(f"the choices '{one}' and '{other}' are the same words to a model: write them differently")

    def _check(self, question: Question) -> None:
        """See that the model can be asked this."""
        check_record(question)
        self.check_choices(question.choices)

    def _check_image(self) -> None:
        if self._seen is None:
            raise UserError("there is no image yet: give one first with --image FILE, in the prompt with /image FILE")

    def _last_round(self) -> Round:
        self.check_dialog()
        if not self.rounds:
            raise UserError("nothing was asked yet: there is no round to change")
        return self.rounds[-1]
