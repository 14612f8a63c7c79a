"""The evaluation engine of a language model."""

import math

import torch
from ignite.engine import Engine, Events

from vqa_rnn.engines.handlers import Measure
from vqa_rnn.sequences.language_model import Carried, LanguageModel
from vqa_rnn.sequences.text_streams import TextChunk

BITS = Measure("bits", lambda bits: f"{bits:.4f} bits", sign=-1, show_loss=lambda nats: f"{nats / math.log(2):.4f} bits")


def build_language_evaluator(model: LanguageModel, device: torch.device) -> Engine:
    """Build the engine that measures how well a model predicts a text.

    Args:
        model: The model, on ``device``.
        device: Device of the computation.

    Returns:
        An engine over the chunks of a ``TextStreams``. ``engine.state.metrics["bits"]`` is the mean negative log2-probability
        of an entry: bits per character, or per word.
    """
    carried = Carried(model)
    total = torch.zeros(2, dtype=torch.float64)

    def step(engine: Engine, parts: tuple[TextChunk]) -> torch.Tensor:
        carried.eval()
        chunk = parts[0].to(device)
        with torch.inference_mode():
            losses, counts = carried.losses(carried(chunk), chunk)
            return torch.stack([losses.double().sum(), counts.double().sum()])

    engine = Engine(step)

    @engine.on(Events.STARTED)
    def reset() -> None:
        total.zero_()

    @engine.on(Events.ITERATION_COMPLETED)
    def add(engine: Engine) -> None:
        total.add_(engine.state.output.cpu())  # type: ignore[union-attr]

    @engine.on(Events.COMPLETED)
    def finish(engine: Engine) -> None:
        loss, count = total.tolist()
        engine.state.metrics["bits"] = loss / count / math.log(2)

    return engine
