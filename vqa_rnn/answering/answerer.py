"""A run that is ready to answer: the extractor, tokenizer, collation and model of training."""

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vqa_rnn.answering.answer import Answer
from vqa_rnn.answering.calibration import read_calibration
from vqa_rnn.answering.protocol import rank_choices
from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.batch import Batch
from vqa_rnn.checkpoint import Run, load_model
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
from vqa_rnn.models.decoding import beam_search
from vqa_rnn.models.model import grid_boxes
from vqa_rnn.records import Question

BEAM_WIDTH = 5


@dataclass(frozen=True, slots=True)
class Seen:
    """An image as a model sees it.

    Attributes:
        image: The image; None if the model uses text only.
        features: (K, D) features of the regions.
        boxes: (K, 4) float32 boxes of the regions, an input of the model; None if the extractor gives no boxes.
        places: (K, 4) float32 positions of the regions in the image, for display; None if unknown.
    """

    image: ImageSource | None
    features: NDArray[Any]
    boxes: NDArray[np.float32] | None = None
    places: NDArray[np.float32] | None = None


NOTHING = Seen(None, np.zeros((1, 1), dtype=np.float32))  # the input of a model that uses text only


class Answerer:
    """A run with its model and its extractor. It stores no image and no dialog.

    Attributes:
        run: The run folder.
        batch_rows: Number of images that the extractor processes at a time.
    """

    def __init__(self, run: Run, weights: str | None = None) -> None:
        """Load the model and the extractor.

        Args:
            run: The run.
            weights: The backbone's weights, if their location differs from training.

        Raises:
            UserError: The run or the backbone's weights are missing, the backbone is not the one of training, or the features
                of training cannot be extracted from an image alone.
        """
        features = run.config.features
        if features.output == "boxes":
            raise UserError(f"{run.path} needs boxes in the image, which cannot be given here: use vqa-rnn predict or evaluate")
        if features.library == "imported":
            raise UserError(
                f"{run.path} was trained on imported features ({run.features['backbone'].partition('/')[2]}), which cannot be "
                "extracted from another image: use vqa-rnn predict or evaluate"
            )
        self.run = run
        on_gpu = torch.cuda.is_available() and run.config.run.device != "cpu"
        self._device = torch.device("cuda" if on_gpu else "cpu")
        self._model = load_model(run, self._device)
        self._calibration = read_calibration(run)
        self._nearest_word = lru_cache(maxsize=1024)(run.tokenizer.nearest_word)  # occlusion asks the same question again
        self._extractor = None if features.library == "none" else open_run_extractor(run, weights, self._device)
        self.batch_rows = getattr(self._extractor, "batch_rows", 1)

    def look(self, images: Sequence[ImageSource]) -> list[Seen]:
        """Extract the features of images.

        Args:
            images: Images as in ``Session.see``.

        Returns:
            The features of each image.

        Raises:
            UserError: An image cannot be read, or the model uses text only.
        """
        if self._extractor is None:
            raise UserError(f"{self.run.path} reads text alone (features.library=none): leave the image out")
        prepared = [self._extractor.transform.prepare(image) for image in images]
        seen = []
        for image, regions in zip(images, self._extractor.extract(prepared), strict=True):
            self._extractor.check(regions.features, name_of(image))
            seen.append(Seen(image, regions.features, regions.columns.get("boxes"), self._places(image, regions)))
        return seen

    def answer(self, questions: Sequence[Question], images: Sequence[Seen], top: int) -> list[Answer]:
        """Answer questions in one batch.

        Args:
            questions: At least one, all with choices or all without. Questions with the same ``image_id`` share an image.
            images: The image of each question.
            top: Maximum number of answers to each question.

        Returns:
            The answers, in order.

        Raises:
            UserError: None of the choices is in the answer vocabulary of a classifier.
        """
        started = time.perf_counter()
        head = self.run.config.model.head.name
        batch = self._batch(questions, images)
        word_looks: torch.Tensor | None = None
        with torch.inference_mode():
            encoded = self._model.encode(batch)
            if head == "generative" and not questions[0].choices:
                written = self._model.write(batch, partial(beam_search, width=BEAM_WIDTH), encoded)
                found = [
                    [(self.run.tokenizer.decode(tokens[:length].tolist()), p)]
                    for tokens, length, p in zip(written.tokens, written.lengths, written.log_p.exp().tolist(), strict=True)
                ]
                word_looks = self._model.looks(batch, written, encoded)
            else:
                logits = self._model.answer(encoded, batch) / self._calibration.temperature
                probabilities = self._model.probabilities(logits).float().cpu().numpy()
                rank = self._classes if head == "classifier" else _choices
                found = [rank(question, p, top) for question, p in zip(questions, probabilities, strict=True)]
        seconds = (time.perf_counter() - started) / len(questions)
        maps = _maps(encoded.maps if word_looks is None else word_looks, [len(seen.features) for seen in images])
        look_words: list[tuple[str, ...]] = [()] * len(questions)
        if word_looks is not None:
            look_words = [tuple(answers[0][0].split(" ")) for answers in found]
            maps = [None if each is None else each[: len(words)] for each, words in zip(maps, look_words, strict=True)]
        word_maps = _maps(encoded.word_maps, batch.question_lengths.tolist())
        return [
            self._wrap(question, seen, answers[:top], seconds, regions, words, at_words)
            for question, seen, answers, regions, words, at_words in zip(
                questions, images, found, maps, word_maps, look_words, strict=True
            )
        ]

    def _batch(self, questions: Sequence[Question], images: Sequence[Seen]) -> Batch:
        """Encode the questions without their true answers; a classifier does not read choices."""
        is_classifier = self.run.config.model.head.name == "classifier"
        without_truth = [
            dataclasses.replace(
                question,
                human_answers=(),
                choices=() if is_classifier else question.choices,
                correct_choice=None,
                relevance=(),
            )
            for question in questions
        ]
        encoded = encode_questions(without_truth, self.run.tokenizer, AnswerVocabulary([]))
        seen_as = {question.image_id: seen for question, seen in zip(questions, images, strict=True)}
        features = _memory([seen_as[image_id] for image_id in encoded.image_ids])
        return make_batch(encoded, np.arange(len(questions)), features).to(self._device)

    def _classes(self, question: Question, p_A: NDArray[np.float32], top: int) -> list[tuple[str, float]]:
        """Return the best answers of a classifier, among the choices if there are any."""
        answers = self.run.answers
        if not question.choices:
            best = np.argsort(-p_A, kind="stable")[:top]
            return [(answers.answers[place], float(p_A[place])) for place in best]
        known = {choice: answers.class_of(choice) for choice in question.choices}
        return rank_choices({choice: None if place is None else float(p_A[place]) for choice, place in known.items()})

    def _wrap(
        self,
        question: Question,
        seen: Seen,
        found: list[tuple[str, float]],
        seconds: float,
        maps: NDArray[np.float32] | None,
        word_maps: NDArray[np.float32] | None,
        look_words: tuple[str, ...],
    ) -> Answer:
        is_classifier = self.run.config.model.head.name == "classifier"
        facts = () if self.run.config.model.history.name == "none" else question.facts
        read = (*facts, question.question, *(() if is_classifier else question.choices))
        unknown = tuple(dict.fromkeys(word for text in read for word in self.run.tokenizer.unknown_words(text)))
        outside = [choice for choice in question.choices if is_classifier and self.run.answers.class_of(choice) is None]
        # the calibration does not apply to a classifier's probabilities among choices
        judged = not (question.choices and is_classifier)
        return Answer(
            question=question.question,
            answers=tuple(found),
            unknown_words=unknown,
            nearest_words=tuple(map(self._nearest_word, unknown)),
            outside_vocabulary=tuple(outside),
            seconds=seconds,
            unread=self.run.tokenizer.unread(question.question),
            is_sure=not judged or found[0][1] >= self._calibration.threshold,
            image=seen.image,
            boxes=seen.places,
            words=tuple(self.run.tokenizer.pieces(question.question)),
            record=question,
            maps=maps,
            word_maps=word_maps,
            look_words=look_words,
        )

    def _places(self, image: ImageSource, regions: Regions) -> NDArray[np.float32] | None:
        """Return the (K, 4) positions of the regions in an image; None if unknown."""
        if "boxes" in regions.columns:
            return regions.columns["boxes"]
        num_regions = len(regions.features)
        if self.run.config.features.output != "grid" or math.isqrt(num_regions) ** 2 != num_regions:
            return None
        boxes = grid_boxes(torch.zeros(1, num_regions, 1))[0].numpy()
        assert self._extractor is not None
        transform = self._extractor.transform
        if not isinstance(transform, Transform) or transform.resize == "squash":
            return boxes  # independent of the image size: the image need not be read again
        return transform.in_image(boxes, *read_image(image, intensity=transform.intensity).size)


