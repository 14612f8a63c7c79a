"""The training engine. Its step is the only place with ``backward()``."""

import math

import torch
from ignite.engine import Engine
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from vqa_rnn.batch import Batch
from vqa_rnn.config import TrainingConfig
from vqa_rnn.errors import UserError
from vqa_rnn.models import VqaModel


def build_optimizer(model: VqaModel, config: TrainingConfig) -> AdamW:
    """AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101), weight decay on matrices alone.

    Args:
        model: The model.
        config: Learning rate and weight decay.

    Returns:
        The optimizer.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in parameters if parameter.dim() > 1]
    others = [parameter for parameter in parameters if parameter.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return AdamW(groups, lr=config.learning_rate)


def build_schedule(optimizer: torch.optim.Optimizer, config: TrainingConfig, num_steps: int) -> LambdaLR:
    """Warm-up along a line, then a cosine down to 0 after the last step.

    Args:
        optimizer: The optimizer.
        config: Share of warm-up.
        num_steps: Steps of the whole training.

    Returns:
        The schedule, to be stepped after every optimizer step.
    """
    warmup = round(config.warmup_fraction * num_steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, num_steps - warmup)))

    return LambdaLR(optimizer, factor)


def build_trainer(
    model: VqaModel,
    optimizer: torch.optim.Optimizer,
    schedule: LambdaLR,
    *,
    device: torch.device,
    precision: str,
    clip_norm: float | None,
) -> Engine:
    """Wire the training engine.

    Args:
        model: The model, on ``device``.
        optimizer: Of its parameters.
        schedule: Of the optimizer.
        device: Where to compute.
        precision: ``float32`` or ``bfloat16`` (autocast).
        clip_norm: Largest gradient norm, or None.

    Returns:
        An engine over batches. ``engine.state.output`` is the loss, a () tensor, and the number of questions.
    """
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")

    def step(engine: Engine, batch: Batch) -> tuple[torch.Tensor, int]:
        model.train()
        batch = batch.to(device, non_blocking=True)
        optimizer.zero_grad(set_to_none=True)
        with autocast:
            loss = model.loss(model(batch), batch)
        if not torch.isfinite(loss):
            raise UserError(
                f"the loss is {loss.item()} at step {engine.state.iteration}: training stopped before the weights changed; "
                "look at the features, or lower training.learning_rate"
            )
        loss.backward()
        if clip_norm is not None:
            clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        schedule.step()
        return loss.detach(), batch.num_questions

    return Engine(step)
