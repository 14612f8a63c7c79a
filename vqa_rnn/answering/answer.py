"""An answer and its display in a notebook."""

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

LONGEST_SIDE = 2048  # of a picture, in pixels
LONGEST_SHOWN = 60  # of a note, in characters


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to one question.

    Attributes:
        question: The question.
        answers: Answers with their probabilities, the best first; only one if the model generated it.
        unknown_words: Words in the question, the dialog history or the choices that are not in the model's vocabulary.
        nearest_words: For each of them, the word of the vocabulary with the most similar spelling, or None.
        outside_vocabulary: Choices that a classifier cannot give, because they are not in its answer vocabulary.
        seconds: Time to answer the question, without loading the image; the mean over a batch.
        unread: The end of the question, if it is longer than the model reads (``text.max_tokens``); else empty.
        is_sure: Whether the probability of the best answer reaches the threshold of ``vqa-rnn calibrate``. Always True for a
            run without calibration, and for a classifier that chooses among given choices.
        image: The image; None if the model uses text only.
        maps: (looks, K) float32, weight of each region in each look (a step of the attention); None without attention.
        boxes: (K, 4) float32 x1 y1 x2 y2 as fractions of the image, the positions of the regions; None if unknown.
        look: What ``maps`` has: attention weights, or the probability lost without each region (``occlude``).
        words: The question as the model reads it, one part per token.
        word_maps: (looks, words) float32, weight of each word in each look; None if the model does not weight words.
        look_words: For a model that looks before each word that it writes: the words, one per row of ``maps``.
        record: The question with its choices and its dialog history.
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
    look_words: tuple[str, ...] = field(default=(), repr=False, compare=False)
    record: Question | None = field(default=None, repr=False, compare=False)

    @property
    def best(self) -> str:
        """The best answer."""
        return self.answers[0][0]

    @property
    def probability(self) -> float:
        """The probability of the best answer."""
        return self.answers[0][1]

    @property
    def notes(self) -> list[str]:
        """Notes about what the model could not read or cannot answer; usually empty."""
        notes = []
        if self.unknown_words:
            known = zip(self.unknown_words, self.nearest_words, strict=True)
            words = [f"'{word}' (did you mean '{near}'?)" if near else f"'{word}'" for word, near in known]
            notes.append(f"words that are not in the vocabulary: {listed(words)}")
        if self.unread:
            notes.append(f"the question is too long for this model, which did not read its end: {_shortened(self.unread)}")
        if self.outside_vocabulary:
            texts = [f"'{text}'" for text in self.outside_vocabulary]
            notes.append(f"answers this model cannot give: {listed(texts)}")
        return notes

    def __str__(self) -> str:
        return self.best

    def pictures(self) -> list[Image.Image]:
        """Draw the image and where the model looked.

        Returns:
            The image, then the picture of each look from ``show_weights``. Only the image if there are no maps or the positions
            of the regions are unknown; empty without an image. No side is longer than ``LONGEST_SIDE`` pixels.

        Raises:
            UserError: The image can no longer be read.
        """
        if self.image is None:
            return []
        image = read_image(self.image, intensity="image")
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        if self.maps is None or self.boxes is None:
            return [image]
        return [image, *(show_weights(image, weights, self.boxes) for weights in self.maps)]

    def caption_of(self, look: int) -> str:
        """Return the caption of the picture of a look.

        Args:
            look: 0-based row of ``maps``.

        Returns:
            The name of the look, and the weight of the outlined region.
        """
        assert self.maps is not None
        most = float(self.maps[look].max())
        if self.look == "occlusion":
            if most <= 0:
                return "occlusion: no cell makes a difference"
            lost = f"-{100 * most:.0f} points" if most >= 0.01 else "less than 1 point is lost"
            return f"occlusion: {lost} without the outlined cell"
        name = f"look {look + 1}" if len(self.maps) > 1 else "attention"
        if self.look_words:
            name = f"'{self.look_words[look]}'"
        return f"{name}: {most:.0%} in the outlined region"

    @property
    def word_shares(self) -> list[list[tuple[str, float]]]:
        """For each look, the words of the question with their weights relative to the largest; empty without ``word_maps``."""
        if self.word_maps is None:
            return []
        shares = [(weights / max(float(weights.max()), 1e-12)).tolist() for weights in self.word_maps]
        return [list(zip(self.words, each, strict=True)) for each in shares]

    def to_dict(self) -> dict[str, Any]:
        """Return the answer without its pictures, for JSON.

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
    """Return words as HTML, darker for larger weights."""
    return " ".join(f"<span style='background:rgba(68,114,168,{share:.2f})'>{escape(word)}</span>" for word, share in words)
