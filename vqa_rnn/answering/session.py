"""Asking a trained model: the extractor, tokenizer and collate of training, one image at a time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vqa_rnn.answers import AnswerVocabulary, fold_answer
from vqa_rnn.checkpoint import load_model, load_run
from vqa_rnn.data.collate import make_batch
from vqa_rnn.data.encoding import choice_order, encode_questions
from vqa_rnn.data.sources import MemoryFeatures
from vqa_rnn.errors import UserError
from vqa_rnn.features.extractor import Extractor
from vqa_rnn.records import Question, is_empty


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to one question.

    Attributes:
        answers: Answers with their probabilities, the best first.
        unknown_words: Words of the question and the choices that training never met.
        outside_vocabulary: Choices that a classifier cannot give, since no training question had them as its answer.
        seconds: From the question to the answer.
    """

    answers: tuple[tuple[str, float], ...]
    unknown_words: tuple[str, ...]
    outside_vocabulary: tuple[str, ...]
    seconds: float


class Session:
    """A trained model and the image it is asked about.

    Attributes:
        run: The run folder.
        image_path: The image, or None before the first.
    """

    def __init__(self, path: Path, weights: str | None = None) -> None:
        """Open a run.

        Args:
            path: The run folder.
            weights: The backbone's weights, where they lie elsewhere than in training.

        Raises:
            UserError: The run or the backbone's weights are missing, or the backbone is not the one of training.
        """
        self.run = load_run(path)
        if self.run.config.features.output == "boxes":
            raise UserError(
                f"{path} looks at given boxes of an image, which cannot be given here: use vqa-rnn predict or evaluate"
            )
        self._model = load_model(self.run)
        features = self.run.config.features
        if weights is not None:
            features = features.model_copy(update={"weights": weights})
        trained = self.run.features
        self._extractor = Extractor(features, precision=trained["compute"]["precision"])
        if self._extractor.fingerprint != trained["fingerprint"]:
            differing = [key for key, value in self._extractor.description.items() if value != trained.get(key)]
            raise UserError(
                f"{path} was trained on other features than this backbone gives ({', '.join(differing)} differ): "
                "give the weights of training with --weights"
            )
        self.image_path: Path | None = None
        self._features: MemoryFeatures | None = None

    @property
    def needs_choices(self) -> bool:
        """Whether the model can only choose among candidates."""
        return self.run.config.model.head.name != "classifier"

    def set_image(self, path: Path) -> None:
        """Look at an image; its features are kept until the next.

        Args:
            path: The image file.

        Raises:
            UserError: It cannot be read; the image before stays.
        """
        features = self._extractor.regions([self._extractor.load(path)])
        self.image_path, self._features = path, MemoryFeatures(features)

    def ask(self, question: str, choices: Sequence[str] = (), top: int = 5) -> Answer:
        """Answer a question about the image.

        Args:
            question: The question.
            choices: Candidate answers; needed by a model with a choice head.
            top: How many answers to give, at most.

        Returns:
            The answer.

        Raises:
            UserError: There is no image yet, the question is empty, or the choices do not fit the model.
        """
        if self._features is None:
            raise UserError("there is no image yet: give one first, in the prompt with /image FILE")
        if is_empty(question):
            raise UserError("the question is empty")
        if len({fold_answer(choice) for choice in choices}) < len(choices):
            raise UserError("a choice comes twice")
        if self.needs_choices and not choices:
            raise UserError("this model chooses among answers: give at least two choices")
        if len(choices) == 1:
            raise UserError("one choice; at least two are needed")
        started = time.perf_counter()
        outside: tuple[str, ...] = ()
        if self.needs_choices:
            answers = self._choose(question, choices)
        else:
            answers, outside = self._classify(question, choices)
        read = (question, *choices) if self.needs_choices else (question,)  # a classifier does not read the choices
        unknown = [word for text in read for word in self.run.tokenizer.unknown_words(text)]
        answers.sort(key=lambda pair: -pair[1])
        seconds = time.perf_counter() - started
        return Answer(tuple(answers[:top]), tuple(dict.fromkeys(unknown)), tuple(outside), seconds)

    def _probabilities(self, question: Question) -> list[float]:
        assert self._features is not None
        encoded = encode_questions([question], self.run.tokenizer, AnswerVocabulary([]))
        batch = make_batch(encoded, np.zeros(1, dtype=np.int64), self._features)
        with torch.inference_mode():
            return self._model.probabilities(self._model(batch))[0].tolist()

    def _choose(self, question: str, choices: Sequence[str]) -> list[tuple[str, float]]:
        record = Question(question_id="ask", image_id="image", question=question, split="test", choices=tuple(choices))
        order = choice_order("ask", len(choices))
        return [(choices[i], p) for i, p in zip(order, self._probabilities(record), strict=True)]

    def _classify(self, question: str, choices: Sequence[str]) -> tuple[list[tuple[str, float]], tuple[str, ...]]:
        record = Question(question_id="ask", image_id="image", question=question, split="test")
        every = dict(zip(self.run.answers.answers, self._probabilities(record), strict=True))
        if not choices:
            return list(every.items()), ()
        outside = tuple(choice for choice in choices if fold_answer(choice) not in every)
        if len(outside) == len(choices):
            raise UserError("none of the choices is an answer that this model knows; ask without choices to see some")
        total = sum(every.get(fold_answer(choice), 0.0) for choice in choices)
        return [(choice, every.get(fold_answer(choice), 0.0) / total) for choice in choices], outside
