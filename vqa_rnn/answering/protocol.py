"""What a session can do, whoever made its model: the prompt, the page and the pictures need no more than this."""

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
    """What a model knows, to tell its users.

    Attributes:
        name: The run folder, or the name of the model.
        dataset: What it was trained on; empty if that is not known.
        num_answers: How many answers it knows; 0 where it writes them or chooses among given ones.
        accuracy: On the validation split; None if that is not known.
        examples: Questions of its training.
    """

    name: str
    dataset: str = ""
    num_answers: int = 0
    accuracy: float | None = None
    examples: tuple[str, ...] = ()


class AnySession(Protocol):
    """A model, the image it is asked about and, with a dialog model, what was said about it."""

    @property
    def about(self) -> About:
        """What the model knows."""
        ...

    @property
    def image(self) -> ImageSource | None:
        """The image, or None before the first."""
        ...

    @property
    def caption(self) -> str | None:
        """The sentence about the image that opens the dialog, or None."""
        ...

    @property
    def rounds(self) -> tuple[Round, ...]:
        """What was asked about the image and answered, in order; empty where the model is not a dialog model."""
        ...

    @property
    def sees_images(self) -> bool:
        """Whether the model looks at an image."""
        ...

    @property
    def is_dialog(self) -> bool:
        """Whether the model reads what was said before."""
        ...

    @property
    def needs_choices(self) -> bool:
        """Whether the model can only choose among candidates."""
        ...

    def another(self) -> "AnySession":
        """A session with the same model, without an image; the model is not loaded again."""
        ...

    def see(self, image: ImageSource) -> None:
        """Look at an image; a new dialog begins."""
        ...

    def ask(
        self,
        *asked: ImageSource,
        choices: Sequence[str] | None = None,
        history: Sequence[tuple[str, str]] | None = None,
        top: int = 5,
    ) -> Answer:
        """Answer a question about the image, or about one that is given before it."""
        ...

    def answer(self, questions: Sequence[Question], images: Mapping[str, ImageSource], top: int = 5) -> list[Answer]:
        """Answer many questions at once, each by itself; the image and the dialog stay as they are."""
        ...

    def ask_many(
        self, asked: Sequence[tuple[ImageSource, str]], choices: Sequence[str] | None = None, top: int = 5
    ) -> list[Answer]:
        """Answer many questions at once, each with its image."""
        ...

    def check_choices(self, choices: Sequence[str]) -> None:
        """See that the model can choose among answers."""
        ...

    def check_dialog(self) -> None:
        """See that the model keeps a dialog."""
        ...

    def set_caption(self, text: str) -> None:
        """Say something about the image, before all rounds."""
        ...

    def undo(self) -> Round:
        """Take the last round back."""
        ...

    def reset(self) -> None:
        """Forget all rounds."""
        ...

    def correct(self, answer: str) -> Round:
        """Put another answer in place of the last one."""
        ...


def as_questions(
    asked: Sequence[tuple[ImageSource, str]], choices: Sequence[str] | None = None
) -> tuple[list[Question], dict[str, ImageSource]]:
    """Bring pairs of an image and a question into the form of ``AnySession.answer``.

    Args:
        asked: The pairs.
        choices: Candidate answers to all of them.

    Returns:
        The questions, and the image of each ``image_id``; an image that comes again is one.

    Raises:
        UserError: A question is no text or asks nothing.
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
    """Tell what ``AnySession.ask`` was given.

    Args:
        asked: Its positional arguments.

    Returns:
        The image, if there is one, and the question.

    Raises:
        TypeError: There is nothing, or more than an image and a question.
        UserError: The question is no text or asks nothing.
    """
    if not 1 <= len(asked) <= 2:
        raise TypeError("ask takes a question, or an image and a question")
    return asked[:-1], check_question(asked[-1])


def check_record(question: Question) -> None:
    """See that a question of a data set asks something.

    Args:
        question: The question, with its choices.

    Raises:
        UserError: It is empty, or it or a choice has a character that no text should hold.
    """
    check_characters(question.question, "the question")
    if is_empty(question.question):
        raise UserError(EMPTY)
    for number, choice in enumerate(question.choices, start=1):
        check_characters(choice, f"choice number {number}")


def check_choice_texts(choices: Sequence[str]) -> None:
    """See that choices are none, or two at least, each once.

    Args:
        choices: The candidates.

    Raises:
        UserError: There is only one, or one comes twice.
    """
    if len(choices) == 1:
        raise UserError("one choice; at least two are needed, in the prompt with commas between them")
    if len({fold_answer(choice) for choice in choices}) < len(choices):
        raise UserError("a choice comes twice")
