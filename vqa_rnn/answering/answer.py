"""An answer, and how a notebook shows it."""

from dataclasses import dataclass, field
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vqa_rnn.answering.looks import data_url, show_weights, thumbnail
from vqa_rnn.features.images import ImageSource, read_image


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to one question.

    Attributes:
        question: The question.
        answers: Answers with their probabilities, the best first; a text that the model wrote stands alone.
        unknown_words: Words that the model read and training never met: of the question, what was said before, the choices.
        nearest_words: For each of them a word of training that is written nearly the same, or None.
        outside_vocabulary: Choices that a classifier cannot give, since no training question had them as its answer.
        seconds: From the question to the answer.
        is_sure: Whether the best answer is as probable as it must be (``vqa-rnn calibrate``); a run that was not calibrated is
            always sure.
        image: The image, or None where the model reads text alone.
        maps: (looks, K) float32, how much each look of the attention saw of each region; None without attention.
        boxes: (K, 4) float32 x1 y1 x2 y2 as fractions of the image, where the regions lie; None where that is not known.
    """

    question: str
    answers: tuple[tuple[str, float], ...]
    unknown_words: tuple[str, ...]
    nearest_words: tuple[str | None, ...]
    outside_vocabulary: tuple[str, ...]
    seconds: float
    is_sure: bool = True
    image: ImageSource | None = field(default=None, repr=False, compare=False)
    maps: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    boxes: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)

    @property
    def best(self) -> str:
        """The best answer."""
        return self.answers[0][0]

    @property
    def probability(self) -> float:
        """Of the best answer."""
        return self.answers[0][1]

    def __str__(self) -> str:
        return self.best

    def pictures(self) -> list[Image.Image]:
        """The image, and where the model looked.

        Returns:
            The image, then for each look of the attention the image as ``show_weights`` draws it; the image alone without
            attention, or where it is not known where the regions lie; nothing without an image.

        Raises:
            UserError: The image cannot be read any more.
        """
        if self.image is None:
            return []
        image = read_image(self.image, intensity="image")
        if self.maps is None or self.boxes is None:
            return [image]
        return [image, *(show_weights(image, weights, self.boxes) for weights in self.maps)]

    def _repr_html_(self) -> str:
        bars = "".join(
            f"<tr><td>{escape(text)}</td><td style='text-align:right'>{probability:.1%}</td>"
            f"<td><div style='background:#4472a8;height:0.8em;width:{120 * probability:.0f}px'></div></td></tr>"
            for text, probability in self.answers
        )
        unsure = "" if self.is_sure else "<p>not sure; the best guesses:</p>"
        shown = "".join(f"<img src='{data_url(thumbnail(picture))}' style='margin-right:6px'>" for picture in self.pictures())
        return f"<div><p><b>{escape(self.question)}</b></p>{shown}{unsure}<table>{bars}</table></div>"
