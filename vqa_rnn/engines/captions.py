"""Evaluation of a model that writes: the engine, a collector for the texts, and CIDEr-D over token ids.

Shape letters: N questions, T tokens.
"""

from collections.abc import Sequence

import numpy as np
import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor

from vqa_rnn.batch import Batch
from vqa_rnn.data.columns import EncodedQuestions
from vqa_rnn.data.packed import PackedBatch
from vqa_rnn.engines.evaluator import largest_of_all
from vqa_rnn.metrics.captions import CaptionReferences
from vqa_rnn.models import VqaModel
from vqa_rnn.models.decoding import Method, Written, greedy


class TokenCider:
    """CIDEr-D of generated texts, with token ids as words and the document frequencies of one split.

    It needs no text, so that it can be computed at every step of training. The official metric splits captions into words in
    another way (``metrics.captions``), so the values differ a little.
    """

    def __init__(self, encoded: EncodedQuestions) -> None:
        """Prepare the references.

        Args:
            encoded: The questions of a split, encoded with references.
        """
        references = []
        for image in range(len(encoded.image_ids)):
            start, end = encoded.references.offsets[image : image + 2]
            references.append([_words(_text(encoded, text)) for text in encoded.references.values[start:end].tolist()])
        self._references = CaptionReferences.of_words(references)

    def __call__(self, tokens_NT: Tensor, lengths_N: Tensor, images_N: Tensor) -> Tensor:
        """Score texts.

        Args:
            tokens_NT: (N, T) int64.
            lengths_N: (N,) int64.
            images_N: (N,) int64, the image of each text among those of the split.

        Returns:
            (N,) float32 on the device of the tokens.
        """
        texts = [_words(row[:length]) for row, length in zip(tokens_NT.tolist(), lengths_N.tolist(), strict=True)]
        scores = self._references.cider_of_words(images_N.tolist(), texts)
        return torch.from_numpy(scores).to(tokens_NT.device, torch.float32)


def _text(encoded: EncodedQuestions, text: int) -> Sequence[int]:
    start, end = encoded.tokens.offsets[text : text + 2]
    return encoded.tokens.values[start:end].tolist()


def _words(tokens: Sequence[int]) -> list[str]:
    return [str(token) for token in tokens]


def build_writer(model: VqaModel, method: Method, device: torch.device) -> Engine:
    """Build an engine that generates a text for each question.

    Args:
        model: The model, with a generative head, on ``device``.
        method: How words are chosen.
        device: Device of the computation.

    Returns:
        An engine over the batches of this process. ``engine.state.output`` is the texts and their batch.
    """

    def step(engine: Engine, parts: tuple[Batch | PackedBatch, ...]) -> tuple[Written, Batch]:
        model.eval()
        (part,) = parts
        with torch.inference_mode():
            batch = part.to(device, non_blocking=True)
            return model.write(batch, method), batch

    return Engine(step)


class CollectTexts:
    """Collects the texts for all questions: attach it to an engine of ``build_writer``, run it, then read the attributes.

    Attributes:
        tokens: (N, T) int64, padded with 0.
        lengths: (N,) int64.
        log_p: (N,) float32, the log-probability of each text.
    """

    def __init__(self, num_questions: int, max_tokens: int) -> None:
        """Prepare the arrays.

        Args:
            num_questions: N, the number of questions of the split.
            max_tokens: T, the maximum number of tokens of a text.
        """
        self._shape = num_questions, max_tokens
        self._clear()

    def _clear(self) -> None:
        self.tokens: NDArray[np.int64] = np.zeros(self._shape, dtype=np.int64)
        self.lengths: NDArray[np.int64] = np.zeros(self._shape[0], dtype=np.int64)
        self.log_p: NDArray[np.float32] = np.full(self._shape[0], -np.inf, dtype=np.float32)

    def attach(self, writer: Engine) -> None:
        """Attach the collector to an engine.

        Args:
            writer: From ``build_writer``.
        """
        writer.add_event_handler(Events.STARTED, self._clear)
        writer.add_event_handler(Events.ITERATION_COMPLETED, self._take)
        writer.add_event_handler(Events.COMPLETED, self._exchange)

    def _take(self, engine: Engine) -> None:
        written, batch = engine.state.output  # type: ignore[misc]
        if batch.num_questions == 0:
            return
        questions = batch.question_index.cpu().numpy()
        self.tokens[questions, : written.tokens.shape[1]] = written.tokens.cpu().numpy()
        self.lengths[questions] = written.lengths.cpu().numpy()
        self.log_p[questions] = written.log_p.float().cpu().numpy()

    def _exchange(self) -> None:
        """Combine the processes. Only one of them wrote each text; the others have the smallest values for it."""
        for name in ("tokens", "lengths", "log_p"):
            setattr(self, name, largest_of_all(getattr(self, name)))


def build_caption_evaluator(model: VqaModel, encoded: EncodedQuestions, *, device: torch.device) -> Engine:
    """Build the engine that measures the greedy captions of a split by CIDEr-D.

    Args:
        model: The model, with a generative head, on ``device``.
        encoded: The questions of the whole split, over all processes, encoded with references.
        device: Device of the computation.

    Returns:
        An engine over the batches of this process. ``engine.state.metrics["cider"]`` is the mean ``TokenCider`` over the
        questions of all processes.
    """
    cider = TokenCider(encoded)
    writer = build_writer(model, greedy, device)
    texts = CollectTexts(len(encoded), model.head.max_tokens)  # type: ignore[arg-type]
    texts.attach(writer)

    @writer.on(Events.COMPLETED)
    def score(engine: Engine) -> None:
        scores = cider(*map(torch.tensor, (texts.tokens, texts.lengths, encoded.image)))
        engine.state.metrics["cider"] = float(scores.double().mean())

    return writer