def _choices(question: Question, p_C: NDArray[np.float32], top: int) -> list[tuple[str, float]]:
    """Return the choices of a question, the best first; a batch has them in the order of ``choice_order``."""
    order = choice_order(question.question_id, len(question.choices))
    best = np.argsort(-p_C[: len(order)], kind="stable")[:top]
    return [(question.choices[order[place]], float(p_C[place])) for place in best]


def _maps(maps: torch.Tensor | None, lengths: Sequence[int]) -> list[NDArray[np.float32] | None]:
    """Return the (looks, regions or words) weights of each question, without padding."""
    if maps is None:
        return [None] * len(lengths)
    return [each[:, :length] for each, length in zip(maps.float().cpu().numpy(), lengths, strict=True)]


def _memory(seen: Sequence[Seen]) -> MemoryFeatures:
    """Stack the features of images, padded to the largest number of regions."""
    num_regions = np.array([len(each.features) for each in seen], dtype=np.int32)
    most = int(num_regions.max())

    def padded(rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return np.stack([np.pad(each, ((0, most - len(each)), (0, 0))) for each in rows])

    boxes = [each.boxes for each in seen if each.boxes is not None]
    return MemoryFeatures(padded([each.features for each in seen]), padded(boxes) if boxes else None, num_regions)


def open_run_extractor(run: Run, weights: str | None, device: torch.device) -> Extractor | Detector:
    """Open the extractor of a run.

    Args:
        run: The run, trained on features of a backbone.
        weights: The backbone's weights, if their location differs from training.
        device: The device of the extractor.

    Returns:
        The extractor of training.

    Raises:
        UserError: The weights are missing, or the features would differ from those of training.
    """
    # a weights file does not say how images are scaled and normalised, so these options are taken from training
    settled = {name: value for name, value in run.features["transform"].items() if name in PRESET_OPTIONS}
    if run.features["layer"]:
        settled["layers"] = tuple(run.features["layer"])
    if weights is not None:
        if weights != "package" and weights.partition(":")[0] != "hub" and not Path(weights).exists():
            raise UserError(f"--weights {weights}: there is no such file or folder")
        is_folder = run.config.features.library == "transformers" and Path(weights).is_dir()
        settled["backbone" if is_folder else "weights"] = weights
    features = run.config.features.model_copy(update=settled)
    compute = {**run.features["compute"], "compiled": False}  # for one image, compiling takes longer than it saves
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
