"""The interface of a session, for any kind of model. The prompt, the page and the pictures use only this interface."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vqa_rnn.answering.answer import Answer
from vqa_rnn.answering.texts import EMPTY, check_characters, check_question
from vqa_rnn.answers import fold_answer
from vqa_rnn.errors import UserError
from vqa_rnn.features.images import ImageSource
from vqa_rnn.records import Question, Round, is_empty


@dataclass(frozen=True, slots=True)
class About:
    """A description of a model, for its users.

    Attributes:
        name: The run folder, or the name of the model.
        dataset: The data set it was trained on; empty if unknown.
        num_answers: Size of its answer vocabulary; 0 if it writes answers or chooses among given ones.
        accuracy: Validation accuracy; None if unknown.
        examples: Some of its training questions.
    """

    name: str
    dataset: str = ""
    num_answers: int = 0
    accuracy: float | None = None
    examples: tuple[str, ...] = ()


class AnySession(Protocol):
    """A model, the image it is asked about and, for a dialog model, the dialog about it."""

    @property
    def about(self) -> About:
        """A description of the model."""
        ...

    @property
    def image(self) -> ImageSource | None:
        """The current image; None before the first."""
        ...

    @property
    def caption(self) -> str | None:
        """The caption that opens the dialog, or None."""
        ...

    @property
    def rounds(self) -> tuple[Round, ...]:
        """The rounds of the dialog about the image, in order; empty if the model is not a dialog model."""
        ...

    @property
    def sees_images(self) -> bool:
        """Whether the model uses an image."""
        ...

    @property
    def is_dialog(self) -> bool:
        """Whether the model reads the dialog history."""
        ...

    @property
    def needs_choices(self) -> bool:
        """Whether the model can only choose among given candidates."""
        ...

    @property
    def writes_captions(self) -> bool:
        """Whether the model describes images instead of answering questions."""
        ...

    def another(self) -> "AnySession":
        """Create a session with the same model and without an image; the model is shared, not loaded again."""
        ...

    def see(self, image: ImageSource) -> None:
        """Set the current image and start a new dialog."""
        ...

    def ask(
        self,
        *asked: ImageSource,
        choices: Sequence[str] | None = None,
        history: Sequence[tuple[str, str]] | None = None,
        top: int = 5,
    ) -> Answer:
        """Answer a question about the current image, or about an image given before the question."""
        ...

    def describe(self, image: ImageSource | None = None) -> Answer:
        """Write a caption for the current image, or for an image that becomes the current one."""
        ...

    def answer(self, questions: Sequence[Question], images: Mapping[str, ImageSource], top: int = 5) -> list[Answer]:
        """Answer many independent questions; the current image and the dialog are kept."""
        ...

    def ask_many(
        self, asked: Sequence[tuple[ImageSource, str]], choices: Sequence[str] | None = None, top: int = 5
    ) -> list[Answer]:
        """Answer many independent questions, each with its image."""
        ...

    def check_choices(self, choices: Sequence[str]) -> None:
        """Check that the model can choose among these answers."""
        ...

    def check_dialog(self) -> None:
        """Check that the model is a dialog model."""
        ...

    def set_caption(self, text: str) -> None:
        """Set the caption of the image, which precedes all rounds."""
        ...

    def undo(self) -> Round:
        """Remove the last round and return it."""
        ...

    def reset(self) -> None:
        """Remove all rounds."""
        ...

    def correct(self, answer: str) -> Round:
        """Replace the answer of the last round and return the round."""
        ...


NO_IMAGE = "there is no image yet: give one first with --image FILE, in the prompt with /image FILE"


def check_images(questions: Sequence[Question], images: Mapping[str, ImageSource]) -> None:
    """Check that each question has its image.

    Args:
        questions: The questions.
        images: The image of each ``image_id``.

    Raises:
        UserError: An image is missing.
    """
    for question in questions:
        if question.image_id not in images:
            raise UserError(f"question {question.question_id} is about {question.image_id}: there is no such image")


def rank_choices(probabilities: Mapping[str, float | None]) -> list[tuple[str, float]]:
    """Rank the choices of a question that a classifier was asked.

    Args:
        probabilities: The classifier's probability of each choice; None if the choice is not in its answer vocabulary.

    Returns:
        The choices with probabilities that sum to 1, the best first; choices outside the vocabulary have 0.

    Raises:
        UserError: No choice is in the vocabulary.
    """
    if all(p is None for p in probabilities.values()):
        raise UserError("none of the choices is an answer that this model knows; ask without choices to see some")
    total = sum(p for p in probabilities.values() if p is not None) or 1.0  # all may underflow to 0
    shares = [(choice, 0.0 if p is None else p / total) for choice, p in probabilities.items()]
    return sorted(shares, key=lambda pair: -pair[1])


def as_questions(
    asked: Sequence[tuple[ImageSource, str]], choices: Sequence[str] | None = None
) -> tuple[list[Question], dict[str, ImageSource]]:
    """Convert pairs of an image and a question to the arguments of ``AnySession.answer``.

    Args:
        asked: The pairs.
        choices: Candidate answers to all questions.

    Returns:
        The questions, and the image of each ``image_id``. A repeated image has one id.

    Raises:
        UserError: A question is not a string, is empty, or is otherwise refused by ``check_question``.
    """
    images: dict[str, ImageSource] = {}
    questions = []
    for number, (image, question) in enumerate(asked):
        image_id = str(image) if isinstance(image, str | Path) else f"image {id(image)}"
        images[image_id] = image
        questions.append(
            Question(
                question_id=str(number),
                image_id=image_id,
                question=check_question(question),
                split="test",
                choices=tuple(choices or ()),
            )
        )
    return questions, images


def split_asked(asked: Sequence[ImageSource]) -> tuple[Sequence[ImageSource], str]:
    """Split the arguments of ``AnySession.ask`` into image and question.

    Args:
        asked: The positional arguments.

    Returns:
        The image (a sequence of one or none) and the question.

    Raises:
        TypeError: There are no arguments, or more than an image and a question.
        UserError: The question is not a string, is empty, or is otherwise refused by ``check_question``.
    """
    if not 1 <= len(asked) <= 2:
        raise TypeError("ask takes a question, or an image and a question")
    return asked[:-1], check_question(asked[-1])


def check_record(question: Question) -> None:
    """Check the texts of a question and its choices.

    Args:
        question: The question, with its choices.

    Raises:
        UserError: The question is empty, or it or a choice has a character that is not allowed.
    """
    check_characters(question.question, "the question")
    if is_empty(question.question):
        raise UserError(EMPTY)
    for number, choice in enumerate(question.choices, start=1):
        check_characters(choice, f"choice number {number}")


def check_choice_texts(choices: Sequence[str]) -> None:
    """Check that there are no choices, or at least two different ones.

    Args:
        choices: The candidate answers.

    Raises:
        UserError: There is only one, or one occurs twice.
    """
    if len(choices) == 1:
        raise UserError("one choice; at least two are needed, in the prompt with commas between them")
    if len({fold_answer(choice) for choice in choices}) < len(choices):
        raise UserError("a choice comes twice")
