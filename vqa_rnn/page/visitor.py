"""The state of one visitor of the page: an image and the dialog about it. All visitors share the loaded model."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from vqa_rnn.answering.answer import Answer
from vqa_rnn.answering.occlusion import WIDEST, occlude
from vqa_rnn.answering.protocol import AnySession
from vqa_rnn.errors import UserError
from vqa_rnn.features.images import read_image

MOST_PIXELS = 50_000_000
MOST_LETTERS = 100_000  # of a question with its choices, caption and history


class Visitor:
    """One visitor.

    Attributes:
        session: The session with the visitor's image and dialog.
        answers: The answers of the dialog; without a dialog model, only the last answer. Their image is a small copy, as the
            upload is deleted.
        picture: The small copy; None if there is no image.
        occlusion: The last answer with an occlusion map; None until the map is requested.
    """

    def __init__(self, session: AnySession) -> None:
        """Create a visitor without an image.

        Args:
            session: Any session with the model; the visitor gets a new one.
        """
        self.session = session.another()
        self.answers: list[Answer] = []
        self.occlusion: Answer | None = None
        self.picture: Image.Image | None = None

    @property
    def has_image(self) -> bool:
        """Whether there is an image."""
        return self.picture is not None

    @property
    def can_occlude(self) -> bool:
        """Whether there is an answer about an image without an occlusion map."""
        return bool(self.answers) and self.has_image and self.occlusion is None

    def see(self, path: Path) -> None:
        """Set the image and start a new dialog.

        Args:
            path: The image file. It may be deleted afterwards.

        Raises:
            UserError: It is too large or cannot be read. The previous image is removed all the same.
        """
        self.forget()
        try:
            _check_size(path)
            picture = read_image(path, intensity="image")
            self.session.see(path)
        except UserError as error:
            raise UserError(str(error).replace(str(path), path.name)) from error
        picture.thumbnail((WIDEST, WIDEST))
        self.picture = picture
        if self.session.writes_captions:
            self.answers = [dataclasses.replace(self.session.describe(), image=picture)]

    def forget(self) -> None:
        """Remove the image and the dialog."""
        self.session = self.session.another()
        self.answers, self.occlusion, self.picture = [], None, None

    def ask(
        self,
        question: str,
        choices: Sequence[str] = (),
        caption: str = "",
        history: Sequence[tuple[str, str]] | None = None,
    ) -> Answer:
        """Ask a question about the image. With a dialog model, it becomes the next round.

        Args:
            question: The question.
            choices: Candidate answers.
            caption: For a dialog model: a sentence about the image.
            history: For a dialog model: earlier questions with their answers, which replace the rounds so far.

        Returns:
            The answer.

        Raises:
            UserError: There is no image yet, a text is empty or too long, or the choices do not fit the model.
        """
        if self.session.sees_images and not self.has_image:
            raise UserError("there is no image yet: give one first")
        if len(choices) == 1 or (self.session.needs_choices and not choices):
            needs = "this model chooses among answers: give" if self.session.needs_choices else "one choice: give"
            raise UserError(f"{needs} at least two choices, with commas between them")
        letters = sum(map(len, [question, caption, *choices, *(text for turn in history or () for text in turn)]))
        if letters > MOST_LETTERS:
            raise UserError(f"the question is too long: {letters:,} letters, and at most {MOST_LETTERS:,} are read")
        if caption.strip() != (self.session.caption or ""):
            self.session.set_caption(caption)
        answer = self.session.ask(question, choices=choices, history=history)
        answer = dataclasses.replace(answer, image=self.picture)
        self.answers = [*self.answers, answer] if self.session.is_dialog else [answer]
        self.occlusion = None
        return answer

    def occlude(self) -> None:
        """Compute the occlusion map of the last answer.

        Raises:
            UserError: There is no answer about an image yet.
        """
        if not self.answers or not self.has_image:
            raise UserError("nothing was asked about an image yet: ask a question first")
        self.occlusion = occlude(self.session, self.answers[-1])

    def undo(self) -> None:
        """Remove the last round.

        Raises:
            UserError: The model is not a dialog model, or there is no round.
        """
        self.session.undo()
        self.answers, self.occlusion = self.answers[:-1], None

    def reset(self) -> None:
        """Remove all rounds; the image and the caption are kept.

        Raises:
            UserError: The model is not a dialog model.
        """
        self.session.reset()
        self.answers, self.occlusion = [], None


def _check_size(path: Path) -> None:
    """Refuse an image that would take too much memory, before its pixels are decoded."""
    try:
        with Image.open(path) as image:
            width, height = image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return  # read_image reports the error
    if width * height > MOST_PIXELS:
        raise UserError(
            f"the image {path.name} is too large: it has {width:,} x {height:,} pixels, and at most {MOST_PIXELS // 10**6} "
            "million are read; scale it down"
        )
