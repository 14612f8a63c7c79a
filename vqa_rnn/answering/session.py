"""Asking a trained model: the extractor, tokenizer and collate of training, one image at a time.

A dialog model remembers what was said about the image: each question is asked after a caption and the rounds before it.
"""

import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from vqa_rnn.answering.answer import Answer
from vqa_rnn.answering.calibration import read_calibration
from vqa_rnn.answers import AnswerVocabulary, fold_answer
from vqa_rnn.batch import Batch
from vqa_rnn.checkpoint import Run, load_model, load_run
from vqa_rnn.config import PRESET_OPTIONS
from vqa_rnn.data.collate import make_batch
from vqa_rnn.data.encoding import choice_order, encode_questions
from vqa_rnn.data.sources import MemoryFeatures
from vqa_rnn.errors import UserError
from vqa_rnn.features.detectors import Detector
from vqa_rnn.features.extractor import Extractor, open_extractor
from vqa_rnn.features.images import ImageSource, name_of, read_image
from vqa_rnn.features.regions import Regions
from vqa_rnn.features.transform import Transform
from vqa_rnn.huggingface import fetch
from vqa_rnn.models.decoding import beam_search
from vqa_rnn.models.model import Encoded, grid_boxes
from vqa_rnn.records import Question, Round, is_empty
from vqa_rnn.text import same_words

BEAM_WIDTH = 5


