"""The evaluation engine, and what it leaves behind."""

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events

from vqa_rnn.batch import Batch
from vqa_rnn.metrics.ignite import MeanScore
from vqa_rnn.models import VqaModel


def build_evaluator(model: VqaModel, *, device: torch.device) -> Engine:
    """Wire the evaluation engine. It computes in the precision of the weights, as answering does, without autocast.

    Args:
        model: The model, on ``device``.
        device: Where to compute.

    Returns:
        An engine over this process's batches. ``engine.state.output`` is the logits with the batch they belong to, both on
        ``device``, and ``engine.state.metrics["accuracy"]`` the mean score of the questions of all processes.
    """

    def step(engine: Engine, parts: tuple[Batch, ...]) -> tuple[torch.Tensor, Batch]:
        model.eval()
        (part,) = parts  # only training accumulates
        with torch.inference_mode():
            batch = part.to(device, non_blocking=True)
            return model(batch), batch

    evaluator = Engine(step)
    MeanScore(lambda output: model.question_scores(*output)).attach(evaluator, "accuracy")
    return evaluator


class CollectAnswers:
    """Keeps the best answer of every question: attach it to an evaluator, run, then read it.

    Attributes:
        best: (N,) int64, class or place among the choices as scored; -1 before a question is answered.
        probability: (N,) float32, what the model gave it.
    """

    def __init__(self, num_questions: int) -> None:
        """Make room.

        Args:
            num_questions: N, of the whole split.
        """
        self.best = np.full(num_questions, -1, dtype=np.int64)
        self.probability = np.zeros(num_questions, dtype=np.float32)

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
        probability, best = logits.softmax(dim=1).max(dim=1)
        questions = batch.question_index.cpu().numpy()
        self.best[questions] = best.cpu().numpy()
        self.probability[questions] = probability.cpu().numpy()

    def _exchange(self) -> None:
        """Every question was answered by one process: the others hold -1 and 0 for it."""
        if idist.get_world_size() > 1:
            self.best = idist.all_reduce(torch.from_numpy(self.best), "MAX").cpu().numpy()  # type: ignore[union-attr]
            self.probability = idist.all_reduce(torch.from_numpy(self.probability), "MAX").cpu().numpy()  # type: ignore[union-attr]
