"""The evaluation engine, and a collector for the answers."""

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
    """Build the evaluation engine. It computes in the precision of the weights, as answering does, without autocast.

    Choice texts are encoded once per run of the engine, not once per batch. If a classifier is evaluated on questions with
    choices, the best of the choices is scored, not the best of all classes.

    Args:
        model: The model, on ``device``.
        encoded: The questions of the whole split, over all processes.
        device: Device of the computation.

    Returns:
        An engine over the batches of this process. ``engine.state.output`` is the logits and their batch, both on ``device``.
        ``engine.state.metrics["accuracy"]`` is the mean score over the questions of all processes.
    """
    choices = ChoiceTable(model, encoded, device)

    def step(engine: Engine, parts: tuple[Batch | PackedBatch, ...]) -> tuple[torch.Tensor, Batch]:
        model.eval()
        (part,) = parts  # gradients are accumulated only in training
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
    """Return the class of each choice, (N, C) int64 on the batch's device; -1 for a choice without a class."""
    classes_NC = encoded.choice_classes(batch.question_index.cpu().numpy())
    return torch.from_numpy(classes_NC).to(batch.question_index.device)


def _among(logits_NA: torch.Tensor, classes_NC: torch.Tensor) -> torch.Tensor:
    """Set logits of classes that are no choice of the question to -inf; keep all if no choice has a class."""
    if classes_NC.shape[1] == 0:
        return logits_NA
    known_NA = torch.zeros_like(logits_NA).scatter_add_(1, classes_NC.clamp(min=0), (classes_NC >= 0).to(logits_NA.dtype))
    return logits_NA.masked_fill((known_NA == 0) & known_NA.any(dim=1, keepdim=True), float("-inf"))


class CollectAnswers:
    """Collects a model's answers to all questions: attach it to an evaluator, run the evaluator, then read the attributes.

    Attributes:
        best: (N,) int64, the best class, or the position of the best choice; -1 before the question is answered.
        probability: (N,) float32, the probability of the best answer.
        choice_scores: (N, C) float32, the logits of each question's choices in the order of the batch; -inf where there is no
            such choice, or where it is not in the vocabulary of a classifier.
        choice_probabilities: (N, C) float32, the probabilities of the choices; 0 where ``choice_scores`` is -inf.
        logits: (N, A) float32, a classifier's logits of all answers in its vocabulary; (N, 0) if they are not kept.
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
        """Allocate the arrays.

        Args:
            model: The model that the evaluator runs.
            encoded: The N questions of the whole split. C is the largest number of choices of a question, which may be 0.
            num_answers: A, the size of a classifier's vocabulary, to keep all logits; with 0 they are not kept.
            temperature: Number that logits are divided by before probabilities are computed.
            total: (N, …) array that a classifier's probabilities are added to, in the rows of this process's questions only.
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
        """Attach the collector to an evaluator.

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
        best = logits.argmax(dim=1)  # of logits, because several sigmoids may round to 1.0
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
        """Combine the processes. Only one of them answered each question; the others have the smallest values for it."""
        for name in ("best", "probability", "choice_scores", "choice_probabilities", "logits"):
            setattr(self, name, largest_of_all(getattr(self, name)))


def largest_of_all(values: NDArray) -> NDArray:
    """Combine the results of processes that each answered a part of the questions.

    Args:
        values: Values of all questions; the smallest possible ones for the questions of other processes.

    Returns:
        The elementwise maximum over all processes.
    """
    if idist.get_world_size() == 1:
        return values
    return idist.all_reduce(torch.from_numpy(values), "MAX").cpu().numpy()  # type: ignore[union-attr]