def load(path: str | Path, weights: str | None = None) -> "Session":
    """Open a trained model to ask it.

    Args:
        path: The run folder, or an exported one; ``hub:OWNER/NAME`` on the Hugging Face hub.
        weights: The backbone's weights, where they lie elsewhere than in training.

    Returns:
        The session.

    Raises:
        UserError: The run or the backbone's weights are missing, or the backbone is not the one of training.
    """
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
        if self.run.config.features.output == "boxes":
            raise UserError(
                f"{path} looks at given boxes of an image, which cannot be given here: use vqa-rnn predict or evaluate"
            )
        if self.run.config.features.library == "imported":
            raise UserError(
                f"{path} was trained on features that were imported ({self.run.features['backbone'].partition('/')[2]}), and "
                "no backbone here makes the same of another image: use vqa-rnn predict or evaluate"
            )
        on_gpu = torch.cuda.is_available() and self.run.config.run.device != "cpu"
        self._device = torch.device("cuda" if on_gpu else "cpu")
        self._model = load_model(self.run, self._device)
        self._calibration = read_calibration(self.run)
        self._extractor = open_run_extractor(self.run, weights, self._device) if self.sees_images else None
        self.image: ImageSource | None = None
        self._boxes: NDArray[np.float32] | None = None
        self.caption: str | None = None
        self.rounds: tuple[Round, ...] = ()
        self._features = None if self.sees_images else MemoryFeatures(np.zeros((1, 1, 1), dtype=np.float32))

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
        if self._extractor is None:
            raise UserError(f"{self.run.path} reads text alone (features.library=none): leave the image out")
        (regions,) = self._extractor.extract([self._extractor.transform.prepare(image)])
        self._extractor.check(regions.features, name_of(image))
        lie = self._boxes_of(image, regions)
        boxes = regions.columns["boxes"][None] if "boxes" in regions.columns else None
        self.image, self._boxes, self._features = image, lie, MemoryFeatures(regions.features[None], boxes)
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
        assert self._features is not None
        features, _, boxes = self._features.read(np.zeros(1, dtype=np.int64))
        inputs = {"features": features.astype(np.float32), "region_mask": np.ones(features.shape[:2], dtype=np.bool_)}
        if self.run.config.model.geometry:
            inputs["boxes"] = grid_boxes(torch.from_numpy(inputs["features"])).numpy() if boxes is None else boxes
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
        _check_text(text)
        self.caption = text.strip() or None

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
        if not answer.strip():
            raise UserError("the answer is empty")
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

    @overload
    def ask(
        self,
        question: str,
        /,
        *,
        choices: Sequence[str] | None = ...,
        history: Sequence[tuple[str, str]] | None = ...,
        top: int = ...,
    ) -> Answer: ...

    @overload
    def ask(
        self,
        image: ImageSource,
        question: str,
        /,
        *,
        choices: Sequence[str] | None = ...,
        history: Sequence[tuple[str, str]] | None = ...,
        top: int = ...,
    ) -> Answer: ...

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
            UserError: There is no image yet or it cannot be read, the question is empty, or the choices or the history do not
                fit the model.
            TypeError: There is no question, or more than an image and a question.
        """
        *images, question = asked or (None,)
        if len(images) > 1 or not isinstance(question, str):
            raise TypeError("ask takes a question, or an image and a question")
        for image in images:
            self.see(image)
        if history is not None:
            self.check_dialog()
            self.rounds = tuple(Round(*turn) for turn in history)
        choices = tuple(choices or ())
        self._check_image()
        for text in (question, *choices):
            _check_text(text)
        if is_empty(question):
            raise UserError("the question is empty")
        self.check_choices(choices)
        started = time.perf_counter()
        outside: tuple[str, ...] = ()
        if self.run.config.model.head.name == "classifier":
            record = self._record(question, ())  # it does not read the choices
            answers, outside, maps = self._classify(record, choices)
        else:
            record = self._record(question, choices)
            answers, maps = self._choose(record) if choices else self._write(record)
        read = (*record.facts, question, *record.choices)
        unknown = tuple(dict.fromkeys(word for text in read for word in self.run.tokenizer.unknown_words(text)))
        answers.sort(key=lambda pair: -pair[1])
        if self.is_dialog:
            self.rounds = (*self.rounds, Round(question.strip(), answers[0][0]))
        seconds = time.perf_counter() - started
        # a classifier's probabilities among choices are not those that were calibrated
        judged = not (choices and self.run.config.model.head.name == "classifier")
        is_sure = not judged or answers[0][1] >= self._calibration.threshold
        return Answer(
            question=question,
            answers=tuple(answers[:top]),
            unknown_words=unknown,
            nearest_words=tuple(map(self.run.tokenizer.nearest_word, unknown)),
            outside_vocabulary=tuple(outside),
            seconds=seconds,
            is_sure=is_sure,
            image=self.image,
            maps=maps,
            boxes=self._boxes,
        )

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
        if len(choices) == 1:
            raise UserError("one choice; at least two are needed, in the prompt with commas between them")
        if len({fold_answer(choice) for choice in choices}) < len(choices):
            raise UserError("a choice comes twice")
        if self.run.config.model.head.name != "classifier":  # which does not read them
            for one, other in same_words(choices):
                raise UserError(f"the choices '{one}' and '{other}' are the same words to a model: write them differently")

    def _check_image(self) -> None:
        if self._features is None:
            raise UserError("there is no image yet: give one first with --image FILE, in the prompt with /image FILE")

    def _last_round(self) -> Round:
        self.check_dialog()
        if not self.rounds:
            raise UserError("nothing was asked yet: there is no round to change")
        return self.rounds[-1]

    def _record(self, question: str, choices: Sequence[str]) -> Question:
        return Question(
            question_id="ask",
            image_id="image",
            question=question,
            split="test",
            choices=tuple(choices),
            caption=self.caption,
            history=self.rounds,
        )

    def _batch(self, question: Question) -> Batch:
        assert self._features is not None
        encoded = encode_questions([question], self.run.tokenizer, AnswerVocabulary([]))
        return make_batch(encoded, np.zeros(1, dtype=np.int64), self._features).to(self._device)

    def _boxes_of(self, image: ImageSource, regions: Regions) -> NDArray[np.float32] | None:
        """(K, 4) where the regions of an image lie, where that is known."""
        if "boxes" in regions.columns:
            return regions.columns["boxes"]
        num_regions = len(regions.features)
        if self.run.config.features.output != "grid" or math.isqrt(num_regions) ** 2 != num_regions:
            return None
        boxes = grid_boxes(torch.zeros(1, num_regions, 1))[0].numpy()
        assert self._extractor is not None
        transform = self._extractor.transform
        if not isinstance(transform, Transform) or transform.resize == "squash":
            return boxes  # whatever the size of the image, which need not be read again
        return transform.in_image(boxes, *read_image(image, intensity=transform.intensity).size)

    def _probabilities(self, question: Question) -> tuple[list[float], NDArray[np.float32] | None]:
        batch = self._batch(question)
        with torch.inference_mode():
            encoded = self._model.encode(batch)
            logits = self._model.answer(encoded, batch)
            probabilities = self._model.probabilities(logits / self._calibration.temperature)[0].tolist()
        return probabilities, _first_map(encoded)

    def _write(self, question: Question) -> tuple[list[tuple[str, float]], NDArray[np.float32] | None]:
        batch = self._batch(question)
        with torch.inference_mode():
            encoded = self._model.encode(batch)
            written = self._model.write(batch, partial(beam_search, width=BEAM_WIDTH), encoded)
        text = self.run.tokenizer.decode(written.tokens[0, : written.lengths[0]].tolist())
        return [(text, written.log_p[0].exp().item())], _first_map(encoded)

    def _choose(self, question: Question) -> tuple[list[tuple[str, float]], NDArray[np.float32] | None]:
        order = choice_order(question.question_id, len(question.choices))
        probabilities, maps = self._probabilities(question)
        return [(question.choices[i], p) for i, p in zip(order, probabilities, strict=True)], maps

    def _classify(
        self, question: Question, choices: Sequence[str]
    ) -> tuple[list[tuple[str, float]], tuple[str, ...], NDArray[np.float32] | None]:
        probabilities, maps = self._probabilities(question)
        if not choices:
            return list(zip(self.run.answers.answers, probabilities, strict=True)), (), maps
        classes = {choice: self.run.answers.class_of(choice) for choice in choices}
        outside = tuple(choice for choice, known in classes.items() if known is None)
        if len(outside) == len(choices):
            raise UserError("none of the choices is an answer that this model knows; ask without choices to see some")
        among = {choice: 0.0 if known is None else probabilities[known] for choice, known in classes.items()}
        total = sum(among.values()) or 1.0  # a model may be so sure of another answer that all of these come to 0
        return [(choice, probability / total) for choice, probability in among.items()], outside, maps


def _first_map(encoded: Encoded) -> NDArray[np.float32] | None:
    return None if encoded.maps is None else encoded.maps[0].float().cpu().numpy()


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:  # a byte of an argument that is no UTF-8
        shown = text.encode(errors="replace").decode()
        raise UserError(f"'{shown}' is not UTF-8 text: a byte of it is no character") from None


def open_run_extractor(run: Run, weights: str | None, device: torch.device) -> Extractor | Detector:
    """Open the extractor of a run.

    Args:
        run: The run, trained on features of a backbone.
        weights: The backbone's weights, where they lie elsewhere than in training.
        device: Where to compute.

    Returns:
        The extractor of training.

    Raises:
        UserError: The weights are missing, or are others than those of training.
    """
    # a file of weights does not say how images are scaled and normalised, so all of that is as it was in training
    settled = {name: value for name, value in run.features["transform"].items() if name in PRESET_OPTIONS}
    if run.features["layer"]:
        settled["layers"] = tuple(run.features["layer"])
    if weights is not None:
        if weights != "package" and weights.partition(":")[0] != "hub" and not Path(weights).exists():
            raise UserError(f"--weights {weights}: there is no such file or folder")
        is_folder = run.config.features.library == "transformers" and Path(weights).is_dir()
        settled["backbone" if is_folder else "weights"] = weights
    features = run.config.features.model_copy(update=settled)
    compute = {**run.features["compute"], "compiled": False}  # for one image that would take longer than it saves
    extractor = open_extractor(features, str(device), compute)
    if extractor.fingerprint != run.features["fingerprint"]:
        differing = [key for key, value in extractor.description.items() if value != run.features.get(key)]
        if "weights_sha256" in differing:
            name = f" ({run.features['weights']})" if run.features.get("weights") else ""
            advice = f"give the weights of training{name} with --weights"
        else:
            advice = "an older version made them; run vqa-rnn preprocess and train again"
        raise UserError(
            f"{run.path} was trained on other features than this backbone gives ({', '.join(differing)} differ): {advice}"
        )
    return extractor
