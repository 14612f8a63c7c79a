"""The evaluation engine, and what it leaves behind."""

from collections.abc import Sequence

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray

from vqa_rnn.batch import Batch
from vqa_rnn.data.columns import EncodedQuestions
from vqa_rnn.data.packed import PackedBatch
from vqa_rnn.engines.choice_table import ChoiceTable
from vqa_rnn.metrics.ignite import QuestionScores
from vqa_rnn.models import VqaModel
from vqa_rnn.models.heads import ClassifierHead


def build_evaluator(model: VqaModel, encoded: EncodedQuestions, *, device: torch.device) -> Engine:
    """Wire the evaluation engine. It computes in the precision of the weights, as answering does, without autocast.

    Texts that are choices are read once a run of the engine and not once a batch. Of a classifier that is asked for choices
    the best of these is scored, and not the best of all classes.

    Args:
        model: The model, on ``device``.
        encoded: The questions of the whole split, over all processes.
        device: Where to compute.

    Returns:
        An engine over this process's batches. ``engine.state.output`` is the logits with the batch they belong to, both on
        ``device``, and ``engine.state.metrics["accuracy"]`` the mean score of the questions of all processes.
    """
    choices = ChoiceTable(model, encoded, device)

    def step(engine: Engine, parts: tuple[Batch | PackedBatch, ...]) -> tuple[torch.Tensor, Batch]:
        model.eval()
        (part,) = parts  # only training accumulates
        with torch.inference_mode():
            batch = choices.put_into(part.to(device, non_blocking=True))
            return model(batch), batch

    has_classes = isinstance(model.head, ClassifierHead)

    def scores(output: tuple[torch.Tensor, Batch]) -> tuple[torch.Tensor, torch.Tensor]:
        logits, batch = output
        if has_classes:
            logits = _among(logits, _choice_classes(encoded, batch))
        return batch.question_index, model.question_scores(logits, batch)

    evaluator = Engine(step)
    evaluator.add_event_handler(Events.STARTED, choices.fill)
    evaluator.add_event_handler(Events.COMPLETED, choices.clear)
    QuestionScores(len(encoded), scores).attach(evaluator, "accuracy")
    return evaluator


def _choice_classes(encoded: EncodedQuestions, batch: Batch) -> torch.Tensor:
    """(N, C) int64 on the batch's device: what a classifier takes each question's choices for, -1 where for nothing."""
    classes_NC = encoded.choice_classes(batch.question_index.cpu().numpy())
    return torch.from_numpy(classes_NC).to(batch.question_index.device)


def _among(logits_NA: torch.Tensor, classes_NC: torch.Tensor) -> torch.Tensor:
    """Leave the classes that are choices of each question; all where none is."""
    if classes_NC.shape[1] == 0:
        return logits_NA
    known_NA = torch.zeros_like(logits_NA).scatter_add_(1, classes_NC.clamp(min=0), (classes_NC >= 0).to(logits_NA.dtype))
    return logits_NA.masked_fill((known_NA == 0) & known_NA.any(dim=1, keepdim=True), float("-inf"))


class CollectAnswers:
    """Keeps what a model gives to each question's answers: attach it to an evaluator, run, then read it.

    Attributes:
        best: (N,) int64, the best class, or place among the choices; -1 before a question is answered.
        probability: (N,) float32, what the model gave it.
        choice_scores: (N, C) float32, the logits of each question's choices in the order of the batch, -inf where there is no
            such choice or a classifier does not know it.
        choice_probabilities: (N, C) float32, 0 there.
        logits: (N, A) float32, a classifier's logits of all answers of its vocabulary; (N, 0) if not asked for.
    """

    def __init__(
        self,
        model: VqaModel,
        encoded: EncodedQuestions,
        *,
        num_answers: int = 0,
        temperature: float = 1.0,
        total: NDArray[np.float32] | None = None,
        columns: Sequence[int] = (),
    ) -> None:
        """Make room.

        Args:
            model: The model that the evaluator runs.
            encoded: The N questions of the whole split; C is the most choices that one has, 0 where none has any.
            num_answers: A, the size of a classifier's vocabulary, to keep all logits; 0 keeps the best answer alone.
            temperature: What logits are divided by before they become probabilities.
            total: (N, …) to which a classifier's probabilities are added; of other processes' questions it stays as it is.
            columns: (A,) the column of ``total`` of each answer.
        """
        self._model = model
        self._encoded = encoded
        num_questions, num_choices = len(encoded), encoded.num_choices
        self.best = np.full(num_questions, -1, dtype=np.int64)
        self.probability = np.zeros(num_questions, dtype=np.float32)
        self.choice_scores = np.full((num_questions, num_choices), -np.inf, dtype=np.float32)
        self.choice_probabilities = np.zeros((num_questions, num_choices), dtype=np.float32)
        self.logits = np.full((num_questions, num_answers), -np.inf, dtype=np.float32)
        self._temperature, self._total, self._columns = temperature, total, np.asarray(columns, dtype=np.int64)

    def attach(self, evaluator: Engine) -> None:
        """Listen to an evaluator.

        Args:
            evaluator: From ``build_evaluator``.
        """
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._take)
        evaluator.add_event_handler(Events.COMPLETED, self._exchange)

    def _take(self, engine: Engine) -> None:
        logits, batch = engine.state.output  # type: ignore[misc]
        if batch.num_questions == 0:
            return
        questions = batch.question_index.cpu().numpy()
        probabilities = self._model.probabilities(logits / self._temperature)
        best = logits.argmax(dim=1)  # a sigmoid may give several answers 1.0
        probability = probabilities.gather(1, best[:, None]).squeeze(1)
        self.best[questions] = best.cpu().numpy()
        self.probability[questions] = probability.cpu().numpy()
        if self._total is not None:
            self._total[questions[:, None], self._columns] += probabilities.cpu().numpy()
        if self.logits.shape[1]:
            self.logits[questions] = logits.cpu().numpy()
        if self.choice_scores.shape[1] == 0:
            return
        if isinstance(self._model.head, ClassifierHead):
            classes = _choice_classes(self._encoded, batch)
            probabilities = probabilities.gather(1, classes.clamp(min=0)).masked_fill(classes < 0, 0.0)
            logits = logits.gather(1, classes.clamp(min=0)).masked_fill(classes < 0, float("-inf"))
        self.choice_scores[questions, : logits.shape[1]] = logits.cpu().numpy()
        self.choice_probabilities[questions, : logits.shape[1]] = probabilities.cpu().numpy()

    def _exchange(self) -> None:
        """Every question was answered by one process: the others hold the smallest of each for it."""
        for name in ("best", "probability", "choice_scores", "choice_probabilities", "logits"):
            setattr(self, name, largest_of_all(getattr(self, name)))


def largest_of_all(values: NDArray) -> NDArray:
    """Join what processes found for their own questions.

    Args:
        values: Of every question; of another process's question the smallest there is.

    Returns:
        The largest of all processes.
    """
    if idist.get_world_size() == 1:
        return values
    return idist.all_reduce(torch.from_numpy(values), "MAX").cpu().numpy()  # type: ignore[union-attr]
