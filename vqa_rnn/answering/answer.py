"""An answer, and how a notebook shows it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vqa_rnn.answering.looks import data_url, show_weights, thumbnail
from vqa_rnn.answering.texts import listed
from vqa_rnn.features.images import ImageSource, read_image
from vqa_rnn.records import Question

LONGEST_SIDE = 2048  # pixels of a picture
LONGEST_SHOWN = 60  # characters


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
        unread: The end of the question, where it is longer than the model reads (``text.max_tokens``); else empty.
        is_sure: Whether the best answer is as probable as it must be (``vqa-rnn calibrate``); a run that was not calibrated is
            always sure.
        image: The image, or None where the model reads text alone.
        maps: (looks, K) float32, how much each look of the attention saw of each region; None without attention.
        boxes: (K, 4) float32 x1 y1 x2 y2 as fractions of the image, where the regions lie; None where that is not known.
        look: What ``maps`` are: the weights of an attention, or what the answer loses without each region (``occlude``).
        words: The question as the model reads it, cut into its words.
        word_maps: (looks, words) float32, how much each look read of each word; None where words are not weighed.
        record: The question with its choices and what was said before.
    """

    question: str
    answers: tuple[tuple[str, float], ...]
    unknown_words: tuple[str, ...]
    nearest_words: tuple[str | None, ...]
    outside_vocabulary: tuple[str, ...]
    seconds: float
    unread: str = ""
    is_sure: bool = True
    image: ImageSource | None = field(default=None, repr=False, compare=False)
    maps: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    boxes: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    look: Literal["attention", "occlusion"] = field(default="attention", repr=False, compare=False)
    words: tuple[str, ...] = field(default=(), repr=False, compare=False)
    word_maps: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    record: Question | None = field(default=None, repr=False, compare=False)

    @property
    def best(self) -> str:
        """The best answer."""
        return self.answers[0][0]

    @property
    def probability(self) -> float:
        """Of the best answer."""
        return self.answers[0][1]

    @property
    def notes(self) -> list[str]:
        """What the model could not read or cannot answer, a sentence each; mostly empty."""
        notes = []
        if self.unknown_words:
            known = zip(self.unknown_words, self.nearest_words, strict=True)
            words = [f"'{word}' (did you mean '{near}'?)" if near else f"'{word}'" for word, near in known]
            notes.append(f"words that training never met: {listed(words)}")
        if self.unread:
            notes.append(f"the question is too long for this model, which did not read its end: {_shortened(self.unread)}")
        if self.outside_vocabulary:
            texts = [f"'{text}'" for text in self.outside_vocabulary]
            notes.append(f"answers this model cannot give: {listed(texts)}")
        return notes

    def __str__(self) -> str:
        return self.best

    def pictures(self) -> list[Image.Image]:
        """The image, and where the model looked.

        Returns:
            The image, then for each look the image as ``show_weights`` draws it; the image alone without maps, or where it is
            not known where the regions lie; nothing without an image. No side is longer than ``LONGEST_SIDE``.

        Raises:
            UserError: The image cannot be read any more.
        """
        if self.image is None:
            return []
        image = read_image(self.image, intensity="image")
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        if self.maps is None or self.boxes is None:
            return [image]
        return [image, *(show_weights(image, weights, self.boxes) for weights in self.maps)]

    def caption_of(self, look: int) -> str:
        """What to write above the picture of a look.

        Args:
            look: 0-based row of ``maps``.

        Returns:
            Which look it is, and what is in the outlined region.
        """
        assert self.maps is not None
        most = float(self.maps[look].max())
        if self.look == "occlusion":
            if most <= 0:
                return "occlusion: no cell makes a difference"
            lost = f"-{100 * most:.0f} points" if most >= 0.01 else "less than 1 point is lost"
            return f"occlusion: {lost} without the outlined cell"
        name = f"look {look + 1}" if len(self.maps) > 1 else "attention"
        return f"{name}: {most:.0%} in the outlined region"

    @property
    def word_shares(self) -> list[list[tuple[str, float]]]:
        """For each look the words of the question with their weights, 1 for the largest; empty where words are not weighed."""
        if self.word_maps is None:
            return []
        shares = [(weights / max(float(weights.max()), 1e-12)).tolist() for weights in self.word_maps]
        return [list(zip(self.words, each, strict=True)) for each in shares]

    def to_dict(self) -> dict[str, Any]:
        """The answer without its pictures, for JSON.

        Returns:
            ``question``, ``answers`` with an ``answer`` and a ``probability`` each, ``is_sure``, ``unknown_words`` with the
            nearest known word of each or None, ``unread``, ``seconds``.
        """
        return {
            "question": self.question,
            "answers": [{"answer": text, "probability": probability} for text, probability in self.answers],
            "is_sure": self.is_sure,
            "unknown_words": dict(zip(self.unknown_words, self.nearest_words, strict=True)),
            "unread": self.unread,
            "seconds": self.seconds,
        }

    def _repr_html_(self) -> str:
        bars = "".join(
            f"<tr><td>{escape(text)}</td><td style='text-align:right'>{probability:.1%}</td>"
            f"<td><div style='background:#4472a8;height:0.8em;width:{120 * probability:.0f}px'></div></td></tr>"
            for text, probability in self.answers
        )
        unsure = "" if self.is_sure else "<p>not sure; the best guesses:</p>"
        shown = "".join(f"<img src='{data_url(thumbnail(picture))}' style='margin-right:6px'>" for picture in self.pictures())
        read = "".join(f"<p>{_words_html(words)}</p>" for words in self.word_shares)
        notes = "".join(f"<p>({escape(note)})</p>" for note in self.notes)
        return f"<div><p><b>{escape(self.question)}</b></p>{shown}{read}{unsure}<table>{bars}</table>{notes}</div>"


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN].strip()} …"


def _words_html(words: Sequence[tuple[str, float]]) -> str:
    """Words, the darker the more a look read of them."""
    return " ".join(f"<span style='background:rgba(68,114,168,{share:.2f})'>{escape(word)}</span>" for word, share in words)
