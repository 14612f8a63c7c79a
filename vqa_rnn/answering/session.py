"""Sessions: asking a trained model about one image at a time, or many questions at once.

With a dialog model, the session keeps the dialog about the image: a question is asked with the caption and the earlier rounds.
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
    NO_IMAGE,
    About,
    AnySession,
    as_questions,
    check_choice_texts,
    check_images,
    check_record,
    split_asked,
)
from vqa_rnn.answering.texts import check_text
from vqa_rnn.checkpoint import load_run
from vqa_rnn.errors import UserError
from vqa_rnn.features.images import ImageSource
from vqa_rnn.huggingface import fetch
from vqa_rnn.models.model import grid_boxes
from vqa_rnn.records import CAPTION_PROMPT, Question, Round
from vqa_rnn.run_folder import best_validation
from vqa_rnn.text import same_words

MOST_QUESTIONS = 64  # in one batch


def load(path: str | Path, weights: str | None = None) -> AnySession:
    """Open a trained model to ask it questions.

    Args:
        path: A run folder or an exported one; ``hub:OWNER/NAME``, an exported run folder on the Hugging Face hub; or
            ``hf:OWNER/NAME``, a visual question answering model of Hugging Face, such as ViLT or BLIP.
        weights: The backbone's weights, if their location differs from training.

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
    """A trained model, the image it is asked about and, for a dialog model, the dialog about it.

    Attributes:
        run: The run folder.
        image: The current image; None before the first.
        caption: The caption that opens the dialog, or None.
        rounds: The rounds of the dialog about the image, in order; empty if the model is not a dialog model.
    """

    def __init__(self, path: str | Path, weights: str | None = None) -> None:
        """Open a run.

        Args:
            path: A run folder or an exported one; ``hub:OWNER/NAME`` on the Hugging Face hub.
            weights: The backbone's weights, if their location differs from training.

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
        """Create another session with the same model, for another image or another user.

        Returns:
            The session, without an image. It takes no time and no memory, as the model is shared.
        """
        other = copy.copy(self)
        other._begin()
        return other

    @property
    def about(self) -> About:
        """A description of the model, for its users."""
        best = best_validation(self.run.path)
        return About(
            name=str(self.run.path),
            dataset=self.run.config.dataset.name,
            num_answers=len(self.run.answers),
            accuracy=None if best is None or self.writes_captions else best[0],
            examples=() if self.writes_captions else tuple(self.run.examples),
        )

    @property
    def image(self) -> ImageSource | None:
        """The current image; None before the first."""
        return None if self._seen is None else self._seen.image

    @property
    def sees_images(self) -> bool:
        """Whether the model uses an image. A model with ``features.library=none`` uses text only."""
        return self.run.config.features.library != "none"

    @property
    def is_dialog(self) -> bool:
        """Whether the model reads the dialog history, so that a question can refer to it."""
        return self.run.config.model.history.name != "none"

    @property
    def needs_choices(self) -> bool:
        """Whether the model can only choose among given candidates."""
        return self.run.config.model.head.name not in ("classifier", "generative")

    @property
    def writes_captions(self) -> bool:
        """Whether the model describes images instead of answering questions."""
        return self.run.config.dataset.has_captions

    def see(self, image: ImageSource) -> None:
        """Set the current image, extract its features, and start a new dialog without a caption.

        Args:
            image: The path of a file, its bytes, a Pillow image, or an array: (height, width) or (height, width, 3 or 4), uint8
                or float from 0 to 1.

        Raises:
            UserError: It cannot be read, or the model uses text only. The previous image and its dialog are kept.
        """
        (self._seen,) = self._answerer.look([image])
        self.caption, self.rounds = None, ()

    def regions(self, image: ImageSource | None = None) -> dict[str, NDArray[Any]]:
        """Return the inputs of the model for an image as arrays, as an exported ``model.onnx`` takes them.

        Args:
            image: An image as in ``see``, which becomes the current image. None uses the current image, or no image if the
                model uses text only.

        Returns:
            ``features`` (1, K, D) float32; ``region_mask`` (1, K) bool; and, if the model uses the positions of regions,
            ``boxes`` (1, K, 4) float32, x1 y1 x2 y2 as fractions of the image.

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
        """Set the caption of the image. It precedes all rounds, including those already asked.

        Args:
            text: A sentence; an empty text removes the caption.

        Raises:
            UserError: The model is not a dialog model, there is no image yet, or the text is refused by ``check_text``.
        """
        self.check_dialog()
        self._check_image()
        self.caption = check_text(text, "the caption").strip() or None

    def undo(self) -> Round:
        """Remove the last round.

        Returns:
            The removed round.

        Raises:
            UserError: The model is not a dialog model, or there is no round.
        """
        last = self._last_round()
        self.rounds = self.rounds[:-1]
        return last

    def reset(self) -> None:
        """Remove all rounds; the image and the caption are kept.

        Raises:
            UserError: The model is not a dialog model.
        """
        self.check_dialog()
        self.rounds = ()

    def correct(self, answer: str) -> Round:
        """Replace the answer of the last round, so that later questions build on it.

        Args:
            answer: The right answer.

        Returns:
            The corrected round.

        Raises:
            UserError: The model is not a dialog model, there is no round, or the answer is empty or refused by ``check_text``.
        """
        last = self._last_round()
        if not check_text(answer, "the answer").strip():
            raise UserError("the answer is empty: give the right one")
        corrected = Round(last.question, answer.strip())
        self.rounds = (*self.rounds[:-1], corrected)
        return corrected

    def check_dialog(self) -> None:
        """Check that the model is a dialog model.

        Raises:
            UserError: It is not.
        """
        if not self.is_dialog:
            raise UserError(
                f"{self.run.path} is not a dialog model (model.history.name=none): it takes no caption and no earlier rounds"
            )

    def ask(
        self,
        *asked: ImageSource,
        choices: Sequence[str] | None = None,
        history: Sequence[tuple[str, str]] | None = None,
        top: int = 5,
    ) -> Answer:
        """Answer a question about an image. With a dialog model, the question and the best answer become a new round.

        Args:
            *asked: A question about the current image; or an image, as in ``see``, and a question.
            choices: Candidate answers; required with a choice head. Without them, a generative head writes its answer.
            history: For a dialog model: earlier questions with their answers, which replace the rounds so far.
            top: Maximum number of answers.

        Returns:
            The answer.

        Raises:
            UserError: There is no image or it cannot be read, the question is refused by ``check_question``, or the choices or
                the history do not fit the model.
            TypeError: There are no arguments, or more than an image and a question.
        """
        if self.writes_captions:
            raise UserError(f"{self.run.path} describes images and answers no questions: use vqa-rnn caption, or describe()")
        images, question = split_asked(asked)
        if not images:
            self._check_image()
        rounds, caption = ((), None) if images else (self.rounds, self.caption)
        if history is not None:
            self.check_dialog()
            rounds = tuple(map(_as_round, history))
        record = Question(
            question_id="ask",
            image_id="image",
            question=question,
            split="test",
            choices=tuple(choices or ()),
            caption=caption,
            history=rounds,
        )
        self._check(record)
        seen = self._answerer.look(images)[0] if images else self._seen
        assert seen is not None
        (answer,) = self._answerer.answer([record], [seen], top)
        if self.is_dialog:
            rounds = (*rounds, Round(question.strip(), answer.best))
        self._seen, self.caption, self.rounds = seen, caption, rounds  # only now: nothing is lost if the question is refused
        return answer

    def describe(self, image: ImageSource | None = None) -> Answer:
        """Write a caption.

        Args:
            image: An image as in ``see``, which becomes the current image; None describes the current image.

        Returns:
            The caption, as the answer to ``CAPTION_PROMPT``.

        Raises:
            UserError: The model answers questions, there is no image, or it cannot be read.
        """
        if not self.writes_captions:
            raise UserError(f"{self.run.path} answers questions and writes no captions: ask one")
        if image is not None:
            self.see(image)
        self._check_image()
        assert self._seen is not None
        record = Question(question_id="describe", image_id="image", question=CAPTION_PROMPT, split="test")
        (answer,) = self._answerer.answer([record], [self._seen], 1)
        return answer

    def answer(self, questions: Sequence[Question], images: Mapping[str, ImageSource], top: int = 5) -> list[Answer]:
        """Answer many independent questions; the current image and its dialog are kept.

        Args:
            questions: The questions with their choices, captions and histories; their true answers are ignored. Questions about
                the same image should be adjacent, or its features are extracted again.
            images: The image of each ``image_id``, as in ``see``; ignored if the model uses text only.
            top: Maximum number of answers to each question.

        Returns:
            The answers, in order.

        Raises:
            UserError: An image is missing or cannot be read, or a question or its choices do not fit the model.
        """
        for question in questions:
            self._check(question)
        if self.sees_images:
            check_images(questions, images)
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
        """Answer many independent questions; the current image and its dialog are kept.

        Args:
            asked: Pairs of an image, as in ``see``, and a question. Questions about the same image should be adjacent.
            choices: Candidate answers to all questions.
            top: Maximum number of answers to each question.

        Returns:
            The answers, in order.

        Raises:
            UserError: An image cannot be read, or a question or the choices do not fit the model.
        """
        return self.answer(*as_questions(asked, choices), top)

    def _batches(self, questions: Sequence[Question]) -> Iterator[list[Question]]:
        """Yield batches of consecutive questions: all or none have choices, and one pass of the extractor fits their images."""
        batch: list[Question] = []
        for _, group in groupby(questions, key=lambda question: bool(question.choices)):
            for question in group:
                image_ids = {each.image_id for each in batch} | {question.image_id}
                too_many_images = self.sees_images and len(image_ids) > self._answerer.batch_rows
                if len(batch) == MOST_QUESTIONS or too_many_images:
                    yield batch
                    batch = []
                batch.append(question)
            yield batch
            batch = []

    def check_choices(self, choices: Sequence[str]) -> None:
        """Check that the model can choose among these answers.

        Args:
            choices: The candidate answers.

        Raises:
            UserError: The model needs choices and there are none, there is only one, or two are the same to the model.
        """
        if self.needs_choices and not choices:
            raise UserError(
                "this model chooses among answers: give at least two, with --choice or --choices FILE, in the prompt with "
                "/choices yes, no or /choices @FILE"
            )
        check_choice_texts(choices)
        if self.run.config.model.head.name != "classifier":  # a classifier does not read them
            for one, other in same_words(choices):
                raise UserError(f"the choices '{one}' and '{other}' are the same words to a model: write them differently")

    def _check(self, question: Question) -> None:
        """Check that the model can answer a question."""
        check_record(question)
        self.check_choices(question.choices)

    def _check_image(self) -> None:
        if self._seen is None:
            raise UserError(NO_IMAGE)

    def _last_round(self) -> Round:
        self.check_dialog()
        if not self.rounds:
            raise UserError("nothing was asked yet: there is no round to change")
        return self.rounds[-1]


def _as_round(turn: Sequence[str]) -> Round:
    """Check one pair of a history."""
    if isinstance(turn, str) or len(turn) != 2:
        raise UserError("the history must be a list of pairs: a question and its answer")
    question, answer = (check_text(text, "the history") for text in turn)
    return Round(question, answer)
