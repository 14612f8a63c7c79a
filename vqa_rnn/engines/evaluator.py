"""The evaluation engine, and what it leaves behind."""

from collections.abc import Sequence

import numpy as np
import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray

from vqa_rnn.batch import Batch
from vqa_rnn.metrics.ignite import MeanScore
from vqa_rnn.models import VqaModel


def build_evaluator(model: VqaModel, *, device: torch.device) -> Engine:
    """Wire the evaluation engine. It computes in float32, as answering does.

    Args:
        model: The model, on ``device``.
        device: Where to compute.

    Returns:
        An engine over batches. ``engine.state.output`` is the logits with the batch they belong to, both on ``device``, and
        ``engine.state.metrics["accuracy"]`` the mean score of the questions.
    """

    def step(engine: Engine, batch: Batch) -> tuple[torch.Tensor, Batch]:
        model.eval()
        with torch.inference_mode():
            batch = batch.to(device, non_blocking=True)
            return model(batch), batch

    evaluator = Engine(step)
    MeanScore(lambda output: model.question_scores(*output)).attach(evaluator, "accuracy")
    return evaluator


class CollectAnswers:
    """Keeps the best answer of every question: attach it to an evaluator, run, then read it.

    Attributes:
        best: (N,) int64, class or place among the choices as scored.
        probability: (N,) float32, what the model gave it.
    """

    def __init__(self, batches: Sequence[NDArray[np.int64]]) -> None:
        """Make room.

        Args:
            batches: The questions of each batch, in the order the engine will see them.
        """
        self._batches = list(batches)
        num_questions = sum(map(len, self._batches))
        self.best = np.full(num_questions, -1, dtype=np.int64)
        self.probability = np.zeros(num_questions, dtype=np.float32)

    def attach(self, evaluator: Engine) -> None:
        """Listen to an evaluator.

        Args:
            evaluator: From ``build_evaluator``.
        """
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Take in the batch just answered.

        Args:
            engine: The evaluator.
        """
        logits, _ = engine.state.output  # type: ignore[misc]
        probability, best = logits.softmax(dim=1).max(dim=1)
        questions = self._batches[engine.state.iteration - 1]
        self.best[questions] = best.cpu().numpy()
        self.probability[questions] = probability.cpu().numpy()
